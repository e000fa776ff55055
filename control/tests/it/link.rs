//! The link to the relay, with the relay's side written out message by message.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use raceway_api::{
    Datagram, FlowReport, FrameWriter, FromRelay, Leg, LegReport, Operation, Punt, RelayAddress, RelayPorts, SessionId,
    SessionReport, ToRelay, Traffic,
};
use raceway_control::cdr::Book;
use raceway_control::link::{Command, Link, Overview, Start};
use raceway_control::metrics;
use raceway_control::plan::Assignment;
use raceway_media::Settings;
use raceway_turn::{NonceKey, Policy, Secret, Server, User};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, recv, send,
    socket_with, sockopt,
};

use crate::client::{ALLOCATE, BINDING, Client, REFRESH, Response, UDP, XOR_MAPPED_ADDRESS, XOR_RELAYED_ADDRESS};

const LISTENER: &str = "127.0.0.1:3478";
const CLIENT: &str = "127.0.0.1:40000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The relay's end of the link.
pub struct ScriptedRelay {
    path: PathBuf,
    listener: OwnedFd,
    pub connection: Option<OwnedFd>,
    pending: Vec<ToRelay<'static>>,
}

impl ScriptedRelay {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("raceway-link-{}-{number}.sock", std::process::id()));
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a socket");
        bind(&listener, &SocketAddrUnix::new(&path).expect("a short path")).expect("a free name");
        listen(&listener, 4).expect("a bound socket");
        Self { path, listener, connection: None, pending: Vec::new() }
    }

    /// Takes control's connection and answers its greeting.
    pub fn greet(&mut self, instance: u64) {
        self.pending.clear();
        let connection = accept(&self.listener).expect("control connects");
        sockopt::set_socket_timeout(&connection, sockopt::Timeout::Recv, Some(Duration::from_secs(5)))
            .expect("a timeout");
        self.connection = Some(connection);
        assert!(matches!(self.next(), ToRelay::Hello { .. }));
        self.say(&FromRelay::Hello {
            version: "test".into(),
            instance,
            workers: 2,
            flows_max: 64,
            sessions: 0,
            connections: 1,
            interfaces: Vec::new(),
        });
        let ToRelay::Configure { listeners, relay_addresses, .. } = self.next() else {
            panic!("Configure comes first")
        };
        assert_eq!(listeners.iter().map(|l| l.address).collect::<Vec<_>>(), [address(LISTENER)]);
        assert_eq!(relay_addresses.iter().map(|r| r.internal).collect::<Vec<_>>(), [address(LISTENER).ip()]);
    }

    /// A fresh control asks for a snapshot; there is nothing in it.
    pub fn greet_empty(&mut self) {
        self.greet(1);
        assert_eq!(self.next(), ToRelay::Snapshot);
        self.say(&FromRelay::SnapshotEnd);
        assert_eq!(self.next(), ToRelay::Synchronised);
    }

    pub fn say(&self, message: &FromRelay<'_>) {
        let mut writer = FrameWriter::new();
        assert!(writer.push(message));
        let connection = self.connection.as_ref().expect("connected");
        send(connection, writer.frame(), SendFlags::NOSIGNAL).expect("control reads");
    }

    pub fn next(&mut self) -> ToRelay<'static> {
        while self.pending.is_empty() {
            let mut buffer = vec![0; raceway_api::limits::FRAME_MAX];
            let connection = self.connection.as_ref().expect("connected");
            let (length, _) = recv(connection, &mut buffer[..], RecvFlags::empty()).expect("control says something");
            let messages = raceway_api::decode::<ToRelay<'_>>(&buffer[..length]).expect("a frame of this version");
            self.pending.extend(messages.map(|message| owned(message.expect("a message"))));
        }
        self.pending.remove(0)
    }

    fn punt(&self, payload: &[u8]) {
        let received_at_ns = {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
        };
        self.say(&FromRelay::Punt(Punt {
            worker: 1,
            local: address(LISTENER),
            remote: address(CLIENT),
            received_at_ns,
            payload: payload.into(),
        }));
    }

    fn answer(&mut self) -> Response {
        match self.next() {
            ToRelay::Send(Datagram { from, to, payload }) => {
                assert_eq!((from, to), (address(LISTENER), address(CLIENT)));
                Response::parse(&payload)
            }
            other => panic!("{other:?} is not an answer"),
        }
    }

    /// Makes an allocation; what the relay was told of it.
    fn allocate(&mut self, client: &mut Client) -> (SessionId, Vec<Operation<'static>>) {
        let request = client.request(ALLOCATE, &[(UDP.0, &UDP.1)]);
        self.punt(&request);
        let challenge = self.answer();
        assert_eq!(challenge.error_code(), Some(401));
        client.learn(&challenge);
        let request = client.request(ALLOCATE, &[(UDP.0, &UDP.1)]);
        self.punt(&request);
        let ToRelay::Apply { session, operations, then_send, .. } = self.next() else { panic!("an allocation") };
        let response = Response::parse(&then_send.expect("the response goes with the flows").payload);
        assert!(response.is_success(), "{response:?}");
        assert_eq!(response.address(XOR_MAPPED_ADDRESS), address(CLIENT));
        assert!((50_000..=50_100).contains(&response.address(XOR_RELAYED_ADDRESS).port()));
        (session, operations)
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The message with everything that it borrowed copied, by way of its encoding.
fn owned(message: ToRelay<'_>) -> ToRelay<'static> {
    match message {
        ToRelay::Hello { version } => ToRelay::Hello { version: version.into_owned().into() },
        ToRelay::Configure { listeners, relay_addresses, relay_ports, media_ports, stun_requests_per_second } => {
            ToRelay::Configure { listeners, relay_addresses, relay_ports, media_ports, stun_requests_per_second }
        }
        ToRelay::Snapshot => ToRelay::Snapshot,
        ToRelay::Synchronised => ToRelay::Synchronised,
        ToRelay::Apply { transaction, session, operations, then_send } => ToRelay::Apply {
            transaction,
            session,
            operations: operations.into_iter().map(owned_operation).collect(),
            then_send: then_send.map(owned_datagram),
        },
        ToRelay::Send(datagram) => ToRelay::Send(owned_datagram(datagram)),
        ToRelay::Statistics => ToRelay::Statistics,
        ToRelay::Report { session } => ToRelay::Report { session },
        ToRelay::LogLevel(level) => ToRelay::LogLevel(level.into_owned().into()),
    }
}

fn owned_datagram(datagram: Datagram<'_>) -> Datagram<'static> {
    Datagram { from: datagram.from, to: datagram.to, payload: datagram.payload.into_owned().into() }
}

fn owned_operation(operation: Operation<'_>) -> Operation<'static> {
    match operation {
        Operation::PutSession { worker, expires_at_ns, bits_per_second, blob } => {
            Operation::PutSession { worker, expires_at_ns, bits_per_second, blob: blob.into_owned().into() }
        }
        Operation::OpenRelayed { address, external } => Operation::OpenRelayed { address, external },
        Operation::PutFlow(flow) => Operation::PutFlow(flow),
        Operation::Extend { flow, expires_at_ns } => Operation::Extend { flow, expires_at_ns },
        Operation::RemoveFlow(flow) => Operation::RemoveFlow(flow),
        Operation::RemoveSession => Operation::RemoveSession,
        Operation::OpenMedia { address, external, bits_per_second } => {
            Operation::OpenMedia { address, external, bits_per_second }
        }
        Operation::CloseMedia { address } => Operation::CloseMedia { address },
        Operation::PutLeg(leg) => Operation::PutLeg(Box::new(leg.into_owned())),
        Operation::RemoveLeg(leg) => Operation::RemoveLeg(leg),
        Operation::Confirm => Operation::Confirm,
        Operation::Record(recording) => Operation::Record(recording.into_owned()),
        Operation::StopRecording { discard } => Operation::StopRecording { discard },
    }
}

fn start(relay: &ScriptedRelay) -> Link {
    start_with(relay, None)
}

/// With these settings of calls.
pub fn start_with(relay: &ScriptedRelay, media: Option<Settings>) -> Link {
    let loopback = address(LISTENER).ip();
    let addresses = vec![RelayAddress { internal: loopback, external: loopback }];
    let user = User { name: "user".to_owned(), password: Secret::new("pass".to_owned()) };
    let ports = RelayPorts { first: 50_000, last: 50_100 };
    let policy = Policy {
        users: vec![user],
        listeners: vec![address(LISTENER)],
        ports,
        ..Policy::new("realm".to_owned(), addresses.clone())
    };
    let mut next = 0u8;
    let random = Box::new(move |octets: &mut [u8]| {
        for octet in octets {
            next = next.wrapping_mul(29).wrapping_add(71);
            *octet = next;
        }
    });
    let server = Server::new(policy, NonceKey::new(&[7; 32], b"boot"), random).expect("a valid policy");
    let listeners = vec![address(LISTENER)];
    let assignment =
        Assignment { listeners, relay_addresses: addresses, ports, media_ports: None, stun_requests_per_second: 0 };
    let config = raceway_config::Config::default();
    let book = Book::open(config.cdr).expect("a thread");
    let (teller, _) = raceway_control::notify::channel(&config.ng);
    let relay_socket = relay.path.clone();
    let start = Start {
        server,
        media,
        book,
        teller,
        redact: false,
        assignment,
        relay_socket,
        punt_latency: metrics::punt_latency(),
    };
    Link::start(start).expect("a thread").0
}

fn overview(link: &Link) -> Overview {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(link.ask(|reply| Command::Overview { fresh: false, reply })).expect("the thread lives")
}

#[test]
fn requests_that_come_while_sessions_are_restored_are_answered_afterwards() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet(1);
    assert_eq!(relay.next(), ToRelay::Snapshot);
    relay.punt(&Client::new("user", "pass").request(BINDING, &[]));
    relay.say(&FromRelay::SnapshotEnd);
    assert_eq!(relay.next(), ToRelay::Synchronised);
    let answer = relay.answer();
    assert!(answer.is_success());
    assert_eq!(answer.address(XOR_MAPPED_ADDRESS), address(CLIENT));
    assert!(overview(&link).synchronised);
}

#[test]
fn a_relay_that_restarted_is_told_every_session_and_then_that_this_was_all() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let (session, _) = relay.allocate(&mut Client::new("user", "pass"));
    relay.connection = None;
    relay.greet(2);
    let ToRelay::Apply { session: told, operations, .. } = relay.next() else { panic!("the session again") };
    assert_eq!(told, session);
    assert!(operations.iter().any(|operation| matches!(operation, Operation::OpenRelayed { .. })), "{operations:?}");
    assert_eq!(relay.next(), ToRelay::Synchronised);
    assert_eq!(overview(&link).sessions, 1);
}

#[test]
fn a_control_that_restarted_knows_the_sessions_of_the_snapshot() {
    let mut relay = ScriptedRelay::new();
    let mut client = Client::new("user", "pass");
    let first = start(&relay);
    relay.greet_empty();
    let (session, operations) = relay.allocate(&mut client);
    drop(first);
    relay.connection = None;

    let second = start(&relay);
    relay.greet(1);
    assert_eq!(relay.next(), ToRelay::Snapshot);
    relay.say(&FromRelay::Session(report(session, &operations)));
    relay.say(&FromRelay::SnapshotEnd);
    loop {
        match relay.next() {
            ToRelay::Synchronised => break,
            ToRelay::Apply { operations, .. } => assert!(!operations.contains(&Operation::RemoveSession)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(overview(&second).sessions, 1);
    relay.punt(&client.request(REFRESH, &[]));
    let ToRelay::Apply { session: refreshed, then_send, .. } = relay.next() else { panic!("a refresh") };
    assert_eq!(refreshed, session);
    assert!(Response::parse(&then_send.expect("a response").payload).is_success());
}

/// The session as the relay would report it after these operations.
pub fn report<'a>(id: SessionId, operations: &'a [Operation<'static>]) -> SessionReport<'a> {
    let mut report = SessionReport {
        id,
        worker: 0,
        expires_at_ns: 0,
        blob: Vec::new().into(),
        relayed: Vec::new(),
        media: Vec::new(),
        flows: Vec::new(),
        legs: Vec::new(),
        recording: None,
    };
    for operation in operations {
        match operation {
            Operation::PutSession { worker, expires_at_ns, blob, .. } => {
                (report.worker, report.expires_at_ns) = (*worker, *expires_at_ns);
                report.blob = std::borrow::Cow::Borrowed(blob);
            }
            Operation::OpenRelayed { address, external } => report.relayed.push((*address, *external)),
            Operation::OpenMedia { address, external, .. } => report.media.push((*address, *external)),
            Operation::PutLeg(leg) => {
                report.legs.retain(|known: &LegReport<'_>| known.id != leg.id);
                report.legs.push(leg_report(leg));
            }
            Operation::Confirm => {}
            Operation::PutFlow(flow) => report.flows.push(FlowReport {
                flow: *flow,
                xdp: false,
                packets: 0,
                octets: 0,
                dropped: 0,
                blocked: 0,
                last_ns: 0,
                rtp_received: 0,
                rtp_lost: 0,
                rtp_reordered: 0,
                rtp_jitter_us: None,
                rtp_ssrc: 0,
                rtp_sequence: 0,
                rtp_payload_type: 0,
            }),
            _ => panic!("{operation:?}"),
        }
    }
    report
}

fn leg_report(leg: &Leg<'_>) -> LegReport<'static> {
    LegReport {
        id: leg.id,
        leg: Some(leg.clone().into_owned()),
        rtp_remote: None,
        rtcp_remote: None,
        rtp_settled: false,
        rtcp_settled: false,
        received: Traffic::default(),
        sent: Traffic::default(),
        dropped: Vec::new(),
        last_rtp_ns: 0,
        last_rtcp_ns: 0,
        round_trip_us: None,
        ssrc_changes: 0,
        streams: Vec::new(),
        translates: false,
        goodbyes: 0,
        extended_reports: 0,
        rollovers: Vec::new(),
    }
}

#[test]
fn what_is_not_a_frame_of_this_version_ends_the_connection_and_control_tries_again() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    send(relay.connection.as_ref().expect("connected"), &[9, 9, 1], SendFlags::NOSIGNAL).expect("control reads");
    relay.greet(1);
    assert_eq!(relay.next(), ToRelay::Synchronised);
    assert!(overview(&link).connected);
}

#[test]
fn statistics_that_are_asked_for_together_are_asked_of_the_relay_once() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let overviews = runtime.block_on(async {
        let one = link.ask(|reply| Command::Overview { fresh: true, reply });
        let two = link.ask(|reply| Command::Overview { fresh: true, reply });
        let answer = tokio::task::spawn_blocking(move || {
            assert_eq!(relay.next(), ToRelay::Statistics);
            std::thread::sleep(Duration::from_millis(100));
            relay.say(&FromRelay::Statistics(raceway_api::Statistics { rtp_lost: 7, ..Default::default() }));
            relay
        });
        let both = tokio::join!(one, two);
        (both, answer.await.expect("the relay answers"))
    });
    let ((one, two), mut relay) = overviews;
    for overview in [one, two] {
        let overview = overview.expect("the thread lives");
        assert!(overview.fresh);
        assert_eq!(overview.statistics.expect("figures").rtp_lost, 7);
    }
    relay.punt(&Client::new("user", "pass").request(BINDING, &[]));
    assert!(relay.answer().is_success(), "no second question stood between");
}
