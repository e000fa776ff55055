//! A call between real interfaces: legs at the worker, flows in XDP, and a relay that is killed in the middle of it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use raceway_abi::{Counter, Direction};
use raceway_api::{
    Destination, Flow, FlowAction, FlowId, Framing, FromRelay, Leg, LegId, Match, MediaPath, Operation, PayloadRules,
    Punts, RelayPorts, Remote, Route, SessionId, ToRelay,
};
use raceway_relay::clock;

use crate::harness::{Control, Relay};
use crate::net::{Host, command};
use crate::place::with_bpf;
use crate::support::packet::rtp;
use crate::support::world::socket;
use crate::wire::{bind, greet, receive};

const SESSION: SessionId = SessionId(1);
const SECOND: Duration = Duration::from_secs(1);
/// Alice, our address that she talks to, ours that Bob talks to, Bob: one is of IPv4, one of IPv6.
const ALICE: &str = "10.1.0.2:5000";
const TO_ALICE: &str = "10.1.0.1:30000";
const TO_BOB: &str = "[fd02::1]:30002";
const BOB: &str = "[fd02::2]:6000";

struct Talk {
    alice: UdpSocket,
    bob: UdpSocket,
    sequence: u16,
}

impl Talk {
    /// Both say something, and hear each other.
    fn exchange(&mut self, packets: u16) {
        for _ in 0..packets {
            self.sequence += 1;
            let data = rtp(self.sequence, 160);
            self.alice.send_to(&data, socket(TO_ALICE)).expect("sent");
            assert_eq!(receive(&self.bob), (data.clone(), socket(TO_BOB)));
            self.bob.send_to(&data, socket(TO_BOB)).expect("sent");
            assert_eq!(receive(&self.alice), (data, socket(TO_ALICE)));
        }
    }
}

/// A control that is there, and has said on which ports media is.
fn control(relay: &Relay) -> Control {
    let mut control = Control::connect(relay);
    control.say(&ToRelay::Configure {
        listeners: Vec::new(),
        relay_addresses: Vec::new(),
        relay_ports: RelayPorts { first: 50_000, last: 50_999 },
        media_ports: Some(RelayPorts { first: 30_000, last: 30_999 }),
        stun_requests_per_second: 0,
    });
    control
}

/// The call, without flows.
fn call() -> Vec<Operation<'static>> {
    let expires_at_ns = clock::now().after(60 * SECOND).as_ns();
    let leg = |id, local, remote, to| Leg {
        to: vec![Route::to(LegId(to))],
        punt: Punts { stun: true, dtls: true },
        ..Leg::new(LegId(id), MediaPath { local: socket(local), remote: Some(socket(remote)) })
    };
    let open = |address| Operation::OpenMedia {
        address: socket(address),
        external: socket(address),
        bits_per_second: 10_000_000,
    };
    vec![
        Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: Vec::new().into() },
        open(TO_ALICE),
        open(TO_BOB),
        Operation::PutLeg(Box::new(leg(1, TO_ALICE, ALICE, 2))),
        Operation::PutLeg(Box::new(leg(2, TO_BOB, BOB, 1))),
    ]
}

fn flows() -> [Operation<'static>; 2] {
    let anchor = |id, remote, local, from, to, towards| {
        let matches = Match { remote: Remote::Exact(socket(remote)), local: socket(local), framing: Framing::Plain };
        let (from, to) = (socket(from), socket(to));
        let (dscp, payloads) = (Some(46), PayloadRules::default());
        let action = FlowAction::Anchor { towards, from, to, dscp, payloads, local_destination: false };
        // The same each time: what is equal keeps its figures.
        Operation::PutFlow(Flow { id: FlowId(id), matches, action, expires_at_ns: u64::MAX / 2 })
    };
    [
        anchor(1, ALICE, TO_ALICE, TO_BOB, BOB, Destination::Peer),
        anchor(2, BOB, TO_BOB, TO_ALICE, ALICE, Destination::Client),
    ]
}

fn apply(control: &mut Control, operations: impl IntoIterator<Item = Operation<'static>>) {
    let operations = operations.into_iter().chain([Operation::Confirm]).collect();
    control.apply(SESSION.0, operations);
    while control.hear() != (FromRelay::Applied { transaction: 1, session: SESSION }) {}
}

/// Packets relayed so far: in XDP, by workers.
fn relayed(control: &mut Control) -> (u64, u64) {
    control.say(&ToRelay::Statistics);
    let statistics = loop {
        if let FromRelay::Statistics(statistics) = control.hear() {
            break statistics;
        }
    };
    let sum = |counters: &[u64]| Direction::ALL.map(|d| counters[Counter::packets(d).index() as usize]).iter().sum();
    (sum(&statistics.xdp), sum(&statistics.worker))
}

fn punt(control: &mut Control) -> (SocketAddr, SocketAddr) {
    loop {
        if let FromRelay::Punt(punt) = control.hear() {
            break (punt.local, punt.remote);
        }
    }
}

#[test]
fn needs_bpf_a_call_moves_between_worker_and_xdp_and_outlives_the_relay() {
    with_bpf("call", |place| {
        let (alice, bob) = (Host::new(), Host::new());
        command(&["ip", "link", "set", "lo", "up"]);
        alice.link("c0", "c1", &[("10.1.0.1/24", "10.1.0.2/24")]);
        bob.link("p0", "p1", &[("fd02::1/64", "fd02::2/64")]);
        greet(&alice, &["10.1.0.1"]);
        greet(&bob, &["fd02::1"]);
        let pins = place.options.pin_dir.display();
        let lines = format!("workers = [0]\ninterfaces = [\"c0\", \"p0\"]\nxdp = \"native\"\npin_dir = \"{pins}\"");
        let mut relay = Relay::start_with("auto", &lines);
        let mut control_one = control(&relay);
        let mut talk = Talk { alice: bind(&alice, socket(ALICE)), bob: bind(&bob, socket(BOB)), sequence: 0 };
        apply(&mut control_one, call());
        talk.exchange(50);
        assert_eq!(relayed(&mut control_one), (0, 100), "legs are the worker's");
        apply(&mut control_one, flows());
        talk.exchange(50);
        assert_eq!(relayed(&mut control_one), (100, 100), "flows are XDP's");
        talk.alice.send_to(&stun(), socket(TO_ALICE)).expect("sent");
        assert_eq!(punt(&mut control_one), (socket(TO_ALICE), socket(ALICE)), "ICE of an anchored leg is control's");
        apply(&mut control_one, [1, 2].map(|id| Operation::RemoveFlow(FlowId(id))));
        talk.exchange(50);
        assert_eq!(relayed(&mut control_one), (100, 200), "and back");
        apply(&mut control_one, flows());
        relay.kill();
        talk.exchange(50);
        relay.restart();
        let mut control_two = control(&relay);
        apply(&mut control_two, call().into_iter().chain(flows()));
        control_two.say(&ToRelay::Synchronised);
        talk.exchange(50);
        assert_eq!(relayed(&mut control_two), (300, 0), "nothing passed the flows by");
        let sessions = control_two.snapshot();
        assert!(sessions[0].flows.iter().all(|flow| flow.xdp && flow.packets == 100), "{:?}", sessions[0].flows);
        talk.bob.send_to(&stun(), socket(TO_BOB)).expect("sent");
        assert_eq!(punt(&mut control_two), (socket(TO_BOB), socket(BOB)));
    });
}

fn stun() -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[7; 12]);
    message
}
