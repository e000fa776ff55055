//! Calls as their parties and control see them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use raceway_abi::DropReason;
use raceway_api::{
    Codec, Datagram, Destination, Dtmf, Flow, FlowAction, FlowId, Format, FrameWriter, Framing, FromRelay, Learning,
    Leg, LegEvent, LegId, LegRules, Match, MediaPath, Operation, OperationError, PayloadRules, Punts, Remote, Route,
    Secret, SessionId, SessionReport, SrtpKey, Suite, ToRelay,
};
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender};

use crate::harness::{Call, Control, End, Relay, free_address};

const BACK_ENDS: [&str; 2] = ["io-uring", "mmsg"];
const LONG: Duration = Duration::from_secs(60);
const ALICE: LegId = LegId(1);
const BOB: LegId = LegId(2);

/// One party: its sockets, and ours that it talks to.
pub struct Party {
    pub rtp: End,
    pub rtcp: End,
    pub media: [SocketAddr; 2],
}

/// An address that nobody else gets: below the ports that the kernel chooses, and each only once.
fn media_address(host: &str) -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    SocketAddr::new(host.parse().expect("an address"), PORT.fetch_add(1, Relaxed))
}

/// A call of two parties, of which each has one leg.
pub struct Talk {
    pub session: u64,
    pub parties: [Party; 2],
}

impl Party {
    fn new(host: &str, our_host: &str) -> Self {
        let media = [media_address(our_host), media_address(our_host)];
        Self { rtp: End::new(host), rtcp: End::new(host), media }
    }

    fn leg(&self, id: LegId, to: LegId) -> Leg<'static> {
        let path = |end: &End, local| MediaPath { local, remote: Some(end.address()) };
        Leg {
            rtcp: Some(path(&self.rtcp, self.media[1])),
            to: vec![Route::to(to)],
            formats: vec![
                Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8000 },
                Format { payload_type: 101, codec: Codec::TelephoneEvent, clock_hz: 8000 },
            ],
            towards: if id == ALICE { Destination::Peer } else { Destination::Client },
            blob: vec![id.0 as u8; 3].into(),
            ..Leg::new(id, path(&self.rtp, self.media[0]))
        }
    }

    pub fn sends(&self, packet: &[u8]) {
        self.rtp.send(self.media[0], packet);
    }
}

impl Talk {
    /// Of parties at these hosts.
    pub fn new(session: u64, hosts: [&str; 2]) -> Self {
        let ours = |host: &str| if host.contains(':') { "::1" } else { "127.0.0.2" }.to_owned();
        Self { session, parties: hosts.map(|host| Party::new(host, &ours(host))) }
    }

    pub fn legs(&self) -> [Leg<'static>; 2] {
        let [alice, bob] = &self.parties;
        [alice.leg(ALICE, BOB), bob.leg(BOB, ALICE)]
    }

    pub fn put_session(&self, after: Duration) -> Operation<'static> {
        let expires_at_ns = Call::expiry(after);
        Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: vec![9].into() }
    }

    pub fn open(&self) -> impl Iterator<Item = Operation<'static>> {
        let media = self.parties.iter().flat_map(|party| party.media);
        media.map(|address| Operation::OpenMedia { address, external: address, bits_per_second: 0 })
    }

    /// Sets it up with these legs.
    fn install(&self, control: &mut Control, legs: impl IntoIterator<Item = Leg<'static>>) {
        let mut operations = vec![self.put_session(LONG)];
        operations.extend(self.open());
        operations.extend(legs.into_iter().map(|leg| Operation::PutLeg(Box::new(leg))));
        self.apply(control, operations);
    }

    /// Does this, and waits until it is done.
    fn apply(&self, control: &mut Control, mut operations: Vec<Operation<'_>>) {
        operations.push(Operation::Confirm);
        control.apply(self.session, operations);
        let applied = FromRelay::Applied { transaction: 1, session: SessionId(self.session) };
        loop {
            match control.hear() {
                FromRelay::Leg { .. } => {}
                other => break assert_eq!(other, applied),
            }
        }
    }

    fn put(&self, control: &mut Control, leg: Leg<'static>) {
        self.apply(control, vec![Operation::PutLeg(Box::new(leg))]);
    }

    /// What these legs measured.
    fn report(&self, control: &mut Control) -> SessionReport<'static> {
        control.say(&ToRelay::Report { session: Some(SessionId(self.session)) });
        let mut found = None;
        loop {
            match control.hear() {
                FromRelay::Session(report) => found = Some(report),
                FromRelay::Leg { .. } => {}
                FromRelay::SnapshotEnd => break found.expect("the session"),
                other => panic!("no report but {other:?}"),
            }
        }
    }

    /// The flow that anchors what the first party (or the second) sends.
    fn anchor(&self, of: usize) -> Operation<'static> {
        let (from, to) = (&self.parties[of], &self.parties[1 - of]);
        let matches =
            Match { remote: Remote::Exact(from.rtp.address()), local: from.media[0], framing: Framing::Plain };
        let action = FlowAction::Anchor {
            towards: Destination::Peer,
            from: to.media[0],
            to: to.rtp.address(),
            dscp: None,
            payloads: PayloadRules::default(),
            local_destination: false,
        };
        Operation::PutFlow(Flow { id: FlowId(of as u32), matches, action, expires_at_ns: Call::expiry(LONG) })
    }
}

pub fn rtp(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0x1234_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0x12, 0x34];

fn stun() -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[7; 12]);
    message
}

/// What the leg told, without when.
fn next_event(control: &mut Control) -> (LegId, LegEvent) {
    match control.hear() {
        FromRelay::Leg { leg, event, .. } => (leg, event),
        other => panic!("no event but {other:?}"),
    }
}

#[test]
fn parties_hear_each_other_over_either_family_and_back_end_and_between_them() {
    for back_end in BACK_ENDS {
        let relay = Relay::start_over(back_end, "[0]");
        let (mut control, _) = relay.control(&[]);
        for (session, hosts) in
            [["127.0.0.7", "127.0.0.9"], ["127.0.0.7", "::1"], ["::1", "::1"]].into_iter().enumerate()
        {
            let talk = Talk::new(session as u64, hosts);
            talk.install(&mut control, talk.legs());
            for (from, to) in [(0, 1), (1, 0)] {
                let (from, to) = (&talk.parties[from], &talk.parties[to]);
                from.sends(&rtp(0, 1, &[5; 160]));
                assert_eq!(to.rtp.receive(), (rtp(0, 1, &[5; 160]), to.media[0]));
                from.rtcp.send(from.media[1], &RECEIVER_REPORT);
                assert_eq!(to.rtcp.receive(), (RECEIVER_REPORT.to_vec(), to.media[1]));
            }
            let report = talk.report(&mut control);
            assert_eq!(report.legs.len(), 2);
            for leg in &report.legs {
                assert_eq!((leg.received.rtp_packets, leg.received.rtcp_packets), (1, 1));
                assert_eq!((leg.sent, leg.streams[0].received), (leg.received, 1));
                assert_eq!(leg.leg, None, "only a snapshot tells keys");
            }
        }
    }
}

#[test]
fn a_party_behind_a_nat_is_learned_and_control_is_told() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let [alice, bob] = talk.legs();
    let behind_nat = Leg { learning: Learning::Immediate, ..alice };
    talk.install(&mut control, [behind_nat, bob]);
    let elsewhere = End::new("127.0.0.8");
    elsewhere.send(talk.parties[0].media[0], &rtp(0, 1, &[1; 160]));
    talk.parties[1].rtp.receive();
    let learned = LegEvent::Learned { rtcp: false, remote: elsewhere.address(), settled: true };
    assert_eq!(next_event(&mut control), (ALICE, learned));
    assert_eq!(next_event(&mut control), (ALICE, LegEvent::FirstPacket { ssrc: 0x1234, payload_type: 0 }));
    talk.parties[1].sends(&rtp(0, 1, &[2; 160]));
    assert_eq!(elsewhere.receive().0, rtp(0, 1, &[2; 160]));
    let report = talk.report(&mut control);
    assert_eq!((report.legs[0].rtp_remote, report.legs[0].rtp_settled), (Some(elsewhere.address()), true));
}

#[test]
fn a_key_that_is_pressed_is_told_to_control() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let [alice, bob] = talk.legs();
    talk.install(&mut control, [Leg { rules: LegRules { detect_dtmf: true, ..LegRules::default() }, ..alice }, bob]);
    for (sequence, payload) in [(1, [5, 10, 0, 160]), (2, [5, 0x8a, 3, 32]), (3, [5, 0x8a, 3, 32])] {
        let mut packet = rtp(101, sequence, &payload);
        packet[4..8].copy_from_slice(&[0, 0, 0, 9]);
        talk.parties[0].sends(&packet);
        assert_eq!(talk.parties[1].rtp.receive().0, packet);
    }
    assert!(matches!(next_event(&mut control), (ALICE, LegEvent::FirstPacket { .. })));
    let dtmf = Dtmf { event: 5, volume: 10, duration_ms: 100, payload_type: 101 };
    assert_eq!(next_event(&mut control), (ALICE, LegEvent::Dtmf(dtmf)));
    control.hears_nothing();
}

fn srtp_key(octet: u8) -> SrtpKey {
    SrtpKey {
        suite: Suite::AesCm128HmacSha1_80,
        key: Secret::new(&[octet; 16]),
        salt: Secret::new(&[octet; 14]),
        mki: Vec::new(),
        lifetime: None,
    }
}

fn master(octet: u8) -> MasterKey {
    MasterKey::new(raceway_srtp::Suite::Aes128CmSha1_80, &[octet; 16], &[octet; 14]).expect("as long as they must be")
}

fn protected(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; 200]].concat();
    let mut jobs = [Job::new(0, Kind::of(packet).expect("media"), &mut buffer, packet.len())];
    Batch::new(Lanes::detect()).protect(&mut std::slice::from_mut(sender)[..], &mut jobs);
    jobs[0].result.expect("protected");
    jobs[0].packet().to_vec()
}

fn opened(receiver: &mut Receiver, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    let mut jobs = [Job::new(0, Kind::of(packet).expect("media"), &mut buffer, packet.len())];
    Batch::new(Lanes::detect()).unprotect(&mut std::slice::from_mut(receiver)[..], &mut jobs);
    jobs[0].result.expect("authentic");
    jobs[0].packet().to_vec()
}

/// The call of `talk`, whose first party speaks SRTP: it sends with key 1 and receives with key 2.
fn half_secured(talk: &Talk) -> [Leg<'static>; 2] {
    let [alice, bob] = talk.legs();
    let (receive, send) = (srtp_key(1).into(), srtp_key(2).into());
    [Leg { receive, send, ..alice }, bob]
}

#[test]
fn srtp_meets_rtp_and_goes_on_after_either_process_was_killed() {
    for back_end in BACK_ENDS {
        let mut relay = Relay::start_over(back_end, "[0]");
        let (mut control, _) = relay.control(&[]);
        let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
        talk.install(&mut control, half_secured(&talk));
        let [alice, bob] = &talk.parties;
        let (mut sender, mut receiver) = (Sender::new(&master(1), 4), Receiver::new(&master(2), 4));
        let mut talks = |sequences: std::ops::Range<u16>| {
            for sequence in sequences {
                let packet = rtp(0, sequence, &[sequence as u8; 160]);
                alice.sends(&protected(&mut sender, &packet));
                assert_eq!(bob.rtp.receive().0, packet);
                bob.sends(&packet);
                assert_eq!(opened(&mut receiver, &alice.rtp.receive().0), packet);
            }
        };
        // Past the end of the sequence numbers, so that there is a rollover counter to lose.
        talks(65_500..65_535);
        talks(0..100);
        drop(control);
        let mut control = Control::connect(&relay);
        let sessions: Vec<_> = snapshot(&mut control);
        let legs: Vec<Leg<'_>> = sessions[0].legs.iter().filter_map(|report| report.leg.clone()).collect();
        let [put, other] = half_secured(&talk);
        assert_eq!((&legs[0].receive, &legs[0].send, &legs[0].blob), (&put.receive, &put.send, &put.blob));
        assert_eq!(legs[1], other);
        assert!(legs[0].rollovers.iter().any(|rollover| rollover.roc == 1), "{:?}", legs[0].rollovers);
        assert_eq!(sessions[0].media.len(), 4);
        talks(100..200);
        relay.replace();
        let mut control = Control::connect(&relay);
        control.configure(&[]);
        talk.install(&mut control, legs);
        talks(200..300);
    }
}

/// All sessions, whatever happens on legs meanwhile.
fn snapshot(control: &mut Control) -> Vec<SessionReport<'static>> {
    control.say(&ToRelay::Snapshot);
    let mut sessions = Vec::new();
    loop {
        match control.hear() {
            FromRelay::Session(report) => sessions.push(report),
            FromRelay::Leg { .. } => {}
            FromRelay::SnapshotEnd => break sessions,
            other => panic!("no snapshot but {other:?}"),
        }
    }
}

#[test]
fn ice_and_dtls_at_a_media_address_are_controls_which_answers_from_there() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let [alice, bob] = talk.legs();
    talk.install(&mut control, [Leg { punt: Punts { stun: true, dtls: true }, ..alice }, bob]);
    talk.apply(&mut control, vec![talk.anchor(0), talk.anchor(1)]);
    let party = &talk.parties[0];
    let dtls = [&[22, 0xfe, 0xfd][..], &[0; 40]].concat();
    for payload in [stun(), dtls] {
        party.sends(&payload);
        let FromRelay::Punt(punt) = control.hear() else { panic!("a punt") };
        assert_eq!((punt.local, punt.remote, &*punt.payload), (party.media[0], party.rtp.address(), &payload[..]));
        control.say(&ToRelay::Send(Datagram { from: punt.local, to: punt.remote, payload: punt.payload }));
        assert_eq!(party.rtp.receive(), (payload, party.media[0]));
    }
    // The other leg does not want them.
    talk.parties[1].sends(&stun());
    control.hears_nothing();
    let stranger = Datagram { from: free_address("127.0.0.1"), to: party.rtp.address(), payload: vec![1].into() };
    control.say(&ToRelay::Send(stranger));
    party.rtp.receives_nothing();
}

#[test]
fn a_stream_that_changes_between_leg_and_flow_loses_and_reorders_nothing() {
    for back_end in BACK_ENDS {
        let relay = Relay::start_over(back_end, "[0]");
        let (mut control, _) = relay.control(&[]);
        let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
        talk.install(&mut control, talk.legs());
        let [alice, bob] = &talk.parties;
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let hears = scope.spawn(|| {
                let mut next = 0;
                loop {
                    let packet = bob.rtp.receive().0;
                    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                    assert_eq!(sequence, next, "in order and without a gap");
                    next = next.wrapping_add(1);
                    if packet[1] == 0x80 {
                        break next;
                    }
                }
            });
            let sends = scope.spawn(|| {
                for sequence in 0..60_000_u16 {
                    let last = stop.load(Relaxed);
                    alice.sends(&rtp(if last { 0x80 } else { 0 }, sequence, &[1; 160]));
                    if last {
                        break;
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
            for _ in 0..20 {
                talk.apply(&mut control, vec![talk.anchor(0)]);
                std::thread::sleep(Duration::from_millis(10));
                talk.apply(&mut control, vec![Operation::RemoveFlow(FlowId(0))]);
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Relaxed);
            sends.join().expect("sends");
            assert!(hears.join().expect("hears") > 40);
        });
        let report = talk.report(&mut control);
        assert!(report.legs[0].received.rtp_packets > 0);
    }
}

#[test]
fn an_anchored_stream_is_measured_by_its_flow_and_told_with_it() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    talk.install(&mut control, talk.legs());
    talk.apply(&mut control, vec![talk.anchor(0)]);
    let [alice, bob] = &talk.parties;
    for sequence in [1, 3] {
        alice.sends(&rtp(0, sequence, &[1; 160]));
        bob.rtp.receive();
    }
    let report = talk.report(&mut control);
    assert_eq!(report.flows.len(), 1, "none of the relay's own");
    let flow = &report.flows[0];
    assert_eq!((flow.packets, flow.rtp_received, flow.rtp_lost), (2, 2, 1));
    assert!(matches!(flow.flow.action, FlowAction::Anchor { .. }) && flow.last_ns > 0);
    assert_eq!(report.legs[0].received.rtp_packets, 0);
}

#[test]
fn a_call_that_passes_here_twice_is_heard_at_both_ends() {
    let relay = Relay::start("[0, 1]");
    let (mut control, _) = relay.control(&[]);
    let mut talks = [1, 2].map(|session| Talk::new(session, ["127.0.0.1", "127.0.0.1"]));
    let [first, second] = &mut talks;
    let [alice, mut out] = first.legs();
    let [mut into, bob] = second.legs();
    out.rtp.remote = Some(second.parties[0].media[0]);
    into.rtp.remote = Some(first.parties[1].media[0]);
    first.install(&mut control, [alice, out]);
    second.install(&mut control, [into, bob]);
    let (alice, bob) = (&first.parties[0], &second.parties[1]);
    for (from, to) in [(alice, bob), (bob, alice)] {
        from.sends(&rtp(0, 1, &[7; 160]));
        assert_eq!(to.rtp.receive(), (rtp(0, 1, &[7; 160]), to.media[0]));
    }
    // The same with flows: a worker lets the kernel loop what goes to an address that is open here, and to no other.
    let anchor = |at: &Party, remote: SocketAddr, from: SocketAddr, to: SocketAddr, local_destination| {
        let matches = Match { remote: Remote::Exact(remote), local: at.media[0], framing: Framing::Plain };
        let (towards, payloads) = (Destination::Peer, PayloadRules::default());
        let action = FlowAction::Anchor { towards, from, to, dscp: None, payloads, local_destination };
        Operation::PutFlow(Flow { id: FlowId(1), matches, action, expires_at_ns: Call::expiry(LONG) })
    };
    let (out, into) = (first.parties[1].media[0], second.parties[0].media[0]);
    first.apply(&mut control, vec![anchor(alice, alice.rtp.address(), out, into, true)]);
    second.apply(&mut control, vec![anchor(&second.parties[0], out, bob.media[0], bob.rtp.address(), false)]);
    alice.sends(&rtp(0, 2, &[7; 160]));
    assert_eq!(bob.rtp.receive().0, rtp(0, 2, &[7; 160]));
    assert_eq!(second.report(&mut control).flows[0].packets, 1);
    control.apply(2, vec![Operation::RemoveSession]);
    let before = told_statistics(&mut control).worker;
    alice.sends(&rtp(0, 3, &[7; 160]));
    let refused = raceway_abi::Counter::drops(DropReason::NoPermission).index() as usize;
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while told_statistics(&mut control).worker[refused] == before[refused] {
        assert!(std::time::Instant::now() < deadline, "what goes to a closed address of ours is refused");
    }
}

#[test]
fn calls_come_and_go_and_leave_nothing_behind() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    // More legs than there are numbers for, or places for sockets.
    for round in 0..14 {
        let talks: Vec<Talk> = (0..80).map(|session| Talk::new(session, ["127.0.0.7", "127.0.0.9"])).collect();
        talks.iter().for_each(|talk| talk.install(&mut control, talk.legs()));
        let talk = &talks[79];
        talk.parties[0].sends(&rtp(0, round, &[1; 160]));
        assert_eq!(talk.parties[1].rtp.receive().0, rtp(0, round, &[1; 160]));
        talks.iter().for_each(|talk| control.apply(talk.session, vec![Operation::RemoveSession]));
        assert_eq!(snapshot(&mut control), []);
        talks.iter().for_each(|talk| wait_until_free(talk, round));
    }
    let statistics = told_statistics(&mut control);
    assert_eq!((statistics.sessions, statistics.flows_worker, statistics.flows_xdp), (0, 0, 0));
}

/// Statistics, whatever happens on legs meanwhile.
fn told_statistics(control: &mut Control) -> raceway_api::Statistics {
    control.say(&ToRelay::Statistics);
    loop {
        match control.hear() {
            FromRelay::Statistics(statistics) => break statistics,
            FromRelay::Leg { .. } => {}
            other => panic!("no statistics but {other:?}"),
        }
    }
}

/// Sockets are closed once workers have let go of them.
fn wait_until_free(talk: &Talk, round: u16) {
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    let all = || talk.parties.iter().flat_map(|party| party.media);
    while !all().all(|address| std::net::UdpSocket::bind(address).is_ok()) {
        assert!(std::time::Instant::now() < deadline, "addresses are free again, round {round}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_session_that_expires_takes_its_legs_along() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    talk.install(&mut control, talk.legs());
    control.apply(1, vec![talk.put_session(Duration::from_millis(200))]);
    assert_eq!(control.hear(), FromRelay::Expired(SessionId(1)));
    assert_eq!(snapshot(&mut control), []);
    wait_until_free(&talk, 0);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let [alice, bob] = talk.legs();
    talk.install(&mut control, [alice.clone(), bob.clone()]);
    let before = snapshot(&mut control);
    let elsewhere = MediaPath { local: free_address("127.0.0.1"), remote: None };
    let short = SrtpKey { key: Secret::new(&[1; 15]), ..srtp_key(1) };
    let v6: SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
    let legs = [
        Leg { rtp: elsewhere, ..alice.clone() },
        Leg { rtcp: Some(elsewhere), ..alice.clone() },
        Leg { rtcp: Some(alice.rtp), ..alice.clone() },
        Leg { rtcp: bob.rtcp, ..alice.clone() },
        Leg { rtp: MediaPath { remote: Some(v6), ..alice.rtp }, ..alice.clone() },
        Leg { send: short.into(), ..alice.clone() },
        Leg { rules: LegRules { dscp: Some(64), ..LegRules::default() }, ..alice.clone() },
        Leg { to: vec![Route { leg: BOB, payload_types: vec![(0, 128)] }], ..alice.clone() },
        Leg { formats: vec![Format { payload_type: 128, codec: Codec::Other, clock_hz: 1 }], ..alice.clone() },
    ];
    let invalid =
        FromRelay::Failed { transaction: 1, session: SessionId(1), operation: 0, error: OperationError::Invalid };
    for leg in legs {
        control.apply(1, vec![Operation::PutLeg(Box::new(leg)), Operation::Confirm]);
        assert_eq!(control.hear(), invalid);
    }
    control.apply(1, vec![Operation::CloseMedia { address: alice.rtp.local }]);
    assert_eq!(control.hear(), invalid, "a leg uses it");
    let Operation::PutFlow(mut own) = talk.anchor(0) else { panic!("a flow") };
    own.id = FlowId(u32::MAX);
    control.apply(1, vec![Operation::PutFlow(own)]);
    assert_eq!(control.hear(), invalid, "a name of the relay's own");
    control.apply(2, vec![Operation::PutLeg(Box::new(alice)), Operation::Confirm]);
    let unknown = OperationError::UnknownSession;
    assert_eq!(
        control.hear(),
        FromRelay::Failed { transaction: 1, session: SessionId(2), operation: 0, error: unknown }
    );
    assert_eq!(snapshot(&mut control), before);
}

#[test]
fn a_media_address_closes_when_no_leg_uses_it_and_can_be_opened_again() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let legs = talk.legs();
    talk.install(&mut control, legs.clone());
    talk.apply(&mut control, vec![talk.anchor(0), talk.anchor(1)]);
    let [alice, bob] = &talk.parties;
    let close = |party: &Party| party.media.map(|address| Operation::CloseMedia { address });
    let mut operations = vec![Operation::RemoveLeg(BOB)];
    operations.extend(close(bob));
    talk.apply(&mut control, operations);
    let report = talk.report(&mut control);
    assert_eq!((report.legs.len(), report.media.len(), report.flows.len()), (1, 2, 0), "both flows named it");
    alice.sends(&rtp(0, 1, &[1; 160]));
    bob.rtp.receives_nothing();
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while std::net::UdpSocket::bind(bob.media[0]).is_err() || std::net::UdpSocket::bind(bob.media[1]).is_err() {
        assert!(std::time::Instant::now() < deadline);
    }
    talk.install(&mut control, legs);
    alice.sends(&rtp(0, 2, &[1; 160]));
    assert_eq!(bob.rtp.receive().0, rtp(0, 2, &[1; 160]));
}

#[test]
fn a_leg_changes_in_a_call_and_keeps_what_it_measured() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    let [leg, bob_leg] = talk.legs();
    talk.install(&mut control, [leg.clone(), bob_leg]);
    let [alice, bob] = &talk.parties;
    alice.sends(&rtp(0, 1, &[1; 160]));
    bob.rtp.receive();
    // Hold, and back.
    talk.put(&mut control, Leg { to: Vec::new(), ..leg.clone() });
    alice.sends(&rtp(0, 2, &[1; 160]));
    bob.rtp.receives_nothing();
    let renamed = Route { leg: BOB, payload_types: vec![(0, 8)] };
    talk.put(&mut control, Leg { to: vec![renamed], ..leg });
    alice.sends(&rtp(0, 3, &[1; 160]));
    assert_eq!(bob.rtp.receive().0, rtp(8, 3, &[1; 160]));
    let report = talk.report(&mut control);
    assert_eq!(report.legs[0].received.rtp_packets, 3);
    assert_eq!(report.legs[0].dropped, [(DropReason::MediaUnrouted as u8, 1)]);
}

#[test]
fn the_last_figures_of_a_call_are_told_to_who_asks_before_it_ends_it() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, ["127.0.0.7", "127.0.0.9"]);
    talk.install(&mut control, talk.legs());
    talk.apply(&mut control, vec![talk.anchor(1)]);
    for (from, to) in [(0, 1), (1, 0)] {
        talk.parties[from].sends(&rtp(0, 1, &[5; 160]));
        talk.parties[to].rtp.receive();
    }
    let mut frame = FrameWriter::new();
    let session = SessionId(1);
    let removes = |operation| ToRelay::Apply { transaction: 2, session, operations: vec![operation], then_send: None };
    // A snapshot that is still being given keeps its place.
    assert!(frame.push(&ToRelay::Snapshot) && frame.push(&ToRelay::Report { session: Some(session) }));
    assert!(frame.push(&removes(Operation::RemoveSession)));
    control.say_octets(frame.frame());
    let mut told = Vec::new();
    while told.len() < 3 {
        match control.hear() {
            FromRelay::Leg { .. } => {}
            other => told.push(other),
        }
    }
    assert_eq!((&told[0], &told[2]), (&FromRelay::SnapshotEnd, &FromRelay::SnapshotEnd), "of all, and of one");
    let FromRelay::Session(report) = &told[1] else { panic!("no session but {:?}", told[1]) };
    assert_eq!((report.legs[0].received.rtp_packets, report.flows[0].packets), (1, 1));
}
