//! What is measured: relays of others, our own, and the floors and ceilings beside them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::kernel::Attached;
use crate::netns::pin;
use crate::paths::bare;
use crate::stun::{ALLOCATE, Request, User};
use crate::topology::{CLIENT, RELAY, Topology, client_sockets};

/// Port of a TURN server.
pub const PORT: u16 = 3478;
/// First port of clients; one for each flow.
pub const CLIENT_PORT: u16 = 10_000;
/// First port of peers; one for each flow.
pub const PEER_PORT: u16 = 20_000;
/// Who allocates.
pub const USER: User = User { name: "bench", password: "bench-password" };
/// How long a server may take to answer its first request.
const START: Duration = Duration::from_secs(10);

/// A thing that relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Debian's coturn, one relay thread.
    Coturn,
    /// recvmmsg, a table, sendmmsg.
    Forwarder,
    /// Raceway with `xdp = "off"`.
    RacewayWorkers,
    /// Raceway with `xdp = "native"`.
    RacewayXdp,
    /// XDP: one lookup, addresses turned round, `XDP_TX`.
    ReflectTx,
    /// The same, sent by redirect.
    ReflectRedirect,
    /// XDP: one lookup, then dropped. Receives only.
    LookupDrop,
}

impl Subject {
    /// As in commands and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coturn => "coturn",
            Self::Forwarder => "forwarder",
            Self::RacewayWorkers => "raceway-workers",
            Self::RacewayXdp => "raceway-xdp",
            Self::ReflectTx => "reflect-tx",
            Self::ReflectRedirect => "reflect-redirect",
            Self::LookupDrop => "lookup-drop",
        }
    }

    /// Every subject, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Coturn,
        Self::Forwarder,
        Self::RacewayWorkers,
        Self::RacewayXdp,
        Self::ReflectTx,
        Self::ReflectRedirect,
        Self::LookupDrop,
    ];

    /// As in tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Coturn => "coturn",
            Self::Forwarder => "bare recvmmsg/sendmmsg forwarder",
            Self::RacewayWorkers => "Raceway, workers",
            Self::RacewayXdp => "Raceway, XDP",
            Self::ReflectTx => "bare XDP reflector, XDP_TX",
            Self::ReflectRedirect => "bare XDP reflector, redirect",
            Self::LookupDrop => "XDP lookup and drop (receives only)",
        }
    }

    /// Where the search for its rate begins, packets a second.
    #[must_use]
    pub const fn first_rate(self) -> u64 {
        match self {
            Self::Coturn | Self::Forwarder | Self::RacewayWorkers => 100_000,
            Self::RacewayXdp | Self::ReflectTx | Self::ReflectRedirect | Self::LookupDrop => 600_000,
        }
    }

    /// Whether packets stay in XDP: what a full ring drops has cost the relay nothing.
    #[must_use]
    pub const fn in_kernel(self) -> bool {
        matches!(self, Self::RacewayXdp | Self::ReflectTx | Self::ReflectRedirect | Self::LookupDrop)
    }

    /// Whether it relays towards clients too.
    #[must_use]
    pub const fn both_ways(self) -> bool {
        !matches!(self, Self::ReflectTx | Self::ReflectRedirect | Self::LookupDrop)
    }

    /// Whether clients allocate on it.
    #[must_use]
    pub const fn speaks_turn(self) -> bool {
        matches!(self, Self::Coturn | Self::RacewayWorkers | Self::RacewayXdp)
    }
}

/// A running subject; ended on drop.
pub struct Running {
    children: Vec<Child>,
    directory: PathBuf,
    /// It came up, so its logs are of no use.
    up: bool,
    attached: Option<Attached>,
}

impl Running {
    /// Starts it in the relay's namespace, on the relay's core.
    pub fn start(subject: Subject, topology: &Topology, flows: u16) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("raceway-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut running = Self { children: Vec::new(), directory, up: false, attached: None };
        match subject {
            Subject::Coturn => running.coturn(topology)?,
            Subject::Forwarder => running.forwarder(topology, flows)?,
            Subject::RacewayWorkers => running.raceway(topology, "off")?,
            Subject::RacewayXdp => running.raceway(topology, "native")?,
            Subject::ReflectTx => running.reflect(topology, "reflect_tx", flows)?,
            Subject::ReflectRedirect => running.reflect(topology, "reflect_redirect", flows)?,
            Subject::LookupDrop => running.reflect(topology, "lookup_drop", flows)?,
        }
        running.up = true;
        Ok(running)
    }

    /// Its XDP program, if that is one of the bench; `lookup_drop` counts there what it drops.
    #[must_use]
    pub const fn attached(&self) -> Option<&Attached> {
        self.attached.as_ref()
    }

    /// Its processes.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.children.iter().map(|child| child.id().cast_signed()).collect()
    }

    /// Starts a program by way of `ip netns exec`, which becomes it: besides the network, /sys is that of the namespace.
    fn spawn(
        &mut self,
        topology: &Topology,
        program: impl AsRef<OsStr>,
        arguments: &[String],
        out: Stdio,
    ) -> Result<&mut Child> {
        let core = topology.relay_core;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &topology.relay]).arg(program.as_ref()).args(arguments);
        // SAFETY: between fork and exec this only makes two system calls.
        unsafe {
            command.pre_exec(move || {
                pin(0, core).map_err(std::io::Error::other)?;
                // Not to outlive the bench.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.stdin(Stdio::null()).stdout(out).stderr(self.log("errors.log")?).spawn();
        let child = child.with_context(|| format!("cannot start {}", program.as_ref().display()))?;
        self.children.push(child);
        Ok(self.children.last_mut().expect("just pushed"))
    }

    fn log(&self, name: &str) -> Result<fs::File> {
        Ok(fs::OpenOptions::new().create(true).append(true).open(self.directory.join(name))?)
    }

    fn coturn(&mut self, topology: &Topology) -> Result<()> {
        let fixed = "-n --no-tls --no-dtls --no-cli --no-tcp --no-tcp-relay --relay-threads=1 --lt-cred-mech \
            --realm=bench --min-port=40000 --max-port=65535 --no-rfc5780 --log-file=stdout --no-software-attribute";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
        arguments.push(format!("--user={}:{}", USER.name, USER.password));
        arguments.push(format!("--listening-ip={RELAY}"));
        arguments.push(format!("--relay-ip={RELAY}"));
        arguments.push(format!("--listening-port={PORT}"));
        arguments.push(format!("--pidfile={}", self.directory.join("turnserver.pid").display()));
        let log = self.log("coturn.log")?;
        self.spawn(topology, "turnserver", &arguments, log.into())?;
        self.answers(topology)
    }

    fn forwarder(&mut self, topology: &Topology, flows: u16) -> Result<()> {
        let arguments = [
            "forward".to_owned(),
            format!("--listen={RELAY}:{PORT}"),
            format!("--flows={flows}"),
            format!("--client={CLIENT}:{CLIENT_PORT}"),
            format!("--peer={}:{PEER_PORT}", topology.peer),
        ];
        let child = self.spawn(topology, std::env::current_exe()?, &arguments, Stdio::piped())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the forwarder did not start");
        }
        Ok(())
    }

    fn raceway(&mut self, topology: &Topology, xdp: &str) -> Result<()> {
        let directory = self.directory.display().to_string();
        let devices: Vec<String> = topology.links.iter().map(|link| format!("\"{}\"", link.relay_device)).collect();
        let config = self.directory.join("raceway.toml");
        fs::write(
            &config,
            format!(
                "[node]\nstate_dir = \"{directory}/state\"\nrun_dir = \"{directory}/run\"\n\
                 [relay]\ninterfaces = [{devices}]\nxdp = \"{xdp}\"\nworkers = [{core}]\n\
                 [turn]\nlisten = [\"{RELAY}:{PORT}\"]\nrealm = \"bench\"\nrelay_addresses = [\"{RELAY}\"]\n\
                 port_range = \"40000-65535\"\n\
                 [turn.auth]\nusers = {{ \"{user}\" = \"{password}\" }}\n\
                 [turn.policy]\nallow_peers = [\"10.77.0.0/16\"]\nquota_per_user = 0\nquota_total = 0\n\
                 flows_per_user = 0\n                 stun_requests_per_second = 0\nunauthenticated_octets_per_second = 1000000000\n\
                 [http]\nlisten = \"127.0.0.1:9640\"\n[log]\nlevel = \"warn\"\n",
                devices = devices.join(", "),
                core = topology.relay_core,
                user = USER.name,
                password = USER.password,
            ),
        )?;
        let binaries = std::env::current_exe()?.parent().context("no directory")?.to_owned();
        for name in ["raceway-relay", "raceway-control"] {
            let log = self.log(&format!("{name}.log"))?;
            let arguments = ["--config".to_owned(), config.display().to_string()];
            self.spawn(topology, binaries.join(name), &arguments, log.into())?;
        }
        self.answers(topology)
    }

    fn reflect(&mut self, topology: &Topology, program: &str, flows: u16) -> Result<()> {
        let link = &topology.links[0];
        let mut attached = Attached::new(program, &topology.relay, &link.relay_device)?;
        attached.flows(&bare(topology, flows).to_peer)?;
        attached.egress(link.relay_ifindex)?;
        self.attached = Some(attached);
        Ok(())
    }

    /// Waits until the TURN port answers.
    fn answers(&mut self, topology: &Topology) -> Result<()> {
        let socket = client_sockets(topology, CLIENT_PORT - 1, 1)?.pop().context("one socket")?;
        socket.connect((RELAY, PORT))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let request = Request::new(ALLOCATE, 1).udp().finish(None);
        let started = Instant::now();
        while started.elapsed() < START {
            // Refused while nobody listens: asked again.
            let _ = socket.send(&request);
            if socket.recv(&mut [0; 1500]).is_ok() {
                return Ok(());
            }
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("a relay process ended ({status}); its log is in {}", self.directory.display());
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("no answer from the relay within {START:?}; its log is in {}", self.directory.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // SAFETY: our own child, not yet waited for, so the id is still its.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(3) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.up {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
