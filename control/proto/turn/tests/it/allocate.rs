//! Allocate (RFC 8656 section 7.2, rule by rule).

use std::collections::BTreeSet;

use raceway_api::{Destination, FlowAction, Framing, Operation, RelayAddress, Remote, ToRelay};
use raceway_turn::{Family, Method, Outcome};

use crate::wire::*;
use crate::world::*;

fn v6() -> Attribute {
    family(REQUESTED_ADDRESS_FAMILY, 2)
}

fn additional_v6() -> Attribute {
    family(ADDITIONAL_ADDRESS_FAMILY, 2)
}

#[test]
fn an_allocation_is_a_relayed_address_for_a_time() {
    let mut world = World::new();
    let mut client = Client::alice();
    let response = client.allocate(&mut world, &[]);
    assert!(response.is_success());
    let relayed = response.relayed();
    assert_eq!(relayed.len(), 1);
    assert_eq!(relayed[0].ip().to_string(), RELAY_V4);
    assert!((49152..=65535).contains(&relayed[0].port()));
    assert_eq!(response.lifetime(), Some(600));
    assert_eq!(response.address(XOR_MAPPED_ADDRESS), Some(client.address));
    assert_eq!(
        response.kinds(),
        [XOR_RELAYED_ADDRESS, LIFETIME, XOR_MAPPED_ADDRESS, MESSAGE_INTEGRITY],
        "no realm, nonce or name in it"
    );
    assert_eq!(world.server.allocations(Family::V4), 1);
    assert_eq!(world.server.allocations(Family::V6), 0);
}

#[test]
fn the_relay_is_told_before_the_client() {
    let mut world = World::new();
    let mut client = Client::alice();
    let relayed = client.allocate(&mut world, &[]).relayed()[0];
    let Some(ToRelay::Apply { operations, then_send, .. }) = world.relay.applied.last() else { panic!() };
    assert!(matches!(operations[0], Operation::PutSession { worker: 0, .. }));
    assert_eq!(operations[1], Operation::OpenRelayed { address: relayed, external: relayed });
    assert!(then_send.is_some());
    let end = world.in_s(600);
    let unwrap = world.flow(&client, 0).unwrap();
    assert_eq!(unwrap.matches.remote, Remote::Exact(client.address));
    assert_eq!(unwrap.matches.local, address(LISTENER));
    assert_eq!(unwrap.matches.framing, Framing::Indication);
    assert_eq!(unwrap.action, FlowAction::Unwrap { relayed_v4: Some(relayed), relayed_v6: None });
    let refuse = world.flow(&client, 1).unwrap();
    assert_eq!((refuse.matches.remote, refuse.matches.local), (Remote::Any, relayed));
    assert_eq!(refuse.action, FlowAction::Refuse);
    assert_eq!((unwrap.expires_at_ns, refuse.expires_at_ns), (end, end));
    let session = world.relay.sessions.values().next().unwrap();
    assert_eq!(session.expires_at_ns, end);
    assert_eq!(world.flows(&client).len(), 2);
}

#[test]
fn a_lifetime_is_never_below_the_default_nor_above_the_maximum() {
    for (wished, granted) in [(0, 600), (1, 600), (600, 600), (601, 601), (3600, 3600), (u32::MAX, 3600)] {
        let mut world = World::new();
        let response = Client::alice().allocate(&mut world, &[number(LIFETIME, wished)]);
        assert_eq!(response.lifetime(), Some(granted));
    }
}

#[test]
fn an_allocation_ends_with_its_lifetime() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    world.pass_s(599);
    assert_eq!(world.server.session_count(), 1);
    world.pass_s(1);
    assert_eq!(world.server.session_count(), 0);
    assert!(world.relay.sessions.is_empty());
    assert_eq!(client.refresh(&mut world, None).error(), 437);
    assert!(client.allocate(&mut world, &[]).is_success());
}

#[test]
fn only_udp_is_relayed() {
    let mut world = World::new();
    let mut client = Client::alice();
    for protocol in [6, 0, 255] {
        let response = client.call(&mut world, ALLOCATE, &[(REQUESTED_TRANSPORT, vec![protocol, 0, 0, 0])]);
        assert_eq!(response.error(), 442);
    }
    assert_eq!(client.call(&mut world, ALLOCATE, &[]).error(), 400, "missing");
    assert_eq!(client.call(&mut world, ALLOCATE, &[(REQUESTED_TRANSPORT, vec![17])]).error(), 400, "malformed");
}

#[test]
fn malformed_attributes_are_bad_requests() {
    let mut world = World::new();
    let mut client = Client::alice();
    for attribute in [
        (LIFETIME, vec![1, 2]),
        (LIFETIME, vec![0; 8]),
        (REQUESTED_ADDRESS_FAMILY, vec![1]),
        (ADDITIONAL_ADDRESS_FAMILY, vec![2]),
        (EVEN_PORT, vec![]),
        (EVEN_PORT, vec![0x80, 0]),
        (RESERVATION_TOKEN, vec![0; 7]),
        (RESERVATION_TOKEN, vec![0; 12]),
    ] {
        assert_eq!(client.allocate(&mut world, std::slice::from_ref(&attribute)).error(), 400, "{attribute:?}");
    }
    assert!(client.allocate(&mut world, &[]).is_success());
}

#[test]
fn unknown_required_attributes_are_named_after_authentication() {
    let mut world = World::new();
    let mut client = Client::alice();
    let response = client.allocate(&mut world, &[(0x002a, vec![]), (0xc057, vec![0; 4])]);
    assert_eq!(response.error(), 420);
    assert_eq!(response.get(UNKNOWN_ATTRIBUTES), Some(&[0, 0x2a][..]));
    let unproven = message(ALLOCATE, [1; 12], &[transport(), (0x002a, vec![])]);
    assert_eq!(world.ask(client.address, &unproven).error(), 401);
}

#[test]
fn dont_fragment_is_supported() {
    assert!(Client::alice().allocate(&mut World::new(), &[(DONT_FRAGMENT, vec![])]).is_success());
}

#[test]
fn a_second_allocation_on_a_5_tuple_is_a_mismatch() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    assert_eq!(client.allocate(&mut world, &[]).error(), 437);
    let mut bob =
        Client { address: client.address, nonce: client.nonce.clone(), ..Client::new("192.0.2.1:1", "bob", "builder") };
    assert_eq!(bob.allocate(&mut world, &[]).error(), 437);
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn one_client_address_may_allocate_on_every_listener() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    let octets = client.signed(ALLOCATE, [9; 12], &[transport()]);
    let responses = world.punt_on(address("198.51.100.1:3479"), client.address, &octets);
    assert!(responses[0].is_success());
    assert_eq!(world.server.session_count(), 2);
}

#[test]
fn the_same_request_again_gets_the_same_response_and_changes_nothing() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    let attributes = [transport(), even_port(true), number(LIFETIME, 900)];
    let octets = client.signed(ALLOCATE, [5; 12], &attributes);
    let first = world.ask(client.address, &octets);
    let flows = world.flows(&client);
    world.pass_s(3);
    let again = world.ask(client.address, &octets);
    assert_eq!(first.octets, again.octets);
    assert_eq!(world.flows(&client), flows);
    assert_eq!(world.server.session_count(), 1);
    world.restart_control();
    assert_eq!(world.ask(client.address, &octets).octets, first.octets, "also after a restart of control");
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn an_ipv6_relayed_address_is_given_on_request() {
    let mut world = World::new();
    let mut client = Client::alice();
    let response = client.allocate(&mut world, &[v6()]);
    assert_eq!(response.relayed()[0].ip().to_string(), RELAY_V6);
    let FlowAction::Unwrap { relayed_v4: None, relayed_v6: Some(relayed) } = world.flow(&client, 0).unwrap().action
    else {
        panic!()
    };
    assert_eq!(relayed, response.relayed()[0]);
    assert!(world.flow(&client, 2).is_some());
    assert_eq!(world.server.allocations(Family::V6), 1);
}

#[test]
fn a_family_that_is_not_there_is_not_supported() {
    let mut world = World::with(|policy| policy.relay_addresses.truncate(1));
    let mut client = Client::alice();
    assert_eq!(client.allocate(&mut world, &[v6()]).error(), 440);
    assert_eq!(client.allocate(&mut world, &[family(REQUESTED_ADDRESS_FAMILY, 3)]).error(), 440);
    let mut world = World::with(|policy| policy.relay_addresses = policy.relay_addresses.split_off(1));
    assert_eq!(Client::alice().allocate(&mut world, &[]).error(), 440, "IPv4 is what is meant without the attribute");
}

#[test]
fn a_dual_allocation_has_an_address_of_each_family() {
    let mut world = World::new();
    let mut client = Client::alice();
    let response = client.allocate(&mut world, &[additional_v6()]);
    let families: Vec<bool> = response.relayed().iter().map(|relayed| relayed.is_ipv4()).collect();
    assert_eq!(families, [true, false]);
    assert_eq!(response.get(ADDRESS_ERROR_CODE), None);
    assert_eq!(world.flows(&client).len(), 3);
    assert_eq!((world.server.allocations(Family::V4), world.server.allocations(Family::V6)), (1, 1));
    assert_eq!(world.server.session_count(), 1);
}

#[test]
fn half_a_dual_allocation_says_what_is_missing() {
    let mut world = World::with(|policy| policy.relay_addresses.truncate(1));
    let response = Client::alice().allocate(&mut world, &[additional_v6()]);
    assert_eq!(response.relayed().len(), 1);
    let error = response.get(ADDRESS_ERROR_CODE).unwrap();
    assert_eq!(error[..4], [2, 0, 4, 40], "IPv6: 440");
    let mut world = World::with(|policy| policy.relay_addresses = policy.relay_addresses.split_off(1));
    let response = Client::alice().allocate(&mut world, &[additional_v6()]);
    assert_eq!(response.relayed()[0].ip().to_string(), RELAY_V6);
    assert_eq!(response.get(ADDRESS_ERROR_CODE).unwrap()[..4], [1, 0, 4, 40], "IPv4: 440");
}

#[test]
fn the_additional_family_can_only_be_ipv6_and_stands_alone() {
    let mut world = World::new();
    let mut client = Client::alice();
    let token = (RESERVATION_TOKEN, vec![1; 8]);
    for attributes in [
        vec![family(ADDITIONAL_ADDRESS_FAMILY, 1)],
        vec![family(ADDITIONAL_ADDRESS_FAMILY, 9)],
        vec![additional_v6(), v6()],
        vec![additional_v6(), even_port(true)],
        vec![token.clone(), additional_v6()],
        vec![token.clone(), v6()],
        vec![token, even_port(false)],
    ] {
        assert_eq!(client.allocate(&mut world, &attributes).error(), 400, "{attributes:?}");
    }
    assert!(client.allocate(&mut world, &[additional_v6(), even_port(false)]).is_success());
}

#[test]
fn an_even_port_is_even() {
    for at in 0..20 {
        let mut world = World::new();
        let mut client = Client::new(&format!("192.0.2.10:{}", 100 + at), "alice", "wonderland");
        let response = client.allocate(&mut world, &[even_port(false)]);
        assert_eq!(response.relayed()[0].port() % 2, 0);
        assert_eq!(response.get(RESERVATION_TOKEN), None);
    }
}

#[test]
fn a_token_gives_the_next_port_once_within_its_time() {
    let mut world = World::new();
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    let response = one.allocate(&mut world, &[even_port(true)]);
    let port = response.relayed()[0].port();
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    assert_eq!((port % 2, token.1.len()), (0, 8));
    world.pass_s(29);
    let response = two.allocate(&mut world, std::slice::from_ref(&token));
    assert_eq!(response.relayed()[0].port(), port + 1);
    let mut three = Client::new("192.0.2.10:3", "alice", "wonderland");
    assert_eq!(three.allocate(&mut world, &[token]).error(), 508, "used");
    assert_eq!(three.allocate(&mut world, &[(RESERVATION_TOKEN, vec![0; 8])]).error(), 508, "unknown");
}

#[test]
fn a_reserved_port_is_free_again_after_its_time() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50001));
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    let response = one.allocate(&mut world, &[even_port(true)]);
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    assert_eq!(two.allocate(&mut world, &[]).error(), 508, "held");
    world.pass_s(30);
    assert_eq!(two.allocate(&mut world, &[token]).error(), 508, "expired");
    assert_eq!(two.allocate(&mut world, &[]).relayed()[0].port(), 50001);
}

#[test]
fn a_reservation_outlives_a_restart_of_control() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50001));
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    let response = one.allocate(&mut world, &[even_port(true)]);
    let token = (RESERVATION_TOKEN, response.get(RESERVATION_TOKEN).unwrap().to_vec());
    world.restart_control();
    assert_eq!(two.allocate(&mut world, &[]).error(), 508, "held");
    assert_eq!(two.allocate(&mut world, &[token]).relayed()[0].port(), 50001);
}

#[test]
fn when_ports_run_out_the_answer_is_508() {
    let mut world = World::with(|policy| (policy.ports.first, policy.ports.last) = (50000, 50003));
    let mut ports = BTreeSet::new();
    for at in 0..4 {
        let mut client = Client::new(&format!("192.0.2.10:{}", 100 + at), "alice", "wonderland");
        ports.insert(client.allocate(&mut world, &[]).relayed()[0].port());
    }
    assert_eq!(ports, (50000..=50003).collect());
    let mut late = Client::new("192.0.2.10:9", "alice", "wonderland");
    assert_eq!(late.allocate(&mut world, &[]).error(), 508);
    assert_eq!(late.allocate(&mut world, &[even_port(false)]).error(), 508);
}

#[test]
fn relayed_ports_are_not_sequential() {
    let mut world = World::new();
    let port = |at: u16| {
        let mut client = Client::new(&format!("192.0.2.10:{}", 100 + at), "alice", "wonderland");
        client.allocate(&mut world, &[]).relayed()[0].port()
    };
    let ports: Vec<u16> = (0..50).map(port).collect();
    assert!(ports.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1), "{ports:?}");
    assert!(ports.iter().max().unwrap() - ports.iter().min().unwrap() > 8000);
}

#[test]
fn behind_a_nat_the_client_is_told_the_external_address() {
    let relay = RelayAddress { internal: "10.0.0.5".parse().unwrap(), external: "192.0.2.99".parse().unwrap() };
    let mut world = World::with(|policy| policy.relay_addresses = vec![relay]);
    let mut client = Client::alice();
    let relayed = client.allocate(&mut world, &[]).relayed()[0];
    assert_eq!(relayed.ip(), relay.external);
    let session = world.relay.sessions.values().next().unwrap();
    assert_eq!(session.relayed[0].0.ip(), relay.internal);
    assert_eq!(session.relayed[0].1, relayed);
    assert_eq!(world.flow(&client, 1).unwrap().matches.local.ip(), relay.internal);
}

#[test]
fn a_draining_server_refuses_new_allocations_only() {
    let mut world = World::new();
    let (mut one, mut two) = (Client::alice(), Client::new("192.0.2.10:2", "alice", "wonderland"));
    one.allocate(&mut world, &[]);
    world.server.drain(true);
    assert!(world.server.is_draining());
    assert_eq!(two.allocate(&mut world, &[]).error(), 508);
    assert!(one.refresh(&mut world, None).is_success());
    assert!(one.permit(&mut world, &[address(PEER)]).is_success());
    world.server.drain(false);
    assert!(two.allocate(&mut world, &[]).is_success());
}

#[test]
fn the_rate_limit_is_the_policys() {
    let mut world = World::with(|policy| policy.bits_per_second = 64_000);
    Client::alice().allocate(&mut world, &[]);
    assert_eq!(world.relay.sessions.values().next().unwrap().bits_per_second, 64_000);
    let mut policy = world.policy.clone();
    policy.bits_per_second = 128_000;
    world.server.reconfigure(policy).unwrap();
    world.settle();
    assert_eq!(world.relay.sessions.values().next().unwrap().bits_per_second, 128_000);
}

#[test]
fn requests_are_counted_by_result() {
    let mut world = World::new();
    Client::alice().allocate(&mut world, &[]);
    let counters = world.server.counters();
    assert_eq!(counters.requests(Method::Allocate, Outcome::Success), 1);
    assert_eq!(counters.requests(Method::Allocate, Outcome::Refused(raceway_turn::Refusal::Unauthenticated)), 1);
}

#[test]
fn no_flow_of_a_new_allocation_lets_a_peer_in() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    let to_client = |action: FlowAction| matches!(action, FlowAction::Forward { towards: Destination::Client, .. });
    assert!(!world.flows(&client).iter().any(|flow| to_client(flow.action)));
}
