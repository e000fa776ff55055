//! CreatePermission (RFC 8656 section 10.2) and whom it may name.

use std::net::SocketAddr;

use raceway_api::{Destination, FlowAction, FlowId, Framing, Operation, RelayAddress, Remote, ToRelay};
use raceway_turn::limits;

use crate::wire::*;
use crate::world::*;

fn allocated() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    (world, client)
}

fn peers(count: u32) -> Vec<SocketAddr> {
    (0..count).map(|at| SocketAddr::from((std::net::Ipv4Addr::from(0x0808_0000 + at), 9))).collect()
}

#[test]
fn a_permission_lets_any_port_of_the_peer_through_for_five_minutes() {
    let (mut world, mut client) = allocated();
    let response = client.permit(&mut world, &[address(PEER)]);
    assert!(response.is_success());
    assert_eq!(response.kinds(), [MESSAGE_INTEGRITY]);
    let flow = world.flow(&client, 1 << 28).unwrap();
    let relayed = world.relay.sessions.values().next().unwrap().relayed[0].0;
    assert_eq!(flow.matches.remote, Remote::AnyPort(address(PEER).ip()));
    assert_eq!((flow.matches.local, flow.matches.framing), (relayed, Framing::Plain));
    let expected = FlowAction::Forward {
        towards: Destination::Client,
        from: address(LISTENER),
        to: client.address,
        framing: Framing::Indication,
        local_destination: false,
    };
    assert_eq!(flow.action, expected);
    assert_eq!(flow.expires_at_ns, world.in_s(300));
}

#[test]
fn a_permission_again_starts_its_time_anew() {
    let (mut world, mut client) = allocated();
    client.permit(&mut world, &[address(PEER)]);
    world.pass_s(200);
    client.permit(&mut world, &[address(PEER)]);
    assert_eq!(world.flow(&client, 1 << 28).unwrap().expires_at_ns, world.in_s(300));
    assert_eq!(world.flows(&client).len(), 3);
}

#[test]
fn a_permission_ends_and_can_be_made_again() {
    let (mut world, mut client) = allocated();
    client.permit(&mut world, &[address(PEER)]);
    world.pass_s(300);
    assert_eq!(world.flows(&client).len(), 2);
    assert!(world.server.sessions(world.now).next().unwrap().permissions.is_empty());
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(world.flows(&client).len(), 3);
}

#[test]
fn permissions_and_channels_are_forgotten_when_they_end_without_another_request() {
    let (mut world, mut client) = allocated();
    assert!(client.refresh(&mut world, Some(3600)).is_success());
    client.permit(&mut world, &[address(PEER)]);
    client.bind(&mut world, 0x4000, address("8.8.8.8:53"));
    world.pass_s(299);
    let told = world.relay.applied.len();
    assert_eq!(world.server.poll_timeout().map(|due| due.as_ns()), Some(world.in_s(1)));
    world.pass_s(1);
    let removed = |world: &World| {
        let operations = world.relay.applied.iter().skip(told).flat_map(|message| match message {
            ToRelay::Apply { operations, .. } => operations.clone(),
            other => panic!("{other:?}"),
        });
        operations.collect::<Vec<_>>()
    };
    assert_eq!(removed(&world), [1 << 28, (1 << 28) + 1].map(|id| Operation::RemoveFlow(FlowId(id))), "both peers");
    world.pass_s(300);
    assert_eq!(removed(&world)[2..], [0x2000_4000, 0x3000_4000].map(|id| Operation::RemoveFlow(FlowId(id))));
    assert!(world.session(&client).is_some());
}

#[test]
fn a_permission_about_to_end_is_put_again() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    world.pass(std::time::Duration::from_millis(299_500));
    world.relay_is_early();
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(world.server.counters().relay_failures, 0);
    let end = world.in_s(300);
    assert_eq!(world.flow(&client, 1 << 28).unwrap().expires_at_ns, end);
    assert_eq!(world.flow(&client, 3 << 28 | 0x4000).unwrap().expires_at_ns, end);
}

#[test]
fn several_peers_get_permissions_together() {
    let (mut world, mut client) = allocated();
    let mut wanted = peers(20);
    wanted.push(SocketAddr::new(wanted[0].ip(), 777));
    assert!(client.permit(&mut world, &wanted).is_success());
    assert_eq!(world.flows(&client).len(), 2 + 20, "a peer twice is one permission");
    assert_eq!(world.server.counters().relay_failures, 0);
}

#[test]
fn all_peers_or_none() {
    let (mut world, mut client) = allocated();
    let good = address(PEER);
    assert_eq!(client.permit(&mut world, &[good, address("10.0.0.1:5")]).error(), 403);
    assert_eq!(client.permit(&mut world, &[good, peer_v6()]).error(), 443);
    let transaction = client.transaction();
    let attributes = [peer_attribute(good, &transaction), (XOR_PEER_ADDRESS, vec![0, 1, 2])];
    assert_eq!(client.call_as(&mut world, CREATE_PERMISSION, transaction, &attributes).error(), 400);
    assert_eq!(world.flows(&client).len(), 2);
    assert!(world.server.sessions(world.now).next().unwrap().permissions.is_empty());
}

#[test]
fn a_request_names_at_least_one_peer() {
    let (mut world, mut client) = allocated();
    assert_eq!(client.permit(&mut world, &[]).error(), 400);
}

#[test]
fn malformed_peers_are_bad_requests() {
    let (mut world, mut client) = allocated();
    for value in [
        vec![],
        vec![0, 1, 0, 0, 1, 2, 3],
        vec![0, 3, 0, 0, 1, 2, 3, 4],
        vec![0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0, 2, 0, 0, 1, 2, 3, 4],
    ] {
        let response = client.call(&mut world, CREATE_PERMISSION, &[(XOR_PEER_ADDRESS, value.clone())]);
        assert_eq!(response.error(), 400, "{value:?}");
    }
}

#[test]
fn a_permission_needs_an_allocation() {
    assert_eq!(Client::alice().permit(&mut World::new(), &[address(PEER)]).error(), 437);
}

#[test]
fn permissions_are_limited() {
    let (mut world, mut client) = allocated();
    let all = peers(limits::PERMISSIONS_MAX as u32 + 1);
    for some in all[..limits::PERMISSIONS_MAX].chunks(limits::PERMISSIONS_PER_REQUEST) {
        assert!(client.permit(&mut world, some).is_success());
    }
    assert_eq!(client.permit(&mut world, &all[limits::PERMISSIONS_MAX..]).error(), 508);
    assert!(client.permit(&mut world, &all[..10]).is_success(), "those that are there can be refreshed");
    assert_eq!(client.bind(&mut world, 0x4000, all[limits::PERMISSIONS_MAX]).error(), 508);
    world.pass_s(300);
    assert!(client.permit(&mut world, &all[limits::PERMISSIONS_MAX..]).is_success(), "the old ones have ended");
    let too_many = peers(limits::PERMISSIONS_PER_REQUEST as u32 + 1);
    assert_eq!(client.permit(&mut world, &too_many).error(), 508);
}

#[test]
fn a_dual_allocation_reaches_peers_of_both_families() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2)]);
    assert!(client.permit(&mut world, &[address(PEER), peer_v6()]).is_success());
    let locals: Vec<bool> =
        world.flows(&client).iter().filter(|flow| flow.id.0 >> 28 == 1).map(|f| f.matches.local.is_ipv4()).collect();
    assert_eq!(locals, [true, false]);
}

#[test]
fn denied_peers_are_forbidden() {
    let (mut world, mut client) = allocated();
    for peer in ["127.0.0.1:80", "10.1.1.1:80", "169.254.169.254:80", "224.0.0.1:80", "0.0.0.0:80"] {
        assert_eq!(client.permit(&mut world, &[address(peer)]).error(), 403, "{peer}");
        assert_eq!(client.bind(&mut world, 0x4000, address(peer)).error(), 403, "{peer}");
    }
    assert_eq!(world.flows(&client).len(), 2);
}

#[test]
fn relayed_addresses_of_this_server_reach_each_other() {
    let relay = RelayAddress { internal: "10.0.0.5".parse().unwrap(), external: "192.0.2.99".parse().unwrap() };
    let mut world = World::with(|policy| policy.relay_addresses = vec![relay]);
    let mut one = Client::alice();
    let mut two = Client::new("192.0.2.10:2", "bob", "builder");
    one.allocate(&mut world, &[]);
    let other = two.allocate(&mut world, &[]).relayed()[0];
    assert!(one.permit(&mut world, &[other]).is_success());
    assert_eq!(world.flow(&one, 1 << 28).unwrap().matches.remote, Remote::AnyPort(relay.internal));
    assert!(one.bind(&mut world, 0x4000, other).is_success());
    let out = world.flow(&one, 2 << 28 | 0x4000).unwrap();
    let internal = SocketAddr::new(relay.internal, other.port());
    assert!(matches!(out.action, FlowAction::Forward { to, local_destination: true, .. } if to == internal));
    assert_eq!(world.flow(&one, 3 << 28 | 0x4000).unwrap().matches.remote, Remote::Exact(internal));
    let service = SocketAddr::new(other.ip(), 3478);
    assert_eq!(one.bind(&mut world, 0x4001, service).error(), 403, "not a relayed port");
    assert_eq!(one.permit(&mut world, &[SocketAddr::new(relay.internal, 1)]).error(), 403, "the internal address");
    let view = world.server.sessions(world.now).find(|view| view.client == one.address).unwrap();
    assert_eq!(view.channels[0].peer, other, "the client's name for it");
    world.restart_control();
    let view = world.server.sessions(world.now).find(|view| view.client == one.address).unwrap();
    assert_eq!((view.channels[0].peer, view.permissions[0].peer), (other, other.ip()));
}

#[test]
fn a_peer_that_is_denied_later_is_cut_off() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    client.permit(&mut world, &[address("8.8.8.8:1")]);
    let mut policy = world.policy.clone();
    policy.deny_peers = vec!["203.0.113.0/24".parse().unwrap()];
    world.server.reconfigure(policy).unwrap();
    world.settle();
    let kept: Vec<u32> = world.flows(&client).iter().map(|flow| flow.id.0).collect();
    assert_eq!(kept, [0, 1, 1 << 28 | 1]);
    assert_eq!(client.permit(&mut world, &[address(PEER)]).error(), 403);
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn what_ended_here_is_removed_from_the_relay_before_its_match_comes_again() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    // The relay's timer is late: its flows are still there.
    world.now = world.now.after(std::time::Duration::from_secs(300));
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert!(client.refresh(&mut world, Some(3000)).is_success());
    world.now = world.now.after(std::time::Duration::from_secs(300));
    assert!(client.bind(&mut world, 0x4001, address(PEER)).is_success(), "the peer of a channel that has ended");
    assert_eq!(world.flows(&client).len(), 5);
}
