//! What nobody should send.

use proptest::prelude::*;
use raceway_ice::{Discard, Mode, Outcome, fuzz};

use crate::world::{Check, address, agent, at, events};

fn given(octets: &[u8]) -> Outcome {
    let base = address("192.0.2.1:4000");
    let mut agent = agent(Mode::Lite, 1, &[base]);
    let outcome = agent.handle_datagram(at(0), base, address("198.51.100.7:5000"), octets);
    assert_eq!(events(&mut agent).len(), usize::from(outcome == Outcome::Accepted));
    outcome
}

#[test]
fn what_follows_the_message_is_not_looked_at() {
    let mut octets = Check::nominating(1, 1).octets();
    octets.extend_from_slice(&[9; 9]);
    assert_eq!(given(&octets), Outcome::Accepted);
}

#[test]
fn use_candidate_behind_the_integrity_does_not_count() {
    let base = address("192.0.2.1:4000");
    let mut octets = Check { fingerprint: false, ..Check::to(1) }.octets();
    octets.extend_from_slice(&[0, 0x25, 0, 0]);
    let length = (octets.len() - 20) as u16;
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    let mut agent = agent(Mode::Lite, 1, &[base]);
    agent.handle_datagram(at(0), base, address("198.51.100.7:6000"), &Check::nominating(1, 2).octets());
    assert_eq!(events(&mut agent).len(), 1);
    let outcome = agent.handle_datagram(at(0), base, address("198.51.100.7:5000"), &octets);
    assert_eq!((outcome, events(&mut agent)), (Outcome::Accepted, vec![]));
}

#[test]
fn every_cut_of_a_check_is_discarded() {
    let octets = Check::nominating(1, 1).octets();
    for cut in 0..octets.len() {
        assert_eq!(given(&octets[..cut]), Outcome::Discarded(Discard::Malformed), "{cut} octets");
    }
}

#[test]
fn other_messages_are_discarded_by_what_they_are() {
    let check = Check::nominating(1, 1).octets();
    let kind = |high, low| {
        let mut octets = check[..20].to_vec();
        octets[..4].copy_from_slice(&[high, low, 0, 0]);
        octets
    };
    for (octets, discard) in [
        (kind(0, 0x11), Discard::Indication),
        (kind(1, 0x01), Discard::Unexpected),
        (kind(1, 0x11), Discard::Unexpected),
        (kind(0, 0x03), Discard::NotBinding),
        (kind(0x40, 1), Discard::Malformed),
    ] {
        assert_eq!(given(&octets), Outcome::Discarded(discard));
    }
    let mut wrong = check;
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(given(&wrong), Outcome::Discarded(Discard::Fingerprint));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn changed_octets_of_a_check_nominate_nobody(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let check = Check { fingerprint: false, ..Check::nominating(1, 1) }.octets();
        let mut octets = check.clone();
        for (at, change) in changes {
            octets[at.index(check.len())] ^= change;
        }
        prop_assume!(octets != check);
        prop_assert_ne!(given(&octets), Outcome::Accepted);
    }

    #[test]
    fn steps_of_any_kind_are_survived(
        steps in prop::collection::vec((0..6_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let data = steps.into_iter().flat_map(|(what, value)| {
            let mut step = vec![what, value.len() as u8];
            step.extend(value);
            step
        });
        fuzz(&data.collect::<Vec<_>>());
    }
}
