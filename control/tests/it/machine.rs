//! Starts relay and control as a user would, on loopback, workers alone, in a directory of their own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::client::{ALLOCATE, Client, Response, UDP};

pub const USER: &str = "user";
pub const PASSWORD: &str = "pass";

/// For anything that happens on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Relay ports of each appliance; they may run side by side.
const PORTS_EACH: u16 = 100;
static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);

/// The relay's program, built once for all tests: a test of this package does not build it by itself.
pub fn relay_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let control = Path::new(env!("CARGO_BIN_EXE_raceway-control"));
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "raceway-relay"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let target = control.parent().and_then(Path::parent).expect("target/profile/program");
        assert!(build.env("CARGO_TARGET_DIR", target).status().expect("cargo runs").success(), "raceway-relay builds");
        control.with_file_name("raceway-relay")
    })
}

/// A process that ends with the value.
pub struct Process {
    pub child: Child,
    log: PathBuf,
}

impl Process {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Relay and control.
pub struct Appliance {
    pub directory: PathBuf,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    pub relay: Option<Process>,
    pub control: Option<Process>,
    ports: (u16, u16),
    account: Option<(u32, u32)>,
    starts: u32,
}

impl Appliance {
    /// A directory, ports and a configuration with `more` at its end; nothing is started.
    pub fn prepare(more: &str) -> Self {
        let first = NEXT_PORT.fetch_add(PORTS_EACH, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("raceway-it-{}-{first}", std::process::id()));
        fs::create_dir(&directory).expect("the temporary directory is writable");
        // What a careful user would have: nobody else may look inside.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("our directory");
        let listen = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port");
        let http = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port");
        let ports = (first, first + PORTS_EACH - 1);
        let appliance = Self { directory, listen, http, relay: None, control: None, ports, account: None, starts: 0 };
        appliance.configure(more);
        appliance
    }

    /// Both started, and ready.
    pub fn start(more: &str) -> Self {
        let mut appliance = Self::prepare(more);
        appliance.start_relay();
        appliance.start_control();
        appliance.wait_ready();
        appliance
    }

    /// The same, by an account that is not root.
    pub fn start_as(uid: u32, gid: u32) -> Self {
        let mut appliance = Self::prepare("");
        appliance.account = Some((uid, gid));
        for path in [appliance.directory.clone(), appliance.config()] {
            chown(path, Some(uid), Some(gid)).expect("root may");
        }
        appliance.start_relay();
        appliance.start_control();
        appliance.wait_ready();
        appliance
    }

    pub fn config(&self) -> PathBuf {
        self.directory.join("raceway.toml")
    }

    /// Writes the configuration anew, with `more` at its end.
    pub fn configure(&self, more: &str) {
        let Self { directory, listen, http, ports: (first, last), .. } = self;
        let directory = directory.display();
        let text = format!(
            "[node]\nstate_dir = \"{directory}/state\"\nrun_dir = \"{directory}/run\"\n\
             [relay]\nxdp = \"off\"\nflows_max = 1024\npin_dir = \"{directory}/pin\"\n\
             [http]\nlisten = \"{http}\"\n\
             [turn.auth]\nusers = {{ {USER} = \"{PASSWORD}\" }}\n\
             [turn]\nlisten = [\"{listen}\"]\nrealm = \"test\"\nrelay_addresses = [\"127.0.0.1\"]\n\
             port_range = \"{first}-{last}\"\n{more}\n"
        );
        fs::write(self.config(), text).expect("our directory");
    }

    fn spawn(&mut self, program: &Path) -> Process {
        self.starts += 1;
        let log = self.directory.join(format!("{}.log", self.starts));
        let file = File::create(&log).expect("our directory");
        let mut command = Command::new(program);
        command.arg("--config").arg(self.config()).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid).env_remove("XDG_RUNTIME_DIR");
        }
        Process { child: command.spawn().expect("the program starts"), log }
    }

    pub fn start_relay(&mut self) {
        self.relay = Some(self.spawn(relay_program()));
    }

    pub fn start_control(&mut self) {
        self.control = Some(self.spawn(Path::new(env!("CARGO_BIN_EXE_raceway-control"))));
    }

    pub fn logs(&self) -> String {
        [&self.relay, &self.control].into_iter().flatten().map(Process::log).collect()
    }

    pub fn wait_ready(&self) {
        let ready = || self.get("/readyz").is_some_and(|page| page.starts_with("HTTP/1.1 200"));
        self.wait_for("/readyz", ready);
    }

    pub fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "{what} did not come about\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status line, headers and body; none while nobody listens.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: raceway\r\nConnection: close\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        Some(page)
    }

    /// The metrics page alone.
    pub fn metrics(&self) -> String {
        let page = self.get("/metrics").expect("control serves");
        page.split_once("\r\n\r\n").expect("headers end").1.to_owned()
    }

    /// The value of one series.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).parse().expect("a number")
    }

    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racewayctl"));
        command.arg("--config").arg(self.config()).args(arguments).output().expect("racewayctl runs")
    }

    /// racewayctl's answer, for commands that must succeed.
    pub fn ctl_text(&self, arguments: &[&str]) -> String {
        let output = self.ctl(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.logs());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub fn client(&self, password: &str) -> Udp {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(self.listen).expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("not zero");
        Udp { socket, client: Client::new(USER, password) }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        (self.control, self.relay) = (None, None);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A client with its socket.
pub struct Udp {
    pub socket: UdpSocket,
    pub client: Client,
}

impl Udp {
    /// Asks until there is an answer, as RFC 8489 section 6.2.1 wants.
    pub fn ask(&mut self, method: u16, attributes: &[(u16, &[u8])]) -> Response {
        let request = self.client.request(method, attributes);
        let mut buffer = [0; 2048];
        for _ in 0..10 {
            let _ = self.socket.send(&request);
            if let Ok(length) = self.socket.recv(&mut buffer)
                && buffer[..4] != [0x40, 0, 0, 0]
            {
                let response = Response::parse(&buffer[..length]);
                if response.transaction == request[8..20] {
                    return response;
                }
            }
        }
        panic!("no answer to {method:#x}");
    }

    /// The first Allocate, and the one with credentials.
    pub fn allocate(&mut self) -> Response {
        let challenge = self.ask(ALLOCATE, &[(UDP.0, &UDP.1)]);
        assert_eq!(challenge.error_code(), Some(401));
        self.client.learn(&challenge);
        self.ask(ALLOCATE, &[(UDP.0, &UDP.1)])
    }

    /// Sends ChannelData.
    pub fn send(&self, channel: u16, data: &[u8]) {
        let mut message = channel.to_be_bytes().to_vec();
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
        // Refused while no relay listens: as lost as a datagram may be.
        let _ = self.socket.send(&message);
    }

    /// The next ChannelData.
    pub fn receive(&self) -> Option<(u16, Vec<u8>)> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        let channel = u16::from_be_bytes([buffer[0], buffer[1]]);
        assert!((0x4000..0x8000).contains(&channel), "not ChannelData: {:02x?}", &buffer[..length]);
        let octets = usize::from(u16::from_be_bytes([buffer[2], buffer[3]]));
        Some((channel, buffer[4..4 + octets].to_vec()))
    }
}
