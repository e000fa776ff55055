//! What is measured: relays of others, our own, and the ceilings beside them.

pub mod coturn;
pub mod process;
pub mod raceway;
pub mod rtpengine;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::session::bare;
use crate::session::stun::User;
use crate::stand::kernel::Attached;
use crate::stand::netns::within;
use crate::stand::topology::{CLIENT, RELAY, Topology};
use process::Processes;

/// Port of a TURN server; what is no TURN server takes clients' media here and peers' on the next one.
pub const PORT: u16 = 3478;
/// Port of rtpengine's control.
pub const NG_PORT: u16 = 2223;
/// First port of clients.
pub const CLIENT_PORT: u16 = 10_000;
/// First port of peers.
pub const PEER_PORT: u16 = 20_000;
/// Who allocates.
pub const USER: User = User { name: "bench", password: "bench-password" };

/// A thing that relays. In the order of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Debian's coturn.
    Coturn,
    /// Debian's rtpengine, in user space.
    Rtpengine,
    /// recvmmsg, a table, sendmmsg.
    Mmsg,
    /// The same with UDP GRO and GSO.
    MmsgGso,
    /// io_uring: multishot receive into provided buffers, a table, send.
    Uring,
    /// The same with UDP GRO and GSO.
    UringGso,
    /// That without them, and SRTP made of what goes to peers.
    UringSrtp,
    /// Raceway with `xdp = "off"`.
    RacewayWorkers,
    /// Raceway with `xdp = "native"`.
    RacewayXdp,
    /// Raceway with `xdp = "off"`, in rtpengine's place.
    CallsWorkers,
    /// Raceway with `xdp = "native"`, in rtpengine's place.
    CallsXdp,
    /// XDP: dropped at once. Receives only.
    Drop,
    /// XDP: addresses turned round, `XDP_TX`.
    Reflect,
    /// The same after one lookup.
    Lookup,
    /// The same, sent by redirect.
    LookupRedirect,
}

/// How one talks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clients allocate and bind channels.
    Turn,
    /// Calls are offered and answered by the ng protocol.
    Ng,
    /// It knows its flows from the start; the arguments of our own forwarder.
    Forwarder(&'static [&'static str]),
    /// It knows its flows from the start; the XDP program.
    Program(&'static str),
}

impl Subject {
    const fn facts(self) -> (&'static str, Kind) {
        match self {
            Self::Coturn => ("coturn", Kind::Turn),
            Self::Rtpengine => ("rtpengine in user space", Kind::Ng),
            Self::Mmsg => ("bare recvmmsg/sendmmsg forwarder", Kind::Forwarder(&["--io=mmsg"])),
            Self::MmsgGso => ("bare recvmmsg/sendmmsg, GRO and GSO", Kind::Forwarder(&["--io=mmsg", "--gso"])),
            Self::Uring => ("bare io_uring forwarder", Kind::Forwarder(&["--io=uring"])),
            Self::UringGso => ("bare io_uring, GRO and GSO", Kind::Forwarder(&["--io=uring", "--gso"])),
            Self::UringSrtp => ("bare io_uring forwarder that encrypts", Kind::Forwarder(&["--io=uring", "--srtp"])),
            Self::RacewayWorkers => ("**Raceway, workers**", Kind::Turn),
            Self::RacewayXdp => ("**Raceway, XDP**", Kind::Turn),
            Self::CallsWorkers => ("**Raceway, calls in workers**", Kind::Ng),
            Self::CallsXdp => ("**Raceway, calls in XDP**", Kind::Ng),
            Self::Drop => ("XDP drop (receives only)", Kind::Program("drop")),
            Self::Reflect => ("bare XDP reflector", Kind::Program("reflect")),
            Self::Lookup => ("XDP with one lookup", Kind::Program("lookup")),
            Self::LookupRedirect => ("XDP with one lookup, redirect", Kind::Program("lookup_redirect")),
        }
    }

    /// As in commands and records.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().expect("no subject is hidden").get_name().to_owned()
    }

    /// As in tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().0
    }

    /// How one talks to it.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.facts().1
    }

    /// Whether this machine has its program.
    #[must_use]
    pub fn is_here(self) -> bool {
        let program = match self {
            Self::Coturn => coturn::PROGRAM,
            Self::Rtpengine => rtpengine::PROGRAM,
            _ => return true,
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).exists())
    }

    /// Where the search for its rate begins, packets a second.
    #[must_use]
    pub const fn first_rate(self) -> u64 {
        if self.in_kernel() { 600_000 } else { 100_000 }
    }

    /// Whether packets stay in XDP: what a full ring drops has cost the relay nothing.
    #[must_use]
    pub const fn in_kernel(self) -> bool {
        matches!(self, Self::RacewayXdp | Self::CallsXdp) || matches!(self.kind(), Kind::Program(_))
    }

    /// Whether it is one of our bare forwarders.
    #[must_use]
    pub const fn is_forwarder(self) -> bool {
        matches!(self.kind(), Kind::Forwarder(_))
    }

    /// Whether it relays towards clients too.
    #[must_use]
    pub const fn both_ways(self) -> bool {
        !matches!(self.kind(), Kind::Program(_))
    }

    /// Whether sessions are made on it at run time.
    #[must_use]
    pub const fn has_sessions(self) -> bool {
        matches!(self.kind(), Kind::Turn | Kind::Ng)
    }

    /// Whether it is Raceway in rtpengine's place.
    #[must_use]
    pub const fn is_proxied(self) -> bool {
        matches!(self, Self::CallsWorkers | Self::CallsXdp)
    }

    /// Flows that it can hold on one address of this machine.
    #[must_use]
    pub fn flows_max(self) -> u32 {
        match self.kind() {
            Kind::Ng => rtpengine::calls_max(),
            Kind::Turn | Kind::Forwarder(_) | Kind::Program(_) => 131_072,
        }
    }
}

/// A running subject; ended on drop.
pub struct Running {
    /// Its processes, if it has any.
    pub processes: Processes,
    /// Its XDP program, if that is one of the bench; `drop` counts there what it drops.
    pub attached: Option<Attached>,
}

impl Running {
    /// Starts it in the relay's namespace, on the relay's core; its (main) program gets `extra` arguments.
    pub fn start(subject: Subject, topology: &Topology, flows: u32, extra: &[String]) -> Result<Self> {
        let mut running = Self { processes: Processes::new(topology), attached: None };
        let processes = &mut running.processes;
        match (subject, subject.kind()) {
            (Subject::CallsWorkers, _) => raceway::start_calls(processes, topology, "off", extra)?,
            (Subject::CallsXdp, _) => raceway::start_calls(processes, topology, "native", extra)?,
            (Subject::Rtpengine, _) | (_, Kind::Ng) => rtpengine::start(processes, topology)?,
            (Subject::RacewayWorkers, _) => raceway::start(processes, topology, "off", flows, extra)?,
            (Subject::RacewayXdp, _) => raceway::start(processes, topology, "native", flows, extra)?,
            (_, Kind::Turn) => coturn::start(processes, topology)?,
            (_, Kind::Forwarder(fixed)) => forwarder(processes, topology, flows, fixed, extra)?,
            (_, Kind::Program(program)) => running.attached = Some(program_of_ours(program, topology, flows)?),
        }
        Ok(running)
    }
}

/// A program of ours that is built beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("a program is in a directory")?.join(name))
}

fn forwarder(
    processes: &mut Processes,
    topology: &Topology,
    flows: u32,
    fixed: &[&str],
    extra: &[String],
) -> Result<()> {
    let mut arguments = vec![
        "forward".to_owned(),
        format!("--listen={RELAY}:{PORT}"),
        format!("--flows={flows}"),
        format!("--client={CLIENT}:{CLIENT_PORT}"),
        format!("--peer={}:{PEER_PORT}", topology.peer),
    ];
    arguments.extend(fixed.iter().map(|argument| (*argument).to_owned()));
    arguments.extend_from_slice(extra);
    processes.start(std::env::current_exe()?, &arguments)?;
    // It binds its sockets when all else is done.
    let bound = format!(":{:04X} ", PORT + 1);
    processes.wait_for(|| {
        within(&topology.relay, || Ok(std::fs::read_to_string("/proc/thread-self/net/udp")?.contains(&bound)))
    })
}

fn program_of_ours(program: &str, topology: &Topology, flows: u32) -> Result<Attached> {
    let link = &topology.links[0];
    let mut attached = Attached::new(program, &topology.relay, &link.relay_device)?;
    attached.flows(&bare(topology, flows).to_peer)?;
    attached.egress(link.relay_ifindex)?;
    Ok(attached)
}
