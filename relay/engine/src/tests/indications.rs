//! Send and Data indications, and ICMP reports.

use raceway_stun::{Icmp, MAGIC_COOKIE, header, padding, send_indication};

use super::*;
use crate::Forward;
use crate::limits::ICMP_BURST;

const TRANSACTION: [u8; 12] = [5; 12];

fn message(kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(&MAGIC_COOKIE);
    out.extend_from_slice(&TRANSACTION);
    out.extend_from_slice(&body);
    out
}

fn xor_peer(peer: Endpoint) -> (u16, Vec<u8>) {
    let mask: Vec<u8> = MAGIC_COOKIE.iter().chain(&TRANSACTION).copied().collect();
    let (family, address) = match peer.v4() {
        Some(v4) => (1, v4.to_vec()),
        None => (2, peer.address.to_vec()),
    };
    let mut value = vec![0, family];
    value.extend_from_slice(&(peer.port ^ 0x2112).to_be_bytes());
    value.extend(address.iter().zip(&mask).map(|(octet, mask)| octet ^ mask));
    (0x0012, value)
}

fn send_to(peer: Endpoint, data: &[u8]) -> Vec<u8> {
    message(0x0016, &[xor_peer(peer), (0x0013, data.to_vec())])
}

/// Peer and data of a Data indication.
fn read(indication: &[u8]) -> (Endpoint, Vec<u8>) {
    assert_eq!(indication[..2], [0x00, 0x17]);
    let mut copy = indication.to_vec();
    // Send and Data indications have one form.
    copy[1] = 0x16;
    let read = send_indication(&header(&copy).unwrap(), &copy).unwrap();
    (read.peer, copy[read.data].to_vec())
}

#[test]
fn a_send_indication_leaves_from_the_relayed_address() {
    let mut world = World::with_call();
    let (verdict, sent) = world.client_sends(&send_to(PEER, b"hello"));
    assert!(matches!(verdict, Verdict::Forward(Forward { egress: FROM_RELAYED, to: PEER, dont_fragment: false, .. })));
    assert_eq!(sent, b"hello");
    assert_eq!(world.relayed(Direction::ClientToPeer), (1, 5));
    // A permission is for an address: any port of it.
    let (verdict, _) = world.client_sends(&send_to(Endpoint { port: 1, ..PEER }, b""));
    assert!(matches!(verdict, Verdict::Forward(Forward { to, .. }) if to.port == 1));
}

#[test]
fn dont_fragment_is_passed_on() {
    let mut world = World::with_call();
    let attributes = [xor_peer(PEER), (0x001a, vec![]), (0x0013, b"x".to_vec())];
    let (verdict, _) = world.client_sends(&message(0x0016, &attributes));
    assert!(matches!(verdict, Verdict::Forward(Forward { dont_fragment: true, .. })));
}

#[test]
fn each_family_has_its_relayed_address() {
    let mut world = World::new();
    let (relayed, peer) = (v6(1, 50_000), v6(7, 6000));
    world.put(unwrap(CLIENT, Endpoint::default(), Some(relayed)), [9, FROM_RELAYED_V6]);
    world.put(permission(peer, relayed), [FROM_LISTENER, 0]);
    let (verdict, _) = world.client_sends(&send_to(peer, b"x"));
    assert!(matches!(verdict, Verdict::Forward(Forward { egress: FROM_RELAYED_V6, to, .. }) if to == peer));
    assert_eq!(world.client_sends(&send_to(PEER, b"x")).0, Verdict::Drop(DropReason::NoPermission));
}

#[test]
fn what_a_send_indication_may_not_do_has_its_reason() {
    let mut world = World::with_call();
    let stranger = world.take(Arrival::Listener, PEER, LISTENER, &send_to(PEER, b"x")).0;
    assert_eq!(stranger, Verdict::Drop(DropReason::NoAllocation));
    let unpermitted = v4([192, 0, 2, 8], 6000);
    assert_eq!(world.client_sends(&send_to(unpermitted, b"x")).0, Verdict::Drop(DropReason::NoPermission));
    let unknown = [xor_peer(PEER), (0x7777, vec![]), (0x0013, b"x".to_vec())];
    assert_eq!(world.client_sends(&message(0x0016, &unknown)).0, Verdict::Drop(DropReason::MalformedStun));
    world.expire(&permission(PEER, RELAYED).key);
    assert_eq!(world.client_sends(&send_to(PEER, b"x")).0, Verdict::Drop(DropReason::NoPermission));
    world.expire(&unwrap(CLIENT, RELAYED, None).key);
    assert_eq!(world.client_sends(&send_to(PEER, b"x")).0, Verdict::Drop(DropReason::NoAllocation));
}

#[test]
fn requests_and_other_indications_go_to_control_and_responses_nowhere() {
    let mut world = World::with_call();
    for kind in [0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0011, 0x0017] {
        assert_eq!(world.client_sends(&message(kind, &[])).0, Verdict::Punt, "{kind:#06x}");
    }
    for kind in [0x0101, 0x0113] {
        assert_eq!(world.client_sends(&message(kind, &[])).0, Verdict::Drop(DropReason::UnknownProtocol));
    }
}

#[test]
fn a_permitted_peer_without_channel_comes_as_a_data_indication() {
    let mut world = World::with_call();
    let peer = Endpoint { port: 9, ..PEER };
    for data in [&b"hello"[..], b"", b"1234", &[7; 1200]] {
        let (verdict, sent) = world.peer_sends(peer, data);
        assert!(matches!(verdict, Verdict::Forward(Forward { egress: FROM_LISTENER, to: CLIENT, .. })));
        assert_eq!(read(&sent), (peer, data.to_vec()));
        assert_eq!(sent.len() % 4, 0);
        // Padding is zero: what the buffer held before is somebody else's.
        assert!(sent[sent.len() - padding(data.len())..].iter().all(|octet| *octet == 0));
    }
    let transaction = |world: &mut World| world.peer_sends(peer, b"x").1[8..20].to_vec();
    assert_ne!(transaction(&mut world), transaction(&mut world));
}

#[test]
fn padding_that_does_not_fit_is_refused_and_not_written_elsewhere() {
    let world = World::with_call();
    let mut buffer = vec![0; HEADROOM + 5];
    let datagram = Datagram {
        arrival: Arrival::Relayed,
        local: RELAYED,
        remote: Endpoint { port: 9, ..PEER },
        buffer: &mut buffer,
        payload: HEADROOM..HEADROOM + 5,
    };
    let World { mut forwarder, .. } = world;
    assert_eq!(forwarder.handle(NOW, datagram), Verdict::Drop(DropReason::Oversized));
}

/// Two clients relayed here behind a 1:1 NAT: 10.0.0.2 is 203.0.113.2 to the world.
fn behind_nat() -> (World, Endpoint, Endpoint) {
    let mut world = World::new();
    let (internal, external) = (v4([10, 0, 0, 2], 50_001), v4([203, 0, 113, 2], 50_001));
    world.own.add(RELAYED.address, external.address).unwrap();
    world.own.add(LISTENER.address, LISTENER.address).unwrap();
    world.put(unwrap(CLIENT, RELAYED, None), [FROM_RELAYED, 0]);
    world.put(refuse(RELAYED, Endpoint { port: RELAYED.port, ..external }), [0, 0]);
    world.put(permission(internal, RELAYED), [FROM_LISTENER, 0]);
    (world, internal, external)
}

#[test]
fn a_peer_relayed_here_is_reached_inside_and_named_outside() {
    let (mut world, internal, external) = behind_nat();
    // Not allocated yet: the address is ours, and nothing of ours is there.
    assert_eq!(world.client_sends(&send_to(external, b"x")).0, Verdict::Drop(DropReason::NoPermission));
    world.put(refuse(internal, external), [0, 0]);
    let (verdict, _) = world.client_sends(&send_to(external, b"x"));
    assert!(matches!(verdict, Verdict::Forward(Forward { to, .. }) if to == internal));
    let (_, sent) = world.peer_sends(internal, b"hello");
    assert_eq!(read(&sent), (external, b"hello".to_vec()));
}

#[test]
fn our_own_addresses_are_reached_only_where_something_is_relayed() {
    let (mut world, ..) = behind_nat();
    world.put(permission(LISTENER, RELAYED), [FROM_LISTENER, 0]);
    for own in [LISTENER, v4([10, 0, 0, 1], 22), v4([10, 0, 0, 2], 22), v4([203, 0, 113, 2], 22)] {
        assert_eq!(world.client_sends(&send_to(own, b"x")).0, Verdict::Drop(DropReason::NoPermission));
    }
}

#[test]
fn an_icmp_message_reaches_the_client_of_a_permitted_peer() {
    let mut world = World::with_call();
    let icmp = Icmp { kind: 3, code: 3, data: 0 };
    let report = world.forwarder.handle_icmp(NOW, RELAYED, PEER, icmp).unwrap();
    assert_eq!((report.egress, report.to), (FROM_LISTENER, CLIENT));
    assert_eq!(report.message()[..2], [0x00, 0x17]);
    assert_eq!(report.message()[report.message().len() - 12..], [0x80, 0x04, 0, 8, 0, 0, 3, 3, 0, 0, 0, 0]);
    let stranger = v4([192, 0, 2, 8], 1);
    assert_eq!(world.forwarder.handle_icmp(NOW, RELAYED, stranger, icmp), None);
    for kind in [0, 5, 8, 12] {
        assert_eq!(world.forwarder.handle_icmp(NOW, RELAYED, PEER, Icmp { kind, ..icmp }), None);
    }
    let (relayed, peer) = (v6(1, 50_000), v6(7, 6000));
    world.put(permission(peer, relayed), [FROM_LISTENER, 0]);
    let mut told = |kind| world.forwarder.handle_icmp(NOW, relayed, peer, Icmp { kind, ..icmp }).is_some();
    assert!(
        (0..=255).filter(|kind| told(*kind)).eq(1..=3),
        "unreachable, too big, time exceeded (RFC 8656 section 11.5)"
    );
    world.expire(&permission(PEER, RELAYED).key);
    assert_eq!(world.forwarder.handle_icmp(NOW, RELAYED, PEER, icmp), None);
}

#[test]
fn an_icmp_message_about_a_muted_peer_is_told_to_nobody() {
    let mut world = World::with_call();
    let muted = v4([192, 0, 2, 8], 6000);
    let key = key(muted, RELAYED, CHANNEL_NONE).any_port();
    world.put(spec(key, Action::Drop, Endpoint::default(), Endpoint::default()), [0, 0]);
    let icmp = Icmp { kind: 3, code: 3, data: 0 };
    assert_eq!(world.forwarder.handle_icmp(NOW, RELAYED, muted, icmp), None);
}

#[test]
fn icmp_reports_to_one_client_are_limited() {
    let mut world = World::with_call();
    let icmp = Icmp { kind: 11, code: 0, data: 0 };
    let told = (0..100).filter(|_| world.forwarder.handle_icmp(NOW, RELAYED, PEER, icmp).is_some()).count();
    assert_eq!(told as u64, ICMP_BURST);
}
