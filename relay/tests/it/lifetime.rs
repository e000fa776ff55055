//! What ends, when, and what outlives it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use raceway_abi::{Counter, DropReason};
use raceway_api::{FlowId, FromRelay, Operation, SessionId};

use crate::harness::{CHANNEL, Call, Control, PATIENCE, Relay, channel_data};

const LONG: Duration = Duration::from_secs(60);

fn call(relay: &Relay) -> (Control, Call) {
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    call.install(&mut control, LONG);
    (control, call)
}

#[test]
fn a_removed_flow_passes_nothing_and_the_others_go_on() {
    let relay = Relay::start("[0]");
    let (mut control, call) = call(&relay);
    call.channel_works(b"before");
    call.apply(&mut control, vec![Operation::RemoveFlow(FlowId(5))]);
    // The permission is still there, so the peer comes as an indication.
    call.peer.send(call.relayed, b"after");
    assert_eq!(call.client.receive().0[..2], [0x00, 0x17]);
    call.client.send(call.listener, &channel_data(CHANNEL, b"out"));
    assert_eq!(call.peer.receive().0, b"out");
}

#[test]
fn a_flow_stops_at_its_expiry_and_an_extension_counts() {
    let relay = Relay::start("[0]");
    let (mut control, call) = call(&relay);
    let soon = Call::expiry(Duration::from_millis(300));
    call.apply(
        &mut control,
        vec![
            Operation::Extend { flow: FlowId(4), expires_at_ns: soon },
            Operation::Extend { flow: FlowId(5), expires_at_ns: soon },
        ],
    );
    call.channel_works(b"still");
    let later = Call::expiry(Duration::from_millis(600));
    call.apply(&mut control, vec![Operation::Extend { flow: FlowId(4), expires_at_ns: later }]);
    std::thread::sleep(Duration::from_millis(350));
    call.client.send(call.listener, &channel_data(CHANNEL, b"extended"));
    assert_eq!(call.peer.receive().0, b"extended");
    call.peer.send(call.relayed, b"x");
    assert_eq!(call.client.receive().0[..2], [0x00, 0x17], "only the permission is left");
    std::thread::sleep(Duration::from_millis(300));
    call.client.send(call.listener, &channel_data(CHANNEL, b"late"));
    call.peer.receives_nothing();
    let worker = control.statistics().worker;
    let drops = |reason| worker[Counter::drops(reason).index() as usize];
    assert_eq!(drops(DropReason::Expired) + drops(DropReason::UnboundChannel), 1);
    assert_eq!(control.snapshot()[0].flows.len(), 3, "expired flows are gone");
}

#[test]
fn an_expired_session_is_reported_and_its_port_is_free_again() {
    let relay = Relay::start("[0]");
    let (mut control, call) = call(&relay);
    call.apply(&mut control, vec![call.put_session(Duration::from_millis(200), 0)]);
    let started = Instant::now();
    assert_eq!(control.hear(), FromRelay::Expired(SessionId(1)));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(control.snapshot().is_empty());
    becomes_free(call.relayed);
}

fn becomes_free(address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while std::net::UdpSocket::bind(address).is_err() {
        assert!(Instant::now() < deadline, "the relayed address stays bound");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_removed_session_can_come_back_on_the_same_address() {
    let relay = Relay::start("[0]");
    let (mut control, call) = call(&relay);
    for _ in 0..3 {
        call.channel_works(b"up");
        control.apply(1, vec![Operation::RemoveSession]);
        assert_eq!(control.statistics().sessions, 0);
        call.client.send(call.listener, &channel_data(CHANNEL, b"gone"));
        call.peer.receives_nothing();
        becomes_free(call.relayed);
        call.install(&mut control, LONG);
    }
    call.channel_works(b"up");
}

#[test]
fn control_may_die_and_the_next_one_learns_everything() {
    let relay = Relay::start("[0]");
    let (control, call) = call(&relay);
    let instance = control.instance;
    let before = control.connections;
    drop(control);
    call.channel_works(b"nobody decides");
    let mut control = Control::connect(&relay);
    assert_eq!((control.instance, control.connections), (instance, before + 1));
    let sessions = control.snapshot();
    assert_eq!(sessions.len(), 1);
    assert_eq!(*sessions[0].blob, 1u64.to_be_bytes());
    assert_eq!(sessions[0].relayed, [(call.relayed, call.relayed)]);
    assert_eq!(sessions[0].flows.len(), 5);
    // The same flows again keep their counters.
    let flows: Vec<_> = sessions[0].flows.iter().map(|flow| Operation::PutFlow(flow.flow)).collect();
    call.apply(&mut control, flows);
    assert_eq!(control.snapshot(), sessions);
}

#[test]
fn the_relay_may_die_and_control_sets_it_up_again() {
    let mut relay = Relay::start("[0]");
    let (control, call) = call(&relay);
    let instance = control.instance;
    relay.replace();
    let mut control = Control::connect(&relay);
    assert_ne!(control.instance, instance);
    assert!(control.snapshot().is_empty());
    control.configure(&[call.listener]);
    call.install(&mut control, LONG);
    control.say(&raceway_api::ToRelay::Synchronised);
    call.channel_works(b"again");
}

#[test]
fn sigterm_ends_the_relay_at_once() {
    let mut relay = Relay::start("[0, 1]");
    let (_control, call) = call(&relay);
    call.channel_works(b"up");
    let (took, well) = relay.terminate();
    assert!(well && took < Duration::from_secs(1), "{took:?}");
}
