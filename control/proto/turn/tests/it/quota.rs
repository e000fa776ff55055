//! How much one user and all of them may have (RFC 8656 section 7.2).

use crate::auth::shared_client;
use crate::wire::*;
use crate::world::*;

#[test]
fn quotas_of_a_user_and_of_all_answer_486() {
    let mut world = World::with(|policy| (policy.quota_per_user, policy.quota_total) = (2, 3));
    let client = |port: u16, name: &str, password: &str| Client::new(&format!("192.0.2.10:{port}"), name, password);
    let mut alice = [1, 2, 3].map(|port| client(port, "alice", "wonderland"));
    let mut bob = [4, 5].map(|port| client(port, "bob", "builder"));
    assert!(alice[0].allocate(&mut world, &[]).is_success());
    assert!(alice[1].allocate(&mut world, &[]).is_success());
    assert_eq!(alice[2].allocate(&mut world, &[]).error(), 486, "of alice");
    assert!(bob[0].allocate(&mut world, &[]).is_success());
    assert_eq!(bob[1].allocate(&mut world, &[]).error(), 486, "of all");
    alice[0].refresh(&mut world, Some(0));
    assert!(alice[2].allocate(&mut world, &[]).is_success(), "room again");
}

#[test]
fn a_port_that_is_held_counts_as_an_allocation_of_who_had_it_held() {
    let mut world = World::with(|policy| (policy.quota_per_user, policy.quota_total) = (3, 4));
    let client = |port: u16, name: &str, password: &str| Client::new(&format!("192.0.2.10:{port}"), name, password);
    let mut alice = [1, 2, 3].map(|port| client(port, "alice", "wonderland"));
    let mut bob = [4, 5].map(|port| client(port, "bob", "builder"));
    let response = alice[0].allocate(&mut world, &[even_port(true)]);
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    assert_eq!(alice[1].allocate(&mut world, &[even_port(true)]).error(), 486, "room for one, not for two");
    assert!(bob[0].allocate(&mut world, &[]).is_success());
    assert!(bob[1].allocate(&mut world, &[]).is_success());
    assert_eq!(alice[1].allocate(&mut world, &[]).error(), 486, "of all");
    assert!(alice[1].allocate(&mut world, &[token]).is_success(), "takes the place of what is held");
    assert_eq!(alice[2].allocate(&mut world, &[]).error(), 486, "of all");
    bob[0].refresh(&mut world, Some(0));
    assert!(alice[2].allocate(&mut world, &[]).is_success());
}

#[test]
fn a_held_port_counts_after_its_allocation_is_deleted_and_until_its_time_is_over() {
    let mut world = World::with(|policy| policy.quota_per_user = 2);
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    let transaction = one.transaction();
    let wishes = [transport(), even_port(true)];
    let response = one.call_as(&mut world, ALLOCATE, transaction, &wishes);
    assert_eq!(one.call_as(&mut world, ALLOCATE, transaction, &wishes).octets, response.octets, "retransmitted");
    one.refresh(&mut world, Some(0));
    assert_eq!(one.allocate(&mut world, &[even_port(true)]).error(), 486);
    assert!(one.allocate(&mut world, &[]).is_success());
    assert_eq!(two.allocate(&mut world, &[]).error(), 486);
    world.pass_s(30);
    assert!(two.allocate(&mut world, &[]).is_success());
}

#[test]
fn a_held_port_counts_also_after_a_restart_of_control() {
    let mut world = World::with(|policy| policy.quota_per_user = 2);
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    one.allocate(&mut world, &[even_port(true)]);
    world.restart_control();
    assert_eq!(two.allocate(&mut world, &[]).error(), 486);
    world.pass_s(30);
    assert!(two.allocate(&mut world, &[]).is_success());
}

#[test]
fn a_user_holds_no_more_than_an_eighth_of_all_reservations() {
    let mut world = World::new();
    let mut one = Client::alice();
    for _ in 0..raceway_turn::limits::RESERVATIONS_PER_USER_MAX {
        assert!(one.allocate(&mut world, &[even_port(true)]).is_success());
        one.refresh(&mut world, Some(0));
    }
    assert_eq!(one.allocate(&mut world, &[even_port(true)]).error(), 486);
    assert!(one.allocate(&mut world, &[even_port(false)]).is_success(), "nothing else is refused");
    let mut bob = Client::new("192.0.2.10:3", "bob", "builder");
    assert!(bob.allocate(&mut world, &[even_port(true)]).is_success(), "others are not hurt");
    one.refresh(&mut world, Some(0));
    world.pass_s(30);
    assert!(one.allocate(&mut world, &[even_port(true)]).is_success(), "room again");
}

#[test]
fn a_quota_counts_users_of_shared_secrets_without_their_expiry() {
    let secret = raceway_turn::Secret::new("north".to_owned());
    let mut world = World::with(|policy| {
        policy.quota_per_user = 1;
        policy.shared_secrets = vec![secret];
    });
    let mut one = shared_client("192.0.2.10:1", "north", "1800000000:carol");
    let mut two = shared_client("192.0.2.10:2", "north", "1800000001:carol");
    assert!(one.allocate(&mut world, &[]).is_success());
    assert_eq!(two.allocate(&mut world, &[]).error(), 486);
}

fn limited_to(flows: u32) -> (World, Client) {
    let mut world = World::with(|policy| policy.flows_per_user = flows);
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    (world, client)
}

fn other(port: u16) -> Client {
    Client::new(&format!("192.0.2.10:{port}"), "alice", "wonderland")
}

#[test]
fn flows_of_a_user_that_are_used_up_are_508_on_an_allocation_and_486_for_another() {
    let (mut world, mut client) = limited_to(8);
    assert!(client.permit(&mut world, &[address(PEER), address("8.8.8.8:1")]).is_success());
    assert!(client.bind(&mut world, 0x4000, address("9.9.9.9:1")).is_success(), "a channel and its permission");
    assert_eq!(other(2).allocate(&mut world, &[]).error(), 486, "one is left");
    assert!(client.permit(&mut world, &[address("9.9.9.8:1")]).is_success());
    assert_eq!(client.permit(&mut world, &[address("9.9.9.7:1")]).error(), 508);
    assert_eq!(client.bind(&mut world, 0x4001, address("9.9.9.9:2")).error(), 508);
    let mut bob = Client::new("192.0.2.10:3", "bob", "builder");
    assert!(bob.allocate(&mut world, &[]).is_success(), "others are not hurt");
    assert!(bob.bind(&mut world, 0x4000, address(PEER)).is_success());
    assert!(client.permit(&mut world, &[address(PEER)]).is_success(), "what is there goes on");
    assert!(client.bind(&mut world, 0x4000, address("9.9.9.9:1")).is_success());
    assert!(client.refresh(&mut world, None).is_success());
}

#[test]
fn a_request_that_is_refused_for_its_flows_changes_nothing() {
    let (mut world, mut client) = limited_to(4);
    client.permit(&mut world, &[address(PEER)]);
    world.pass_s(100);
    let (flows, told) = (world.flows(&client), world.relay.applied.len());
    assert_eq!(client.permit(&mut world, &[address(PEER), address("8.8.8.8:1"), address("9.9.9.9:1")]).error(), 508);
    assert_eq!(client.bind(&mut world, 0x4000, address(PEER)).error(), 508);
    assert_eq!(other(2).allocate(&mut world, &[even_port(true)]).error(), 486);
    assert_eq!((world.flows(&client), world.relay.applied.len()), (flows, told), "neither here nor in the relay");
    assert!(client.permit(&mut world, &[address("8.8.8.8:1")]).is_success(), "there was room for one");
}

#[test]
fn flows_count_until_they_end_in_whatever_allocation_they_are() {
    let (mut world, mut client) = limited_to(6);
    client.refresh(&mut world, Some(3600));
    client.permit(&mut world, &[address(PEER), address("8.8.8.8:1")]);
    let mut two = other(2);
    assert!(two.allocate(&mut world, &[]).is_success());
    assert_eq!(two.permit(&mut world, &[address(PEER)]).error(), 508);
    world.pass_s(300);
    assert!(two.permit(&mut world, &[address(PEER), address("8.8.8.8:1")]).is_success(), "they ended in the other");
    assert_eq!(two.permit(&mut world, &[address("9.9.9.9:1")]).error(), 508);
    client.refresh(&mut world, Some(0));
    assert!(two.bind(&mut world, 0x4000, address(PEER)).is_success(), "the other is deleted");
}

#[test]
fn flows_that_the_relay_has_no_room_for_do_not_count() {
    let (mut world, mut client) = limited_to(5);
    world.relay.flows_max = Some(2);
    assert_eq!(client.bind(&mut world, 0x4000, address(PEER)).error(), 508);
    world.relay.flows_max = None;
    assert!(client.bind(&mut world, 0x4000, address(PEER)).is_success());
}

#[test]
fn an_allocation_of_both_families_takes_three_flows() {
    let both = [family(ADDITIONAL_ADDRESS_FAMILY, 2)];
    let (mut world, _) = limited_to(4);
    assert_eq!(other(2).allocate(&mut world, &both).error(), 486);
    let (mut world, _) = limited_to(5);
    let mut two = other(2);
    assert!(two.allocate(&mut world, &both).is_success());
    assert_eq!(two.permit(&mut world, &[address(PEER)]).error(), 508);
    let half = [number(LIFETIME, 0), family(REQUESTED_ADDRESS_FAMILY, 2)];
    assert!(two.call(&mut world, REFRESH, &half).is_success());
    assert!(two.permit(&mut world, &[address(PEER)]).is_success(), "a deleted half counts no more");
}

#[test]
fn flows_of_a_user_count_also_after_a_restart_of_control() {
    let (mut world, mut client) = limited_to(6);
    client.bind(&mut world, 0x4000, address(PEER));
    world.restart_control();
    assert_eq!(client.permit(&mut world, &[address("8.8.8.8:1"), address("9.9.9.9:1")]).error(), 508);
    assert!(client.permit(&mut world, &[address("8.8.8.8:1")]).is_success());
}

#[test]
fn a_smaller_limit_ends_nothing_that_is_there() {
    let (mut world, mut client) = limited_to(0);
    client.bind(&mut world, 0x4000, address(PEER));
    let mut policy = world.policy.clone();
    policy.flows_per_user = 3;
    world.server.reconfigure(policy).unwrap();
    world.settle();
    assert_eq!(world.flows(&client).len(), 5);
    assert!(client.bind(&mut world, 0x4000, address(PEER)).is_success());
    assert_eq!(client.permit(&mut world, &[address("8.8.8.8:1")]).error(), 508);
}
