//! What control may say, and what happens when it says nothing.

use std::time::Duration;

use raceway_abi::{Counter, DropReason};
use raceway_api::{FlowId, FromRelay, Operation, OperationError, SessionId, ToRelay};

use crate::harness::{Call, Control, End, Relay, free_address};

const LONG: Duration = Duration::from_secs(60);

/// The failure of some operations of a session.
fn failure(control: &mut Control, session: u64, operations: Vec<Operation<'_>>) -> (u16, OperationError) {
    control.apply(session, operations);
    match control.hear() {
        FromRelay::Failed { transaction: 1, session: of, operation, error } => {
            assert_eq!(of, SessionId(session));
            (operation, error)
        }
        other => panic!("no failure but {other:?}"),
    }
}

#[test]
fn each_operation_that_cannot_be_done_says_why_and_nothing_is_sent() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    let other = Call::new(2, listeners[0], "127.0.0.1");
    call.install(&mut control, LONG);
    control.apply(2, vec![other.put_session(LONG, 0)]);
    let open = |address: std::net::SocketAddr| Operation::OpenRelayed { address, external: address };
    let expect = |control: &mut Control, session, operation, error| {
        assert_eq!(failure(control, session, vec![operation]), (0, error));
    };
    expect(&mut control, 9, Operation::Extend { flow: FlowId(1), expires_at_ns: 1 }, OperationError::UnknownSession);
    expect(&mut control, 1, Operation::Extend { flow: FlowId(9), expires_at_ns: 1 }, OperationError::UnknownFlow);
    expect(&mut control, 2, open(call.relayed), OperationError::AddressInUse);
    expect(&mut control, 2, open(call.peer.address()), OperationError::AddressInUse);
    expect(&mut control, 2, open("192.0.2.1:5000".parse().unwrap()), OperationError::AddressNotAvailable);
    expect(&mut control, 2, open("0.0.0.0:5000".parse().unwrap()), OperationError::Invalid);
    expect(&mut control, 2, call.channel(LONG).remove(0), OperationError::Invalid);
    control.apply(2, vec![open(other.relayed)]);
    let Operation::PutFlow(mut taken) = call.channel(LONG).remove(0) else { panic!("a flow") };
    if let raceway_api::FlowAction::Forward { from, .. } = &mut taken.action {
        *from = other.relayed;
    }
    expect(&mut control, 2, Operation::PutFlow(taken), OperationError::MatchTaken);
    // The second fails; the first stands; the client gets nothing.
    let then_send =
        raceway_api::Datagram { from: call.listener, to: call.client.address(), payload: b"not to be sent"[..].into() };
    let bad = Operation::Extend { flow: FlowId(9), expires_at_ns: 1 };
    control.apply_then_send(1, vec![Operation::RemoveFlow(FlowId(5)), bad], then_send);
    assert!(matches!(control.hear(), FromRelay::Failed { operation: 1, .. }));
    call.client.receives_nothing();
    assert_eq!(control.snapshot()[0].flows.len(), 4);
}

#[test]
fn a_full_table_refuses_and_removal_makes_room() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    let mut operations = vec![call.put_session(LONG, 0)];
    operations.extend(call.allocation(LONG));
    call.apply(&mut control, operations);
    let Operation::PutFlow(template) = call.channel(LONG).remove(1) else { panic!("a flow") };
    let flow = |n: u32| {
        let mut flow = template;
        flow.id = FlowId(n);
        flow.matches.remote = raceway_api::Remote::Exact(([127, 1, (n >> 8) as u8, n as u8], 9).into());
        Operation::PutFlow(flow)
    };
    for first in (10..10 + 4096).step_by(64) {
        control.apply(1, (first..first + 64).map(flow).collect());
    }
    // 4096 slots, of which two were taken.
    let FromRelay::Failed { error, operation, .. } = control.hear() else { panic!("a failure") };
    assert_eq!((error, operation), (OperationError::FlowsFull, 62));
    assert_eq!(control.statistics().flows_worker, 4096);
    call.apply(&mut control, (10..60).map(|n| Operation::RemoveFlow(FlowId(n))).collect());
    std::thread::sleep(Duration::from_millis(300));
    call.apply(&mut control, (10..60).map(flow).collect());
}

#[test]
fn control_hears_no_more_of_a_prefix_than_its_budget() {
    const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    // Two seconds' worth may come at once; none is added while this runs.
    control.configure_with(&listeners, &[], 1);
    let (many, other) = (End::new("127.0.0.1"), End::new("127.0.1.1"));
    (0..10).for_each(|_| many.send(listeners[0], &BINDING));
    other.send(listeners[0], &BINDING);
    let heard: Vec<_> = (0..3).map(|_| control.hear()).collect();
    let of = |end: &End| heard.iter().filter(|m| matches!(m, FromRelay::Punt(p) if p.remote == end.address())).count();
    assert_eq!((of(&many), of(&other)), (2, 1));
    let worker = control.statistics().worker;
    assert_eq!(worker[Counter::drops(DropReason::StunBudget).index() as usize], 8);
}

#[test]
fn listeners_come_and_go_without_harm_to_those_that_stay() {
    let relay = Relay::start("[0, 1]");
    let (mut control, mut listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    call.install(&mut control, LONG);
    let extra = free_address("127.0.0.1");
    listeners.push(extra);
    for _ in 0..3 {
        control.configure(&listeners);
        let client = End::new("127.0.0.1");
        client.send(extra, &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(matches!(control.hear(), FromRelay::Punt(punt) if punt.local == extra));
        control.configure(&listeners[..1]);
        call.channel_works(b"goes on");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_a_problem_told() {
    let relay = Relay::start("[0]");
    let mut control = Control::connect(&relay);
    control.say(&ToRelay::Configure {
        listeners: vec![raceway_api::Listener { address: "192.0.2.1:3478".parse().unwrap() }],
        relay_addresses: Vec::new(),
        relay_ports: raceway_api::RelayPorts { first: 49152, last: 65535 },
        media_ports: None,
        stun_requests_per_second: 0,
    });
    let FromRelay::Problem(problem) = control.hear() else { panic!("a problem") };
    assert!(problem.contains("192.0.2.1:3478"), "{problem}");
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    call.install(&mut control, LONG);
    const VERSION: u8 = raceway_api::API_VERSION as u8;
    for frame in [&[9, 0, 1][..], &[1], &[VERSION, 0, 255, 255, 255, 255, 0], &[7; 3000]] {
        let mut fool = Control::connect(&relay);
        fool.say_octets(frame);
        assert!(matches!(fool.hear(), FromRelay::Problem(_)));
        assert!(fool.try_hear().is_none());
    }
    call.channel_works(b"unharmed");
    assert_eq!(Control::connect(&relay).snapshot().len(), 1);
}

#[test]
fn a_control_that_does_not_read_stops_no_media() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    call.install(&mut control, LONG);
    let mut request = vec![0, 1, 0x05, 0x00, 0x21, 0x12, 0xa4, 0x42];
    request.resize(20 + 0x500, 0);
    let noisy = End::new("127.0.0.1");
    let mut sent = 0u64;
    for round in 0..200 {
        for _ in 0..50 {
            noisy.send(call.listener, &request);
            sent += 1;
        }
        call.channel_works(format!("round {round}").as_bytes());
    }
    // Now control reads: all that was not dropped, and then the figures.
    control.say(&ToRelay::Statistics);
    let mut punts = 0u64;
    let worker = loop {
        match control.hear() {
            FromRelay::Punt(_) => punts += 1,
            FromRelay::Statistics(statistics) => break statistics.worker,
            other => panic!("{other:?}"),
        }
    };
    let congested = worker[Counter::drops(DropReason::ControlCongested).index() as usize];
    assert!(congested > 0, "{punts} of {sent} passed");
    call.channel_works(b"still");
}

#[test]
fn another_control_takes_over() {
    let relay = Relay::start("[0]");
    let (mut first, _) = relay.control(&["127.0.0.1"]);
    let mut second = Control::connect(&relay);
    assert!(first.try_hear().is_none());
    assert!(second.snapshot().is_empty());
}

#[test]
fn thousands_of_sessions_a_second_and_a_snapshot_of_all() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let started = std::time::Instant::now();
    for session in 0..1000u64 {
        let operations = vec![Operation::PutSession {
            worker: 0,
            expires_at_ns: Call::expiry(LONG),
            bits_per_second: 1_000_000,
            blob: vec![session as u8; 1000].into(),
        }];
        control.apply(session, operations);
        let relayed = ([127, 0, 0, 2], 20_000 + session as u16).into();
        let flow = raceway_api::Flow {
            id: FlowId(1),
            matches: raceway_api::Match {
                remote: raceway_api::Remote::Any,
                local: relayed,
                framing: raceway_api::Framing::Plain,
            },
            action: raceway_api::FlowAction::Refuse,
            expires_at_ns: Call::expiry(LONG),
        };
        let open = Operation::OpenRelayed { address: relayed, external: relayed };
        control.apply(session, vec![open, Operation::PutFlow(flow)]);
    }
    assert_eq!(control.statistics().sessions, 1000);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let sessions = control.snapshot();
    assert_eq!(sessions.len(), 1000);
    assert!(sessions.iter().all(|session| session.blob.len() == 1000 && session.flows.len() == 1));
    control.hears_nothing();
    let _ = listeners;
}
