//! ChannelBind (RFC 8656 section 12.2).

use std::net::SocketAddr;

use raceway_api::{Destination, FlowAction, Framing, Remote};
use raceway_turn::limits;

use crate::wire::*;
use crate::world::*;

const OUT: u32 = 2 << 28;
const IN: u32 = 3 << 28;

fn allocated() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[number(LIFETIME, 3600)]).is_success());
    (world, client)
}

#[test]
fn a_channel_is_two_flows_and_a_permission() {
    let (mut world, mut client) = allocated();
    let response = client.bind(&mut world, 0x4001, address(PEER));
    assert!(response.is_success());
    assert_eq!(response.kinds(), [MESSAGE_INTEGRITY]);
    let relayed = world.relay.sessions.values().next().unwrap().relayed[0].0;
    let out = world.flow(&client, OUT | 0x4001).unwrap();
    assert_eq!((out.matches.remote, out.matches.local), (Remote::Exact(client.address), address(LISTENER)));
    assert_eq!(out.matches.framing, Framing::Channel(0x4001));
    let expected = FlowAction::Forward {
        towards: Destination::Peer,
        from: relayed,
        to: address(PEER),
        framing: Framing::Plain,
        local_destination: false,
    };
    assert_eq!((out.action, out.expires_at_ns), (expected, world.in_s(600)));
    let back = world.flow(&client, IN | 0x4001).unwrap();
    assert_eq!((back.matches.remote, back.matches.local), (Remote::Exact(address(PEER)), relayed));
    assert_eq!(back.matches.framing, Framing::Plain);
    let expected = FlowAction::Forward {
        towards: Destination::Client,
        from: address(LISTENER),
        to: client.address,
        framing: Framing::Channel(0x4001),
        local_destination: false,
    };
    assert_eq!((back.action, back.expires_at_ns), (expected, world.in_s(300)), "the permission ends first");
    assert_eq!(world.flow(&client, 1 << 28).unwrap().expires_at_ns, world.in_s(300));
    assert_eq!(world.flows(&client).len(), 5);
}

#[test]
fn a_permission_refresh_prolongs_the_channels_way_back() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass_s(100);
    client.permit(&mut world, &[address(PEER)]);
    assert_eq!(world.flow(&client, IN | 0x4001).unwrap().expires_at_ns, world.in_s(300));
    assert_eq!(world.flow(&client, OUT | 0x4001).unwrap().expires_at_ns, world.in_s(500));
    world.pass_s(290);
    client.permit(&mut world, &[address(PEER)]);
    assert_eq!(world.flow(&client, IN | 0x4001).unwrap().expires_at_ns, world.in_s(210), "bounded by the channel");
}

#[test]
fn a_permission_made_again_opens_the_channels_way_back_again() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass_s(310);
    assert!(world.flow(&client, IN | 0x4001).is_none());
    assert!(world.flow(&client, OUT | 0x4001).is_some());
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(world.flow(&client, IN | 0x4001).unwrap().expires_at_ns, world.in_s(290));
}

#[test]
fn binding_again_refreshes_channel_and_permission() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass_s(250);
    assert!(client.bind(&mut world, 0x4001, address(PEER)).is_success());
    assert_eq!(world.flow(&client, OUT | 0x4001).unwrap().expires_at_ns, world.in_s(600));
    assert_eq!(world.flow(&client, IN | 0x4001).unwrap().expires_at_ns, world.in_s(300));
    assert_eq!(world.flows(&client).len(), 5);
}

#[test]
fn a_channel_about_to_end_is_put_again() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass(std::time::Duration::from_millis(599_500));
    world.relay_is_early();
    assert!(client.bind(&mut world, 0x4001, address(PEER)).is_success());
    assert_eq!(world.flow(&client, OUT | 0x4001).unwrap().expires_at_ns, world.in_s(600));
    world.pass_s(1);
    assert_eq!(world.flows(&client).len(), 5);
    assert_eq!(world.server.counters().relay_failures, 0);
}

#[test]
fn a_channel_about_to_end_is_put_again_with_its_permission() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass_s(298);
    client.permit(&mut world, &[address(PEER)]);
    world.pass(std::time::Duration::from_millis(301_500));
    world.relay_is_early();
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(world.server.counters().relay_failures, 0);
}

#[test]
fn a_channel_ends_after_ten_minutes() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    world.pass_s(599);
    assert_eq!(client.bind(&mut world, 0x4001, address("8.8.8.8:1")).error(), 400);
    world.pass_s(1);
    assert!(client.bind(&mut world, 0x4001, address("8.8.8.8:1")).is_success(), "the number is free");
}

#[test]
fn a_number_has_one_peer_and_a_peer_has_one_number() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    assert_eq!(client.bind(&mut world, 0x4001, address("203.0.113.7:5001")).error(), 400);
    assert_eq!(client.bind(&mut world, 0x4002, address(PEER)).error(), 400);
    assert!(client.bind(&mut world, 0x4002, address("203.0.113.7:5001")).is_success());
    assert_eq!(client.bind(&mut world, 0x4001, address("203.0.113.7:5001")).error(), 400);
}

#[test]
fn channel_numbers_have_a_range() {
    let (mut world, mut client) = allocated();
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(client.bind(&mut world, number, address(PEER)).error(), 400, "{number:x}");
    }
    for (number, port) in [(0x4000, 1), (0x7fff, 2)] {
        assert!(client.bind(&mut world, number, SocketAddr::new(address(PEER).ip(), port)).is_success());
    }
}

#[test]
fn number_and_peer_are_needed_and_well_formed() {
    let (mut world, mut client) = allocated();
    let transaction = client.transaction();
    let peer = peer_attribute(address(PEER), &transaction);
    for attributes in [
        vec![],
        vec![channel_attribute(0x4000)],
        vec![peer.clone()],
        vec![(CHANNEL_NUMBER, vec![0x40, 0]), peer],
        vec![channel_attribute(0x4000), (XOR_PEER_ADDRESS, vec![0, 1])],
        vec![channel_attribute(0x4000), peer_attribute(address("203.0.113.7:0"), &transaction)],
    ] {
        assert_eq!(client.call_as(&mut world, CHANNEL_BIND, transaction, &attributes).error(), 400);
    }
    assert_eq!(world.flows(&client).len(), 2);
}

#[test]
fn a_peer_of_the_other_family_is_a_mismatch() {
    let (mut world, mut client) = allocated();
    assert_eq!(client.bind(&mut world, 0x4000, peer_v6()).error(), 443);
}

#[test]
fn a_channel_needs_an_allocation() {
    assert_eq!(Client::alice().bind(&mut World::new(), 0x4000, address(PEER)).error(), 437);
}

#[test]
fn channels_are_limited() {
    let (mut world, mut client) = allocated();
    let ip = address(PEER).ip();
    for at in 0..limits::CHANNELS_MAX as u16 {
        assert!(client.bind(&mut world, 0x4000 + at, SocketAddr::new(ip, 1000 + at)).is_success());
    }
    assert_eq!(client.bind(&mut world, 0x4fff, SocketAddr::new(ip, 1)).error(), 508);
    assert!(client.bind(&mut world, 0x4000, SocketAddr::new(ip, 1000)).is_success(), "a refresh needs no room");
    let end = world.in_s(300);
    let back: Vec<u64> = world.flows(&client).iter().filter(|f| f.id.0 >> 28 == 3).map(|f| f.expires_at_ns).collect();
    assert_eq!(back.len(), limits::CHANNELS_MAX);
    assert!(back.iter().all(|at| *at == end), "one permission carries all of them");
    world.pass_s(200);
    assert!(client.refresh(&mut world, None).is_success(), "more flows than one Apply carries");
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
}

#[test]
fn channels_and_permissions_outlive_a_restart_of_control() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4001, address(PEER));
    client.permit(&mut world, &[address("8.8.8.8:1")]);
    let before: Vec<_> = world.server.sessions(world.now).map(|view| format!("{view:?}")).collect();
    let flows = world.flows(&client);
    world.restart_control();
    let after: Vec<_> = world.server.sessions(world.now).map(|view| format!("{view:?}")).collect();
    assert_eq!(before, after);
    assert_eq!(world.flows(&client), flows);
    assert_eq!(client.bind(&mut world, 0x4002, address(PEER)).error(), 400, "bound to 0x4001");
    assert!(client.bind(&mut world, 0x4001, address(PEER)).is_success());
    assert!(client.permit(&mut world, &[address("9.9.9.9:1")]).is_success());
    assert_eq!(world.flows(&client).len(), 7, "no flow id was used twice");
    assert!(client.refresh(&mut world, None).is_success());
}
