//! What a client and its peer see.

use std::time::Duration;

use raceway_abi::{Counter, Direction, DropReason};
use raceway_api::{FromRelay, Operation, RelayAddress};

use crate::harness::{CHANNEL, Call, End, Relay, channel_data};

const BACK_ENDS: [&str; 2] = ["io-uring", "mmsg"];
const LONG: Duration = Duration::from_secs(60);
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A STUN message with attributes.
fn stun(kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(&[7; 12]);
    out.extend_from_slice(&body);
    out
}

/// XOR-PEER-ADDRESS of a message with transaction `[7; 12]`.
fn xor_peer(address: std::net::SocketAddr) -> (u16, Vec<u8>) {
    let mask: Vec<u8> = COOKIE.iter().chain(&[7; 12]).copied().collect();
    let ip = match address.ip() {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let mut value = vec![0, if ip.len() == 4 { 1 } else { 2 }];
    value.extend_from_slice(&(address.port() ^ 0x2112).to_be_bytes());
    value.extend(ip.iter().zip(&mask).map(|(octet, mask)| octet ^ mask));
    (0x0012, value)
}

fn send_indication(call: &Call, data: &[u8]) -> Vec<u8> {
    stun(0x0016, &[xor_peer(call.peer.address()), (0x0013, data.to_vec())])
}

/// Peer and data of a Data indication.
fn data_indication(message: &[u8]) -> (std::net::SocketAddr, Vec<u8>) {
    let mut message = message.to_vec();
    assert_eq!(message[..2], [0x00, 0x17]);
    // Send and Data indications have one form.
    message[1] = 0x16;
    let head = raceway_stun::header(&message).expect("a proper header");
    let read = raceway_stun::send_indication(&head, &message).expect("a proper indication");
    (read.peer.into(), message[read.data].to_vec())
}

fn call(relay: &Relay, hosts: [&str; 2]) -> (crate::harness::Control, Call) {
    let (mut control, listeners) = relay.control(&[hosts[0]]);
    let call = Call::new(1, listeners[0], hosts[1]);
    call.install(&mut control, LONG);
    (control, call)
}

#[test]
fn channel_data_passes_both_ways_within_and_between_families() {
    let hosts = [["127.0.0.1", "127.0.0.1"], ["::1", "::1"], ["127.0.0.1", "::1"], ["::1", "127.0.0.1"]];
    for (hosts, io) in hosts.into_iter().flat_map(|hosts| BACK_ENDS.map(|io| (hosts, io))) {
        let relay = Relay::start_over(io, "[0]");
        let (mut control, call) = call(&relay, hosts);
        for data in [&b"first"[..], b"", &[9; 1400]] {
            call.channel_works(data);
        }
        let worker = control.statistics().worker;
        for direction in Direction::ALL {
            assert_eq!(worker[Counter::packets(direction).index() as usize], 3);
            assert_eq!(worker[Counter::octets(direction).index() as usize], 1405);
        }
        let report = control.snapshot();
        let flow = report[0].flows.iter().find(|flow| flow.flow.id.0 == 4).unwrap();
        assert_eq!((flow.packets, flow.octets, flow.dropped), (3, 1405, 0));
    }
}

#[test]
fn padding_behind_channel_data_is_not_relayed() {
    let relay = Relay::start("[0]");
    let (_control, call) = call(&relay, ["127.0.0.1", "127.0.0.1"]);
    let mut padded = channel_data(CHANNEL, b"hello");
    padded.extend_from_slice(&[0; 3]);
    call.client.send(call.listener, &padded);
    assert_eq!(call.peer.receive().0, b"hello");
}

#[test]
fn an_address_to_relay_on_is_ours_from_when_control_names_it() {
    let relay = Relay::start("[0]");
    let (mut control, call) = call(&relay, ["127.0.0.1", "127.0.0.1"]);
    call.client.send(call.listener, &send_indication(&call, b"not ours"));
    assert_eq!(call.peer.receive(), (b"not ours".to_vec(), call.relayed));
    let (internal, external) = (call.peer.address().ip(), "203.0.113.9".parse().unwrap());
    control.configure_with(&[call.listener], &[RelayAddress { internal, external }], 0);
    call.client.send(call.listener, &send_indication(&call, b"a service of this machine"));
    call.peer.receives_nothing();
    assert_eq!(control.statistics().worker[Counter::drops(DropReason::NoPermission).index() as usize], 1);
}

#[test]
fn indications_pass_both_ways_in_both_families() {
    for host in ["127.0.0.1", "::1"] {
        let relay = Relay::start("[0]");
        let (_control, call) = call(&relay, ["127.0.0.1", host]);
        call.client.send(call.listener, &send_indication(&call, b"to the peer"));
        if host == "::1" {
            // Here the peer has the relay's own address, and is not relayed: sending there is refused.
            call.peer.receives_nothing();
        } else {
            assert_eq!(call.peer.receive(), (b"to the peer".to_vec(), call.relayed));
        }
        // A peer of the permitted address on another port has no channel.
        let other = End::new(&call.peer.address().ip().to_string());
        for data in [&b"hello"[..], b""] {
            other.send(call.relayed, data);
            let (message, from) = call.client.receive();
            assert_eq!(from, call.listener);
            assert_eq!(data_indication(&message), (other.address(), data.to_vec()));
        }
    }
}

#[test]
fn dont_fragment_is_obeyed_and_undone() {
    let relay = Relay::start("[0]");
    let (_control, call) = call(&relay, ["127.0.0.1", "127.0.0.1"]);
    let attributes = [xor_peer(call.peer.address()), (0x001a, Vec::new()), (0x0013, b"whole".to_vec())];
    call.client.send(call.listener, &stun(0x0016, &attributes));
    assert_eq!(call.peer.receive().0, b"whole");
    call.channel_works(b"as before");
}

#[test]
fn a_refused_port_is_reported_with_its_icmp_message() {
    BACK_ENDS.into_iter().for_each(refused_port);
}

fn refused_port(io: &'static str) {
    let relay = Relay::start_over(io, "[0]");
    let (_control, call) = call(&relay, ["127.0.0.1", "127.0.0.1"]);
    let closed = crate::harness::free_address(crate::harness::PEER_HOST);
    call.client.send(call.listener, &stun(0x0016, &[xor_peer(closed), (0x0013, b"anyone?".to_vec())]));
    let (message, from) = call.client.receive();
    assert_eq!(from, call.listener);
    assert_eq!(message[..2], [0x00, 0x17]);
    // ICMP attribute: type 3, code 3 (port unreachable).
    assert_eq!(message[message.len() - 12..], [0x80, 0x04, 0, 8, 0, 0, 3, 3, 0, 0, 0, 0]);
    call.channel_works(b"and all goes on");
}

#[test]
fn what_has_no_permission_is_dropped_and_counted() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    let mut operations = vec![call.put_session(LONG, 0)];
    operations.extend(call.allocation(LONG));
    call.apply(&mut control, operations);
    call.peer.send(call.relayed, b"uninvited");
    call.client.send(call.listener, &send_indication(&call, b"not permitted"));
    call.client.send(call.listener, &channel_data(CHANNEL, b"not bound"));
    let stranger = End::new("127.0.0.1");
    stranger.send(call.listener, &send_indication(&call, b"no allocation"));
    stranger.send(call.listener, b"\xffwhat is this");
    stranger.send(call.listener, &[0, 1, 0, 9, 0x21, 0x12, 0xa4, 0x42]);
    stranger.send(call.listener, &[0x40, 1, 0, 9, 1]);
    call.peer.receives_nothing();
    call.client.receives_nothing();
    let worker = control.statistics().worker;
    for (reason, count) in [
        (DropReason::NoPermission, 2),
        (DropReason::UnboundChannel, 1),
        (DropReason::NoAllocation, 1),
        (DropReason::UnknownProtocol, 1),
        (DropReason::MalformedStun, 1),
        (DropReason::MalformedChannelData, 1),
    ] {
        assert_eq!(worker[Counter::drops(reason).index() as usize], count, "{reason:?}");
    }
}

#[test]
fn requests_go_to_control_and_answers_come_back() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1", "::1"]);
    for listener in listeners {
        let client = End::new(&listener.ip().to_string());
        let request = stun(0x0001, &[]);
        client.send(listener, &request);
        let FromRelay::Punt(punt) = control.hear() else { panic!("a punt") };
        assert_eq!((punt.local, punt.remote, &*punt.payload), (listener, client.address(), &request[..]));
        control.say(&raceway_api::ToRelay::Send(raceway_api::Datagram {
            from: punt.local,
            to: punt.remote,
            payload: b"answer"[..].into(),
        }));
        assert_eq!(client.receive(), (b"answer".to_vec(), listener));
    }
}

#[test]
fn a_rate_limit_holds_in_each_direction() {
    let relay = Relay::start("[0]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let call = Call::new(1, listeners[0], "127.0.0.1");
    let mut operations = vec![call.put_session(LONG, 0)];
    operations.extend(call.allocation(LONG));
    operations.push(call.permission(LONG));
    operations.extend(call.channel(LONG));
    // The limit comes when the flows are there already.
    operations.push(call.put_session(LONG, 80_000));
    call.apply(&mut control, operations);
    // A quarter of a second at once, or two whole datagrams: 8192 octets, eight datagrams with their headers.
    for _ in 0..40 {
        call.client.send(call.listener, &channel_data(CHANNEL, &[1; 996]));
    }
    for _ in 0..8 {
        assert_eq!(call.peer.receive().0.len(), 996);
    }
    call.peer.receives_nothing();
    call.peer.send(call.relayed, &[2; 1000]);
    assert_eq!(call.client.receive().0.len(), 1004);
    let worker = control.statistics().worker;
    assert!(worker[Counter::drops(DropReason::Policed).index() as usize] >= 30);
    // Lifting it works in place.
    call.apply(&mut control, vec![call.put_session(LONG, 0)]);
    call.channel_works(&[3; 1000]);
}

#[test]
fn two_relayed_here_talk_through_both_channels() {
    let relay = Relay::start("[0, 1]");
    let (mut control, listeners) = relay.control(&["127.0.0.1"]);
    let one = Call::new(1, listeners[0], "127.0.0.1");
    let two = Call::new(2, listeners[0], "127.0.0.1");
    // Each is the other's peer.
    let (relayed_one, relayed_two) = (one.relayed, two.relayed);
    let hairpin = |call: &Call, peer: std::net::SocketAddr| {
        let mut operations = vec![call.put_session(LONG, 0)];
        operations.extend(call.allocation(LONG));
        operations.push(call.permission(LONG));
        operations.extend(call.channel(LONG).into_iter().map(|operation| match operation {
            Operation::PutFlow(mut flow) => {
                if let raceway_api::FlowAction::Forward { to, local_destination, .. } = &mut flow.action
                    && flow.id.0 == 4
                {
                    (*to, *local_destination) = (peer, true);
                }
                if flow.id.0 == 5 {
                    flow.matches.remote = raceway_api::Remote::Exact(peer);
                }
                Operation::PutFlow(flow)
            }
            other => other,
        }));
        operations
    };
    let (for_one, for_two) = (hairpin(&one, relayed_two), hairpin(&two, relayed_one));
    one.apply(&mut control, for_one);
    // The other end does not exist yet: nothing may leave towards its address.
    one.client.send(one.listener, &channel_data(CHANNEL, b"too early"));
    let refused = Counter::drops(DropReason::NoPermission).index() as usize;
    while control.statistics().worker[refused] == 0 {}
    two.apply(&mut control, for_two);
    one.client.send(one.listener, &channel_data(CHANNEL, b"hello"));
    assert_eq!(two.client.receive().0, channel_data(CHANNEL, b"hello"));
    two.client.send(two.listener, &channel_data(CHANNEL, b"you"));
    assert_eq!(one.client.receive().0, channel_data(CHANNEL, b"you"));
}
