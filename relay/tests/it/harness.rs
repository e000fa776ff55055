//! A relay process, a control and clients.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use raceway_api::{
    Datagram, Destination, Flow, FlowAction, FlowId, FrameWriter, Framing, FromRelay, Listener, Match, Operation,
    RelayAddress, RelayPorts, Remote, SessionId, SessionReport, ToRelay, decode, limits,
};
use raceway_relay::clock;
use socket2::{Domain, SockAddr, Socket, Type};

/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Where IPv4 peers are.
pub const PEER_HOST: &str = "127.0.0.9";
/// Wait for something that must not happen.
pub const QUIET: Duration = Duration::from_millis(100);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A relay process of its own.
pub struct Relay {
    process: Child,
    directory: PathBuf,
    io: &'static str,
}

impl Relay {
    /// Starts one with `workers` as the configuration says it.
    pub fn start(workers: &str) -> Self {
        Self::start_over("auto", workers)
    }

    /// Starts one that receives and sends through the back end `io`.
    pub fn start_over(io: &'static str, workers: &str) -> Self {
        let pins = format!("raceway-relay-it-{}", std::process::id());
        let xdp = format!("xdp = \"off\"\npin_dir = \"/sys/fs/bpf/{pins}\"");
        Self::start_with(io, &format!("workers = {workers}\n{xdp}"))
    }

    /// Starts one with these lines of its own about the relay.
    pub fn start_with(io: &'static str, lines: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("raceway-relay-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let at = directory.display();
        let config = format!(
            "[node]\nrun_dir = \"{at}/run\"\nstate_dir = \"{at}/state\"\n[relay]\nflows_max = 4096\n{lines}\n\
             [log]\nlevel = \"debug\"\n"
        );
        std::fs::write(directory.join("raceway.toml"), config).unwrap();
        let mut relay = Self { process: Self::spawn(&directory, io), directory, io };
        relay.wait_until_ready();
        relay
    }

    fn spawn(directory: &std::path::Path, io: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_raceway-relay"))
            .arg("--config")
            .arg(directory.join("raceway.toml"))
            .args(["--io", io])
            .stderr(Stdio::inherit())
            .stdin(Stdio::null())
            .spawn()
            .expect("the relay's binary")
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while connect(&self.socket()).is_none() {
            assert!(self.process.try_wait().unwrap().is_none(), "the relay ended at once");
            assert!(Instant::now() < deadline, "the relay does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("run/relay.sock")
    }

    /// Kills it and starts another in its place.
    pub fn replace(&mut self) {
        self.kill();
        self.restart();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts another in the place of one that was killed.
    pub fn restart(&mut self) {
        self.process = Self::spawn(&self.directory, self.io);
        self.wait_until_ready();
    }

    /// SIGTERM; how long it took to end, and whether it ended well.
    pub fn terminate(&mut self) -> (Duration, bool) {
        let started = Instant::now();
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let status = self.process.wait().unwrap();
        (started.elapsed(), status.success())
    }

    /// A control, greeted and configured with one listener on each of the hosts.
    pub fn control(&self, hosts: &[&str]) -> (Control, Vec<SocketAddr>) {
        let mut control = Control::connect(self);
        let listeners: Vec<SocketAddr> = hosts.iter().map(|host| free_address(host)).collect();
        control.configure(&listeners);
        (control, listeners)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An address with a port that nobody has.
pub fn free_address(host: &str) -> SocketAddr {
    UdpSocket::bind((host.parse::<IpAddr>().unwrap(), 0)).unwrap().local_addr().unwrap()
}

fn connect(path: &std::path::Path) -> Option<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).ok()?;
    socket.connect(&SockAddr::unix(path).ok()?).ok()?;
    Some(socket)
}

/// What control would do.
pub struct Control {
    socket: Socket,
    writer: FrameWriter,
    /// Frames received and not yet looked at.
    frame: Vec<u8>,
    pending: std::collections::VecDeque<FromRelay<'static>>,
    pub instance: u64,
    pub connections: u64,
}

impl Control {
    pub fn connect(relay: &Relay) -> Self {
        let socket = connect(&relay.socket()).expect("the relay listens");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (frame, pending) = (vec![0; limits::FRAME_MAX], std::collections::VecDeque::new());
        let mut control = Self { socket, writer: FrameWriter::new(), frame, pending, instance: 0, connections: 0 };
        control.say(&ToRelay::Hello { version: "test".into() });
        match control.hear() {
            FromRelay::Hello { instance, connections, .. } => {
                (control.instance, control.connections) = (instance, connections);
            }
            other => panic!("no Hello but {other:?}"),
        }
        control
    }

    pub fn say(&mut self, message: &ToRelay<'_>) {
        assert!(self.writer.push(message));
        self.socket.write_all(self.writer.frame()).unwrap();
        self.writer.clear();
    }

    pub fn say_octets(&mut self, frame: &[u8]) {
        self.socket.write_all(frame).unwrap();
    }

    /// The next message.
    pub fn hear(&mut self) -> FromRelay<'static> {
        self.try_hear().expect("a message of the relay")
    }

    /// The next message; `None` when the relay hung up.
    pub fn try_hear(&mut self) -> Option<FromRelay<'static>> {
        while self.pending.is_empty() {
            let octets = self.socket.read(&mut self.frame).ok().filter(|octets| *octets > 0)?;
            for message in decode::<FromRelay<'_>>(&self.frame[..octets]).unwrap() {
                self.pending.push_back(owned(message.unwrap()));
            }
        }
        self.pending.pop_front()
    }

    /// Nothing comes for a while.
    pub fn hears_nothing(&mut self) {
        self.socket.set_read_timeout(Some(QUIET)).unwrap();
        assert!(self.pending.is_empty() && self.socket.read(&mut self.frame).is_err());
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    pub fn configure(&mut self, listeners: &[SocketAddr]) {
        self.configure_with(listeners, &[], 0);
    }

    pub fn configure_with(
        &mut self,
        listeners: &[SocketAddr],
        relay_addresses: &[RelayAddress],
        stun_requests_per_second: u32,
    ) {
        self.say(&ToRelay::Configure {
            listeners: listeners.iter().map(|address| Listener { address: *address }).collect(),
            relay_addresses: relay_addresses.to_vec(),
            relay_ports: RelayPorts { first: 49152, last: 65535 },
            media_ports: None,
            stun_requests_per_second,
        });
        // Whatever comes before this answer would be a problem with the configuration.
        self.statistics();
    }

    pub fn statistics(&mut self) -> raceway_api::Statistics {
        self.say(&ToRelay::Statistics);
        match self.hear() {
            FromRelay::Statistics(statistics) => statistics,
            other => panic!("no Statistics but {other:?}"),
        }
    }

    pub fn apply(&mut self, session: u64, operations: Vec<Operation<'_>>) {
        self.say(&ToRelay::Apply { transaction: 1, session: SessionId(session), operations, then_send: None });
    }

    pub fn apply_then_send(&mut self, session: u64, operations: Vec<Operation<'_>>, then_send: Datagram<'_>) {
        let (session, then_send) = (SessionId(session), Some(then_send));
        self.say(&ToRelay::Apply { transaction: 1, session, operations, then_send });
    }

    /// All sessions, in order of their names.
    pub fn snapshot(&mut self) -> Vec<SessionReport<'static>> {
        self.say(&ToRelay::Snapshot);
        let mut sessions = Vec::new();
        loop {
            match self.hear() {
                FromRelay::Session(session) => sessions.push(session),
                FromRelay::SnapshotEnd => break,
                other => panic!("no Session but {other:?}"),
            }
        }
        sessions.sort_by_key(|session| session.id);
        sessions
    }
}

fn owned(message: FromRelay<'_>) -> FromRelay<'static> {
    match message {
        FromRelay::Hello { version, instance, workers, flows_max, sessions, connections, interfaces: _ } => {
            FromRelay::Hello {
                version: Cow::Owned(version.into_owned()),
                instance,
                workers,
                flows_max,
                sessions,
                connections,
                interfaces: Vec::new(),
            }
        }
        FromRelay::Punt(punt) => {
            FromRelay::Punt(raceway_api::Punt { payload: Cow::Owned(punt.payload.into_owned()), ..punt })
        }
        FromRelay::Session(session) => {
            let SessionReport { id, worker, expires_at_ns, blob, relayed, media, flows, legs, recording } = session;
            let recording = recording.map(raceway_api::RecordingReport::into_owned);
            let blob = Cow::Owned(blob.into_owned());
            let legs = legs.into_iter().map(raceway_api::LegReport::into_owned).collect();
            FromRelay::Session(SessionReport {
                id,
                worker,
                expires_at_ns,
                blob,
                relayed,
                media,
                flows,
                legs,
                recording,
            })
        }
        FromRelay::Problem(problem) => FromRelay::Problem(Cow::Owned(problem.into_owned())),
        FromRelay::Failed { transaction, session, operation, error } => {
            FromRelay::Failed { transaction, session, operation, error }
        }
        FromRelay::Applied { transaction, session } => FromRelay::Applied { transaction, session },
        FromRelay::Leg { session, leg, at_ns, event } => FromRelay::Leg { session, leg, at_ns, event },
        FromRelay::Expired(session) => FromRelay::Expired(session),
        FromRelay::SnapshotEnd => FromRelay::SnapshotEnd,
        FromRelay::Statistics(statistics) => FromRelay::Statistics(statistics),
        FromRelay::Recording { session, state } => FromRelay::Recording { session, state },
    }
}

/// One end: a client or a peer.
pub struct End(pub UdpSocket);

impl End {
    pub fn new(host: &str) -> Self {
        let socket = UdpSocket::bind((host.parse::<IpAddr>().unwrap(), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn send(&self, to: SocketAddr, payload: &[u8]) {
        self.0.send_to(payload, to).unwrap();
    }

    /// What came and from where.
    pub fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 5000];
        let (octets, from) = self.0.recv_from(&mut buffer).expect("a datagram");
        (buffer[..octets].to_vec(), from)
    }

    pub fn receives_nothing(&self) {
        self.0.set_read_timeout(Some(QUIET)).unwrap();
        let mut buffer = [0; 5000];
        assert!(self.0.recv(&mut buffer).is_err(), "nothing should come");
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

/// A client with an allocation towards one peer: what control would set up for it.
pub struct Call {
    pub session: u64,
    pub client: End,
    pub listener: SocketAddr,
    pub relayed: SocketAddr,
    pub peer: End,
}

pub const CHANNEL: u16 = 0x4001;

impl Call {
    /// Addresses only; [`install`](Self::install) tells the relay.
    ///
    /// An IPv4 peer gets an address that is not the relay's; of IPv6 ones a loopback interface has only one.
    pub fn new(session: u64, listener: SocketAddr, relayed_host: &str) -> Self {
        let client = End::new(&listener.ip().to_string());
        let relayed = free_address(relayed_host);
        let peer = End::new(if relayed.is_ipv4() { PEER_HOST } else { relayed_host });
        Self { session, client, listener, relayed, peer }
    }

    pub fn expiry(after: Duration) -> u64 {
        clock::now().after(after).as_ns()
    }

    pub fn put_session(&self, after: Duration, bits_per_second: u64) -> Operation<'static> {
        Operation::PutSession {
            worker: 0,
            expires_at_ns: Self::expiry(after),
            bits_per_second,
            blob: Cow::Owned(self.session.to_be_bytes().to_vec()),
        }
    }

    fn flow(&self, id: u32, matches: Match, action: FlowAction, after: Duration) -> Operation<'static> {
        let expires_at_ns = Self::expiry(after);
        Operation::PutFlow(Flow { id: FlowId(id), matches, action, expires_at_ns })
    }

    /// Allocation: relayed address and Send indications. Flows 1 and 2.
    pub fn allocation(&self, after: Duration) -> Vec<Operation<'static>> {
        let v4 = self.relayed.is_ipv4().then_some(self.relayed);
        let v6 = self.relayed.is_ipv6().then_some(self.relayed);
        let exact = Remote::Exact(self.client.address());
        vec![
            Operation::OpenRelayed { address: self.relayed, external: self.relayed },
            self.flow(
                1,
                Match { remote: exact, local: self.listener, framing: Framing::Indication },
                FlowAction::Unwrap { relayed_v4: v4, relayed_v6: v6 },
                after,
            ),
            self.flow(
                2,
                Match { remote: Remote::Any, local: self.relayed, framing: Framing::Plain },
                FlowAction::Refuse,
                after,
            ),
        ]
    }

    /// A permission for the peer's address. Flow 3.
    pub fn permission(&self, after: Duration) -> Operation<'static> {
        let remote = Remote::AnyPort(self.peer.address().ip());
        self.flow(
            3,
            Match { remote, local: self.relayed, framing: Framing::Plain },
            self.to_client(Framing::Indication),
            after,
        )
    }

    pub fn to_client(&self, framing: Framing) -> FlowAction {
        FlowAction::Forward {
            towards: Destination::Client,
            from: self.listener,
            to: self.client.address(),
            framing,
            local_destination: false,
        }
    }

    /// A channel to the peer. Flows 4 and 5.
    pub fn channel(&self, after: Duration) -> Vec<Operation<'static>> {
        let to_peer = FlowAction::Forward {
            towards: Destination::Peer,
            from: self.relayed,
            to: self.peer.address(),
            framing: Framing::Plain,
            local_destination: false,
        };
        let client = Remote::Exact(self.client.address());
        let peer = Remote::Exact(self.peer.address());
        vec![
            self.flow(
                4,
                Match { remote: client, local: self.listener, framing: Framing::Channel(CHANNEL) },
                to_peer,
                after,
            ),
            self.flow(
                5,
                Match { remote: peer, local: self.relayed, framing: Framing::Plain },
                self.to_client(Framing::Channel(CHANNEL)),
                after,
            ),
        ]
    }

    /// Everything, and a datagram to the client when it is there.
    pub fn install(&self, control: &mut Control, after: Duration) {
        let mut operations = vec![self.put_session(after, 0)];
        operations.extend(self.allocation(after));
        operations.push(self.permission(after));
        operations.extend(self.channel(after));
        self.apply(control, operations);
    }

    /// Carries out operations and waits until they hold.
    pub fn apply(&self, control: &mut Control, operations: Vec<Operation<'_>>) {
        let then_send = Datagram { from: self.listener, to: self.client.address(), payload: Cow::Borrowed(b"done") };
        control.apply_then_send(self.session, operations, then_send);
        assert_eq!(self.client.receive(), (b"done".to_vec(), self.listener));
    }

    /// A datagram goes both ways through the channel.
    pub fn channel_works(&self, text: &[u8]) {
        self.client.send(self.listener, &channel_data(CHANNEL, text));
        assert_eq!(self.peer.receive(), (text.to_vec(), self.relayed));
        self.peer.send(self.relayed, text);
        assert_eq!(self.client.receive(), (channel_data(CHANNEL, text), self.listener));
    }
}

pub fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut out = channel.to_be_bytes().to_vec();
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
    out
}
