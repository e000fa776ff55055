//! What the relay cannot do.

use raceway_api::OperationError;
use raceway_turn::{Method, Outcome, Refusal, limits};

use crate::wire::*;
use crate::world::*;

fn allocated() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    (world, client)
}

#[test]
fn a_port_that_is_in_use_is_passed_over() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50002));
    for port in [50000, 50001] {
        world.relay.occupied.insert(address(&format!("{RELAY_V4}:{port}")));
    }
    let response = Client::alice().allocate(&mut world, &[]);
    assert_eq!(response.relayed()[0].port(), 50002);
    assert_eq!(world.relay.sessions.len(), 1, "nothing is left of the attempts that failed");
    assert_eq!(world.server.session_count(), 1);
    assert!(world.server.counters().relay_failures <= 2);
    assert_eq!(world.server.counters().requests(Method::Allocate, Outcome::Success), 1, "one answer");
}

#[test]
fn after_a_few_ports_in_use_the_answer_is_508() {
    let mut world = World::new();
    world.relay.failing = vec![OperationError::AddressInUse; 100];
    let response = Client::alice().allocate(&mut world, &[]);
    assert_eq!(response.error(), 508);
    assert_eq!(world.server.counters().relay_failures, u64::from(limits::PORT_ATTEMPTS));
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
    world.relay.failing.clear();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
}

#[test]
fn a_reserved_pair_moves_together() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50003));
    world.relay.failing = vec![OperationError::AddressInUse];
    let client = |port: u16| Client::new(&format!("192.0.2.{port}:9"), ["alice", "bob"][usize::from(port % 2)], "");
    let mut clients = [1, 2, 3, 4].map(client);
    clients.iter_mut().for_each(|client| client.password = password_of(&client.user));
    let [one, two, three, four] = &mut clients;
    let response = one.allocate(&mut world, &[even_port(true)]);
    assert_eq!(world.server.counters().relay_failures, 1);
    let port = response.relayed()[0].port();
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    assert_eq!(two.allocate(&mut world, &[token]).relayed()[0].port(), port + 1);
    let mut others = [three, four].map(|client| client.allocate(&mut world, &[]).relayed()[0].port());
    others.sort_unstable();
    let first = if port == 50000 { 50002 } else { 50000 };
    assert_eq!(others, [first, first + 1], "the pair of the first attempt is free again");
}

#[test]
fn a_pair_that_cannot_be_opened_is_given_back_whole() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50001));
    world.relay.failing = vec![OperationError::AddressInUse];
    assert_eq!(Client::alice().allocate(&mut world, &[even_port(true)]).error(), 508, "there is one pair");
    for port in [1, 2] {
        let mut client = Client::new(&format!("192.0.2.10:{port}"), "alice", "wonderland");
        assert!(client.allocate(&mut world, &[]).is_success());
    }
}

fn password_of(user: &str) -> String {
    if user == "alice" { "wonderland".to_owned() } else { "builder".to_owned() }
}

#[test]
fn a_reserved_port_that_cannot_be_opened_is_508() {
    let mut world = World::new();
    let mut one = Client::alice();
    let response = one.allocate(&mut world, &[even_port(true)]);
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    world.relay.failing = vec![OperationError::AddressInUse];
    assert_eq!(Client::new("192.0.2.10:2", "alice", "wonderland").allocate(&mut world, &[token]).error(), 508);
}

#[test]
fn a_dual_allocation_moves_both_addresses() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50001));
    let mut client = Client::alice();
    world.relay.failing = vec![OperationError::AddressInUse];
    let response = client.allocate(&mut world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2)]);
    assert_eq!(response.relayed().len(), 2);
    assert_eq!(world.relay.sessions.len(), 1);
    client.refresh(&mut world, Some(0));
    assert!(client.allocate(&mut world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2)]).is_success(), "no port was lost");
}

#[test]
fn what_is_used_up_is_508_and_what_must_not_happen_is_500() {
    for (error, code) in [
        (OperationError::AddressNotAvailable, 508),
        (OperationError::SocketRefused, 508),
        (OperationError::OpenFiles, 508),
        (OperationError::FlowsFull, 508),
        (OperationError::SessionsFull, 508),
        (OperationError::MatchTaken, 500),
        (OperationError::UnknownSession, 500),
        (OperationError::UnknownFlow, 500),
        (OperationError::Invalid, 500),
    ] {
        let mut world = World::new();
        world.relay.failing = vec![error];
        assert_eq!(Client::alice().allocate(&mut world, &[]).error(), code, "{error:?}");
        assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
    }
}

#[test]
fn the_flow_table_being_full_undoes_a_permission() {
    let (mut world, mut client) = allocated();
    world.relay.flows_max = Some(3);
    assert_eq!(client.permit(&mut world, &[address("8.8.8.8:1"), address("9.9.9.9:1")]).error(), 508);
    assert_eq!(world.flows(&client).len(), 2, "all or none");
    assert!(world.server.sessions(world.now).next().unwrap().permissions.is_empty());
    world.relay.flows_max = None;
    assert!(client.permit(&mut world, &[address("8.8.8.8:1")]).is_success());
    let refused = Outcome::Refused(Refusal::InsufficientCapacity);
    assert_eq!(world.server.counters().requests(Method::CreatePermission, refused), 1);
}

#[test]
fn the_flow_table_being_full_undoes_a_channel() {
    let (mut world, mut client) = allocated();
    world.relay.flows_max = Some(4);
    assert_eq!(client.bind(&mut world, 0x4000, address(PEER)).error(), 508);
    assert_eq!(world.flows(&client).len(), 2);
    world.relay.flows_max = None;
    assert!(client.bind(&mut world, 0x4001, address(PEER)).is_success(), "number and peer are free");
}

#[test]
fn when_the_flow_table_is_full_what_was_there_is_still_refreshed() {
    let (mut world, mut client) = allocated();
    client.permit(&mut world, &[address(PEER)]);
    world.pass(std::time::Duration::from_millis(299_500));
    world.relay.flows_max = Some(3);
    assert_eq!(client.permit(&mut world, &[address("9.9.9.9:1"), address(PEER)]).error(), 508);
    assert_eq!(world.flow(&client, 1 << 28).unwrap().expires_at_ns, world.in_s(300));
}

#[test]
fn a_failed_change_leaves_what_was_there() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    world.relay.flows_max = Some(5);
    assert_eq!(client.permit(&mut world, &[address(PEER), address("9.9.9.9:1")]).error(), 508);
    assert_eq!(client.bind(&mut world, 0x4001, address("203.0.113.7:99")).error(), 508);
    assert_eq!(world.flows(&client).len(), 5);
    let view = world.server.sessions(world.now).next().unwrap();
    assert_eq!((view.permissions.len(), view.channels.len()), (1, 1));
}

#[test]
fn a_relay_that_lost_a_session_is_told_it_again() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    let flows = world.flows(&client);
    world.relay.sessions.clear();
    assert!(client.refresh(&mut world, None).is_success());
    assert_eq!(world.flows(&client), flows);
    world.relay.sessions.clear();
    assert!(client.permit(&mut world, &[address(PEER)]).is_success());
    assert_eq!(world.flows(&client), flows);
    world.relay.sessions.clear();
    assert!(client.bind(&mut world, 0x4000, address(PEER)).is_success());
    assert_eq!(world.flows(&client), flows);
}

#[test]
fn a_lost_session_whose_port_is_gone_ends() {
    let (mut world, mut client) = allocated();
    let relayed = world.relay.sessions.values().next().unwrap().relayed[0].0;
    world.relay.sessions.clear();
    world.relay.occupied.insert(relayed);
    assert_eq!(client.refresh(&mut world, None).error(), 508);
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
    assert!(client.allocate(&mut world, &[]).is_success());
}

#[test]
fn a_lost_session_for_which_there_is_no_room_ends() {
    let (mut world, mut client) = allocated();
    client.bind(&mut world, 0x4000, address(PEER));
    world.relay.sessions.clear();
    world.relay.flows_max = Some(3);
    assert_eq!(client.permit(&mut world, &[address(PEER)]).error(), 508);
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0), "not half of it");
}

#[test]
fn a_retransmitted_allocate_survives_a_failure_under_way() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    let octets = client.signed(ALLOCATE, [5; 12], &[transport()]);
    world.relay.failing = vec![OperationError::AddressInUse];
    // Both copies are decided before the relay has answered the first.
    let listener = address(LISTENER);
    world.relay.sent.clear();
    world.server.handle_punt(world.now, world.wall, 0, listener, client.address, &octets);
    world.server.handle_punt(world.now, world.wall, 0, listener, client.address, &octets);
    let mut failures = Vec::new();
    while let Some(message) = world.server.poll_output() {
        failures.extend(world.relay.take(message).err());
    }
    for failure in failures {
        world.server.handle_failed(world.now, failure.transaction, failure.error);
    }
    world.settle();
    let relayed = world.server.sessions(world.now).next().unwrap().relayed[0].internal;
    assert_eq!(world.server.session_count(), 1);
    assert_eq!(world.relay.sessions.len(), 1);
    let last = Response::parse(&world.relay.sent.last().unwrap().payload);
    assert_eq!(last.relayed()[0], relayed, "the last word is what holds");
}

#[test]
fn a_session_refreshed_while_the_relay_let_it_end_is_said_again() {
    let (mut world, mut client) = allocated();
    world.pass_s(599);
    client.refresh(&mut world, None);
    let session = world.session(&client).unwrap();
    world.relay.sessions.clear();
    world.server.handle_expired(world.now, session);
    world.settle();
    assert_eq!(world.flows(&client).len(), 2);
}

#[test]
fn a_session_that_the_relay_let_end_is_forgotten() {
    let (mut world, client) = allocated();
    let session = world.session(&client).unwrap();
    let later = world.now.after(std::time::Duration::from_secs(600));
    world.server.handle_expired(later, session);
    assert_eq!(world.server.session_count(), 0);
    world.server.handle_expired(later, session);
}

#[test]
fn news_of_transactions_that_are_over_changes_nothing() {
    let (mut world, client) = allocated();
    for transaction in [0, 1, 77, u64::MAX] {
        world.server.handle_failed(world.now, transaction, OperationError::UnknownSession);
        world.server.handle_failed(world.now, transaction, OperationError::Invalid);
    }
    world.settle();
    assert!(world.flows(&client).len() <= 2);
}
