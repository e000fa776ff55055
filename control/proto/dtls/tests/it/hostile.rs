//! What nobody should send.

use std::time::Duration;

use proptest::prelude::*;
use raceway_dtls::{Association, Discard, Event, Failure, Outcome, Profile, fuzz, limits};

use crate::world::{ACTIVE, PASSIVE, World, address, association, at};

fn hello() -> Vec<u8> {
    let mut active = association(ACTIVE, &Profile::ALL);
    active.allow(at(0), address(PASSIVE));
    active.poll_transmit().unwrap().payload
}

fn passive() -> Association {
    let mut passive = association(PASSIVE, &Profile::ALL);
    passive.allow(at(0), address(ACTIVE));
    passive
}

/// A record in the clear.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, body.len() as u8];
    octets.extend_from_slice(body);
    octets
}

#[test]
fn a_client_hello_from_an_address_that_nobody_named_is_not_answered() {
    let mut passive = passive();
    let outcome = passive.handle_datagram(at(0), address(9), &hello());
    assert_eq!(outcome, Outcome::Discarded(Discard::NotAllowed));
    assert_eq!((passive.poll_transmit(), passive.poll_timeout()), (None, None));
    passive.allow(at(1), address(9));
    assert_eq!(passive.handle_datagram(at(1), address(9), &hello()), Outcome::Accepted);
    assert_eq!(passive.poll_transmit().unwrap().remote, address(9));
}

#[test]
fn addresses_that_may_speak_have_a_limit() {
    let mut passive = association(PASSIVE, &Profile::ALL);
    for side in 0..=limits::ALLOWED_MAX {
        passive.allow(at(0), address(side));
    }
    let junk = record(22, &[2]);
    assert_eq!(passive.handle_datagram(at(0), address(0), &junk), Outcome::Discarded(Discard::NotAllowed), "the first");
    assert_eq!(passive.handle_datagram(at(0), address(1), &junk), Outcome::Discarded(Discard::NotClientHello));
}

#[test]
fn a_passive_association_begins_with_a_client_hello() {
    let mut passive = passive();
    for (octets, discard) in [
        (record(22, &[2, 0, 0, 0]), Discard::NotClientHello),
        (record(20, &[1]), Discard::NotClientHello),
        (record(23, &[1, 2, 3]), Discard::NotClientHello),
        (record(21, &[2, 40]), Discard::NotClientHello),
        (record(24, &[1]), Discard::Malformed),
        (vec![22], Discard::Malformed),
        (vec![0; limits::DATAGRAM_MAX + 1], Discard::Malformed),
    ] {
        assert_eq!(passive.handle_datagram(at(0), address(ACTIVE), &octets), Outcome::Discarded(discard));
    }
    assert_eq!((passive.poll_event(), passive.poll_timeout()), (None, None));
}

#[test]
fn an_alert_in_the_clear_ends_nothing() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(Duration::from_millis(15));
    for side in [ACTIVE, PASSIVE] {
        let now = world.now;
        let outcome = world.sides[side].handle_datagram(now, address(1 - side), &record(21, &[2, 40]));
        assert_eq!(outcome, Outcome::Discarded(Discard::Alert));
    }
    world.run(Duration::from_secs(1));
    world.assert_keyed();
}

#[test]
fn a_timeout_tells_of_the_alert() {
    let mut active = association(ACTIVE, &Profile::ALL);
    active.allow(at(0), address(PASSIVE));
    active.handle_datagram(at(10), address(PASSIVE), &record(21, &[2, 40]));
    active.handle_timeout(at(10_000));
    let Some(Event::Failed(failure)) = active.poll_event() else { panic!("no failure") };
    assert_eq!(failure, Failure::Timeout(Some(40)));
    assert_eq!(failure.to_string(), "the DTLS handshake was not over after 10 s; an alert 40 had come");
}

#[test]
fn datagrams_after_the_handshake_that_are_forged_end_nothing() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(Duration::from_secs(1));
    for forged in [hello(), record(22, &[20, 0, 0, 0]), record(23, b"media?"), record(20, &[1]), record(21, &[1, 0])] {
        for side in [ACTIVE, PASSIVE] {
            let now = world.now;
            world.sides[side].handle_datagram(now, address(1 - side), &forged);
        }
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.events.each_ref().map(Vec::len), [1, 1], "keys and nothing else: {:?}", world.events);
}

#[test]
fn a_repeated_client_hello_is_not_answered_more_often_than_it_is_asked() {
    let mut passive = passive();
    let hello = hello();
    let mut sent = 0;
    for _ in 0..1000 {
        passive.handle_datagram(at(0), address(ACTIVE), &hello);
        sent += std::iter::from_fn(|| passive.poll_transmit()).count();
    }
    assert!(sent <= 4, "one flight: {sent}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn changed_octets_of_a_client_hello_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut octets = hello();
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        let mut passive = passive();
        passive.handle_datagram(at(0), address(ACTIVE), &octets);
        let event = passive.poll_event();
        prop_assert!(matches!(event, None | Some(Event::Failed(Failure::Handshake(_)))), "{:?}", event);
    }

    #[test]
    fn steps_of_any_kind_are_survived(
        steps in prop::collection::vec((0..6_u8, prop::collection::vec(any::<u8>(), 0..6)), 0..30),
    ) {
        let data = steps.into_iter().flat_map(|(what, value)| {
            let mut step = vec![what, value.len() as u8];
            step.extend(value);
            step
        });
        fuzz(&data.collect::<Vec<_>>());
    }
}
