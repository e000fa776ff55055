//! Binding, and what is not answered (RFC 8489 sections 3, 6.3).

use raceway_turn::{Method, Outcome, Refusal, Silence, UnauthenticatedBudget};

use crate::wire::*;
use crate::world::*;

const CLIENT: &str = "192.0.2.10:40000";

fn binding(attributes: &[Attribute]) -> Vec<u8> {
    message(BINDING, [7; 12], attributes)
}

#[test]
fn a_binding_is_answered_with_the_address_it_came_from() {
    let mut world = World::new();
    for client in [address(CLIENT), "[2001:db8:2::9]:777".parse().unwrap()] {
        let response = world.ask(client, &binding(&[]));
        assert!(response.is_success());
        assert_eq!(response.transaction, [7; 12]);
        assert_eq!(response.address(XOR_MAPPED_ADDRESS), Some(client));
        assert_eq!(response.kinds(), [XOR_MAPPED_ADDRESS]);
    }
    assert_eq!(world.server.counters().requests(Method::Binding, Outcome::Success), 2);
}

#[test]
fn a_fingerprint_is_answered_with_a_fingerprint() {
    let mut world = World::new();
    let mut octets = binding(&[]);
    add_fingerprint(&mut octets);
    assert!(world.ask(address(CLIENT), &octets).has_fingerprint());
    assert!(!world.ask(address(CLIENT), &binding(&[])).has_fingerprint());
}

#[test]
fn a_wrong_fingerprint_is_met_with_silence() {
    let mut world = World::new();
    let mut octets = binding(&[]);
    add_fingerprint(&mut octets);
    *octets.last_mut().unwrap() ^= 1;
    assert!(world.punt(address(CLIENT), &octets).is_empty());
    assert_eq!(world.server.counters().silences(Silence::Fingerprint), 1);
}

#[test]
fn unknown_required_attributes_are_named_in_a_420() {
    let mut world = World::new();
    // 0x8777 is comprehension-optional; 0x0024 (PRIORITY) comes twice.
    let attributes = [(0x0024, vec![0; 4]), (0x8777, vec![]), (0x7777, vec![1]), (0x0024, vec![0; 4])];
    let response = world.ask(address(CLIENT), &binding(&attributes));
    assert_eq!(response.error(), 420);
    assert_eq!(response.get(UNKNOWN_ATTRIBUTES), Some(&[0, 0x24, 0x77, 0x77][..]));
    let refused = Outcome::Refused(Refusal::UnknownAttribute);
    assert_eq!(world.server.counters().requests(Method::Binding, refused), 1);
}

#[test]
fn software_is_told_only_when_configured() {
    let mut world = World::with(|policy| policy.software = Some("gateway".to_owned()));
    assert_eq!(world.ask(address(CLIENT), &binding(&[])).get(SOFTWARE), Some(&b"gateway"[..]));
}

#[test]
fn octets_after_the_message_are_not_part_of_it() {
    let mut world = World::new();
    let mut octets = binding(&[]);
    octets.extend([0x00, 0x25, 0, 0]);
    assert!(world.ask(address(CLIENT), &octets).is_success(), "a USE-CANDIDATE behind the message would be a 420");
}

#[test]
fn what_is_not_a_stun_request_is_met_with_silence() {
    let mut world = World::new();
    let mut truncated = binding(&[(SOFTWARE, vec![1; 8])]);
    truncated.pop();
    let mut odd = binding(&[]);
    odd[3] = 1;
    odd.push(0);
    let mut no_cookie = binding(&[]);
    no_cookie[4] = 0;
    let overrun = {
        let mut octets = binding(&[(SOFTWARE, vec![1; 4])]);
        octets[23] = 5;
        octets
    };
    let unpadded = {
        let mut octets = binding(&[(SOFTWARE, vec![1])]);
        octets.truncate(25);
        octets[3] = 5;
        octets
    };
    let huge = binding(&[(SOFTWARE, vec![1; 4100])]);
    for octets in [vec![], vec![0], vec![0; 19], truncated, odd, no_cookie, overrun, unpadded, huge] {
        assert!(world.punt(address(CLIENT), &octets).is_empty(), "{octets:?}");
    }
    assert_eq!(world.server.counters().silences(Silence::Malformed), 9);
}

#[test]
fn indications_and_responses_are_met_with_silence() {
    let mut world = World::new();
    for kind in [0x0011, 0x0101, 0x0111, 0x0016] {
        assert!(world.punt(address(CLIENT), &message(kind, [1; 12], &[])).is_empty());
    }
    assert_eq!(world.server.counters().silences(Silence::NotARequest), 4);
}

#[test]
fn an_unknown_method_is_met_with_silence() {
    let mut world = World::new();
    // 0x000a is Connect (RFC 6062), which needs TCP.
    for method in [0x000a, 0x000c, 0x0fff & !0x0110] {
        assert!(world.punt(address(CLIENT), &message(method, [1; 12], &[])).is_empty());
    }
    assert_eq!(world.server.counters().silences(Silence::UnknownMethod), 3);
}

#[test]
fn unproven_sources_get_no_more_octets_than_they_send_beyond_the_budget_of_their_prefix() {
    let budget = UnauthenticatedBudget { octets_per_second: 100, burst: 1000 };
    let mut world = World::with(|policy| policy.unauthenticated = budget);
    let (mut sent, mut received) = (0, 0);
    for host in 0..=255 {
        let client = address(&format!("192.0.2.{host}:1000"));
        let request = message(ALLOCATE, [host; 12], &[transport()]);
        sent += request.len();
        received += world.punt(client, &request).iter().map(|response| response.octets.len()).sum::<usize>();
    }
    assert!(received > 500, "some are answered");
    assert!(received <= sent + 1000, "{received} octets for {sent}");
    assert!(world.server.counters().silences(Silence::OverBudget) > 200);
    assert_eq!(world.punt(address("203.0.113.1:9"), &message(ALLOCATE, [1; 12], &[])).len(), 1, "another prefix");
    world.pass_s(20);
    assert_eq!(world.punt(address(CLIENT), &message(ALLOCATE, [1; 12], &[])).len(), 1, "the budget refills");
}

#[test]
fn an_answer_that_is_not_larger_than_its_request_needs_no_budget() {
    let budget = UnauthenticatedBudget { octets_per_second: 0, burst: 0 };
    let mut world = World::with(|policy| policy.unauthenticated = budget);
    assert!(world.punt(address(CLIENT), &binding(&[])).is_empty());
    let padded = binding(&[(SOFTWARE, vec![b'x'; 12])]);
    assert!(world.ask(address(CLIENT), &padded).octets.len() <= padded.len());
}
