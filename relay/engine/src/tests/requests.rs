//! What is handed to control.

use core::time::Duration;

use super::*;

/// Requests that come at once, with the rate that these tests set.
const BURST: usize = 20;

fn limited() -> World {
    let world = World::with_call();
    world.requests.set_rate(10);
    world
}

/// A STUN message of so many octets.
fn message(kind: u16, octets: usize) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&((octets - 20) as u16).to_be_bytes());
    out.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    out.resize(octets, 0);
    out
}

/// How many of `count` messages control gets.
fn handed(world: &mut World, count: usize, remote: Endpoint, message: &[u8]) -> usize {
    (0..count).filter(|_| world.take(Arrival::Listener, remote, LISTENER, message).0 == Verdict::Punt).count()
}

const BINDING: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;

#[test]
fn control_gets_no_more_of_a_prefix_than_its_budget_and_all_of_others() {
    let mut world = limited();
    assert_eq!(handed(&mut world, BURST + 5, v4([192, 0, 2, 1], 1), &message(BINDING, 20)), BURST);
    assert_eq!(handed(&mut world, 5, v4([192, 0, 2, 200], 2), &message(BINDING_INDICATION, 20)), 0);
    assert_eq!(world.drops(DropReason::StunBudget), 10);
    assert_eq!(handed(&mut world, 5, v4([192, 0, 3, 1], 1), &message(BINDING, 20)), 5);
    assert_eq!(handed(&mut world, 5, v6(1, 1), &message(BINDING, 20)), 5);
}

#[test]
fn what_may_bear_credentials_has_a_budget_beside_that_of_short_requests() {
    let mut world = limited();
    let from = v4([192, 0, 2, 1], 1);
    assert_eq!(handed(&mut world, BURST + 1, from, &message(BINDING, 128)), BURST);
    assert_eq!(handed(&mut world, BURST + 1, from, &message(BINDING, 132)), BURST);
}

#[test]
fn a_budget_fills_again_and_an_end_of_the_limit_counts_at_once() {
    let mut world = limited();
    let from = v4([192, 0, 2, 1], 1);
    handed(&mut world, BURST, from, &message(BINDING, 20));
    let mut later = |after_ms: u64| {
        let mut buffer = message(BINDING, 20);
        let payload = 0..buffer.len();
        let datagram =
            Datagram { arrival: Arrival::Listener, local: LISTENER, remote: from, buffer: &mut buffer, payload };
        world.forwarder.handle(NOW.after(Duration::from_millis(after_ms)), datagram)
    };
    assert_eq!(later(99), Verdict::Drop(DropReason::StunBudget));
    assert_eq!(later(100), Verdict::Punt);
    assert_eq!(later(100), Verdict::Drop(DropReason::StunBudget));
    world.requests.set_rate(0);
    assert_eq!(handed(&mut world, 100, from, &message(BINDING, 20)), 100);
}

#[test]
fn a_client_with_an_allocation_has_a_budget_that_nobody_else_can_use_up() {
    let mut world = limited();
    let of_the_same_host = |port| Endpoint { port, ..CLIENT };
    let (neighbour, other) = (of_the_same_host(1), of_the_same_host(2));
    world.put(unwrap(other, RELAYED, None), [FROM_RELAYED, FROM_RELAYED_V6]);
    for octets in [20, 200] {
        assert_eq!(handed(&mut world, BURST + 1, neighbour, &message(BINDING, octets)), BURST);
    }
    for client in [CLIENT, other] {
        assert_eq!(handed(&mut world, BURST + 1, client, &message(BINDING, 200)), BURST);
    }
}

#[test]
fn an_allocation_that_is_over_gives_no_budget() {
    let mut world = limited();
    assert_eq!(handed(&mut world, BURST, Endpoint { port: 1, ..CLIENT }, &message(BINDING, 200)), BURST);
    world.expire(&key(CLIENT, LISTENER, CHANNEL_INDICATION));
    assert_eq!(handed(&mut world, 1, CLIENT, &message(BINDING, 200)), 0);
}

#[test]
fn application_data_takes_nothing_of_the_budget() {
    let mut world = limited();
    for _ in 0..100 {
        assert!(matches!(world.client_sends(&channel_data(b"media")).0, Verdict::Forward(_)));
    }
    assert_eq!(handed(&mut world, BURST, CLIENT, &message(BINDING, 20)), BURST);
}
