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
