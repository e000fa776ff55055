//! Refresh (RFC 8656 section 8.2).

use raceway_api::{FlowAction, Operation, ToRelay};
use raceway_turn::Family;

use crate::wire::*;
use crate::world::*;

fn only(family_number: u8) -> Attribute {
    family(REQUESTED_ADDRESS_FAMILY, family_number)
}

fn dual(world: &mut World) -> Client {
    let mut client = Client::alice();
    assert!(client.allocate(world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2)]).is_success());
    client
}

#[test]
fn a_refresh_prolongs_the_allocation_and_its_flows() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    world.pass_s(500);
    let response = client.refresh(&mut world, Some(1000));
    assert_eq!(response.lifetime(), Some(1000));
    assert_eq!(response.kinds(), [LIFETIME, MESSAGE_INTEGRITY]);
    let end = world.in_s(1000);
    assert!(world.flows(&client).iter().all(|flow| flow.expires_at_ns == end));
    assert_eq!(world.relay.sessions.values().next().unwrap().expires_at_ns, end);
    world.pass_s(999);
    assert_eq!(world.server.session_count(), 1);
    world.pass_s(1);
    assert_eq!(world.server.session_count(), 0);
}

#[test]
fn flows_are_extended_and_not_put_again() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    world.pass_s(10);
    client.refresh(&mut world, None);
    let Some(ToRelay::Apply { operations, .. }) = world.relay.applied.last() else { panic!() };
    assert!(matches!(
        operations[..],
        [Operation::Extend { .. }, Operation::Extend { .. }, Operation::PutSession { .. }]
    ));
}

#[test]
fn a_lifetime_is_clamped_as_for_an_allocation() {
    for (wished, granted) in [(None, 600), (Some(1), 600), (Some(700), 700), (Some(99999), 3600)] {
        let mut world = World::new();
        let mut client = Client::alice();
        client.allocate(&mut world, &[]);
        assert_eq!(client.refresh(&mut world, wished).lifetime(), Some(granted));
    }
}

#[test]
fn a_shorter_lifetime_shortens() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[number(LIFETIME, 3600)]);
    client.refresh(&mut world, None);
    assert_eq!(world.relay.sessions.values().next().unwrap().expires_at_ns, world.in_s(600));
    world.pass_s(600);
    assert_eq!(world.server.session_count(), 0);
}

#[test]
fn lifetime_zero_deletes_and_again_is_a_mismatch() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    client.bind(&mut world, 0x4000, address(PEER));
    let response = client.refresh(&mut world, Some(0));
    assert_eq!((response.error(), response.lifetime()), (0, Some(0)));
    assert_eq!(world.server.session_count(), 0);
    assert!(world.relay.sessions.is_empty());
    assert_eq!(client.refresh(&mut world, Some(0)).error(), 437);
    assert!(client.allocate(&mut world, &[]).is_success());
}

#[test]
fn a_deleted_port_can_be_given_again() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50000));
    let mut client = Client::alice();
    for _ in 0..5 {
        assert_eq!(client.allocate(&mut world, &[]).relayed()[0].port(), 50000);
        client.refresh(&mut world, Some(0));
    }
}

#[test]
fn without_an_allocation_there_is_nothing_to_refresh() {
    assert_eq!(Client::alice().refresh(&mut World::new(), None).error(), 437);
}

#[test]
fn another_user_on_the_same_5_tuple_has_the_wrong_credentials() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    let mut bob = Client { address: client.address, ..Client::new("192.0.2.1:1", "bob", "builder") };
    assert_eq!(bob.refresh(&mut world, Some(0)).error(), 441);
    assert_eq!(bob.permit(&mut world, &[address(PEER)]).error(), 441);
    assert_eq!(bob.bind(&mut world, 0x4000, address(PEER)).error(), 441);
    assert_eq!(world.flows(&client).len(), 2, "nothing changed");
}

#[test]
fn the_family_must_be_the_allocations() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    assert_eq!(client.call(&mut world, REFRESH, &[only(2)]).error(), 443);
    assert_eq!(client.call(&mut world, REFRESH, &[only(7)]).error(), 443);
    assert_eq!(client.call(&mut world, REFRESH, &[(REQUESTED_ADDRESS_FAMILY, vec![1])]).error(), 400);
    assert!(client.call(&mut world, REFRESH, &[only(1)]).is_success());
}

#[test]
fn a_malformed_lifetime_is_a_bad_request() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    assert_eq!(client.call(&mut world, REFRESH, &[(LIFETIME, vec![0; 3])]).error(), 400);
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn half_of_a_dual_allocation_can_be_deleted() {
    let mut world = World::new();
    let mut client = dual(&mut world);
    client.bind(&mut world, 0x4000, address(PEER));
    client.bind(&mut world, 0x4001, peer_v6());
    let response = client.call(&mut world, REFRESH, &[number(LIFETIME, 0), only(2)]);
    assert_eq!(response.lifetime(), Some(0));
    assert_eq!((world.server.allocations(Family::V4), world.server.allocations(Family::V6)), (1, 0));
    let FlowAction::Unwrap { relayed_v4: Some(_), relayed_v6: None } = world.flow(&client, 0).unwrap().action else {
        panic!()
    };
    assert!(world.flow(&client, 2).is_none(), "its relayed address has no flow");
    assert_eq!(world.flows(&client).len(), 5, "channel and permission of IPv4 stay");
    let view = world.server.sessions(world.now).next().unwrap();
    assert_eq!((view.permissions.len(), view.channels.len()), (1, 1));
    assert_eq!(client.permit(&mut world, &[peer_v6()]).error(), 443);
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(client.call(&mut world, REFRESH, &[only(2)]).error(), 443);
    assert_eq!(client.refresh(&mut world, Some(0)).lifetime(), Some(0));
    assert_eq!(world.server.session_count(), 0);
}

#[test]
fn the_port_of_a_deleted_half_is_free_when_the_other_half_ends() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50000));
    let mut client = dual(&mut world);
    client.call(&mut world, REFRESH, &[number(LIFETIME, 0), only(2)]);
    let mut other = Client::new("192.0.2.10:2", "alice", "wonderland");
    let v6 = family(REQUESTED_ADDRESS_FAMILY, 2);
    assert_eq!(other.allocate(&mut world, std::slice::from_ref(&v6)).error(), 508, "the relay has it open");
    world.restart_control();
    assert_eq!(other.allocate(&mut world, std::slice::from_ref(&v6)).error(), 508, "and says so");
    assert_eq!(world.server.counters().relay_failures, 0);
    client.refresh(&mut world, Some(0));
    assert!(other.allocate(&mut world, &[v6]).is_success());
}

#[test]
fn the_halves_of_a_dual_allocation_live_by_themselves() {
    let mut world = World::new();
    let mut client = dual(&mut world);
    client.permit(&mut world, &[address(PEER), peer_v6()]);
    world.pass_s(400);
    assert_eq!(client.call(&mut world, REFRESH, &[only(1)]).lifetime(), Some(600));
    world.pass_s(200);
    assert_eq!((world.server.allocations(Family::V4), world.server.allocations(Family::V6)), (1, 0));
    assert!(world.flow(&client, 2).is_none());
    world.pass_s(400);
    assert_eq!(world.server.session_count(), 0);
}

#[test]
fn a_refresh_in_the_last_second_puts_everything_again() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    client.bind(&mut world, 0x4000, address(PEER));
    world.pass(std::time::Duration::from_millis(599_500));
    assert_eq!(client.refresh(&mut world, None).lifetime(), Some(600));
    let Some(ToRelay::Apply { operations, .. }) = world.relay.applied.last() else { panic!() };
    assert!(operations.iter().any(|operation| matches!(operation, Operation::OpenRelayed { .. })));
    world.pass_s(300);
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn a_refresh_moves_the_bounds_of_permissions_and_channels() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    world.pass_s(400);
    let bound_at = world.now;
    client.bind(&mut world, 0x4000, address(PEER));
    let end_of_allocation = world.in_s(200);
    assert!(world.flows(&client).iter().all(|flow| flow.expires_at_ns == end_of_allocation));
    world.pass_s(100);
    client.refresh(&mut world, None);
    let after = |seconds| bound_at.after(std::time::Duration::from_secs(seconds)).as_ns();
    assert_eq!(world.flow(&client, 1 << 28).unwrap().expires_at_ns, after(300), "permission");
    assert_eq!(world.flow(&client, 2 << 28 | 0x4000).unwrap().expires_at_ns, after(600), "channel out");
    assert_eq!(world.flow(&client, 3 << 28 | 0x4000).unwrap().expires_at_ns, after(300), "channel in");
}
