//! Loss, reordering, duplicates, and rollover counters.

use std::collections::BTreeSet;

use proptest::prelude::*;
use raceway_srtp::limits::REPLAY_WINDOW;
use raceway_srtp::{Kind, Position, Receiver, Sender, SrtpError, Suite};

use crate::world::{KINDS, master, packet, pair, protect, rtp, unprotect};

#[test]
fn a_packet_is_received_once() {
    for suite in Suite::ALL {
        for kind in KINDS {
            let (mut sender, mut receiver) = pair(&master(suite, 1));
            let wires: Vec<_> = (0..200).map(|n| protect(&mut sender, kind, &packet(kind, 5, n)).unwrap()).collect();
            for wire in &wires[..100] {
                assert!(unprotect(&mut receiver, kind, wire).is_ok());
                assert_eq!(unprotect(&mut receiver, kind, wire), Err(SrtpError::Replayed), "{suite}");
            }
            assert!(unprotect(&mut receiver, kind, &wires[199]).is_ok());
            assert_eq!(unprotect(&mut receiver, kind, &wires[0]), Err(SrtpError::Old));
            assert!(unprotect(&mut receiver, kind, &wires[199 - 127]).is_err(), "taken before");
            assert!(unprotect(&mut receiver, kind, &wires[150]).is_ok(), "late");
        }
    }
}

#[test]
fn the_rollover_counter_goes_up_at_the_wrap_and_late_packets_have_the_one_before() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(&master(suite, 1));
        let sequences: Vec<u16> = (0..40).map(|n| 65_516_u16.wrapping_add(n)).collect();
        let wires: Vec<_> =
            sequences.iter().map(|n| protect(&mut sender, Kind::Rtp, &rtp(5, *n, 20)).unwrap()).collect();
        for swapped in wires.chunks(2) {
            assert!(unprotect(&mut receiver, Kind::Rtp, &swapped[1]).is_ok());
            assert!(unprotect(&mut receiver, Kind::Rtp, &swapped[0]).is_ok());
        }
        assert_eq!(receiver.positions().next().unwrap().roc, 1);
        assert_eq!(sender.positions().next().unwrap().roc, 1);
    }
}

#[test]
fn new_streams_and_turns_of_the_counter_are_announced() {
    let (mut sender, mut receiver) = pair(&master(Suite::Aes128CmSha1_80, 1));
    let mut announced = Vec::new();
    for (ssrc, sequence) in [(5, 65_534), (5, 65_535), (6, 9), (5, 0), (5, 1), (6, 10)] {
        let before = (sender.changes(), receiver.changes());
        let wire = protect(&mut sender, Kind::Rtp, &rtp(ssrc, sequence, 20)).unwrap();
        assert!(unprotect(&mut receiver, Kind::Rtp, &wire).is_ok());
        announced.push((sender.changes() != before.0, receiver.changes() != before.1));
    }
    assert_eq!(announced, [true, false, true, true, false, false].map(|both| (both, both)));
}

/// Sequence numbers in the order in which a network brings them, some twice: for each its extended number.
fn arrivals() -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![8 => Just(1_u64), 2 => 1..20_u64, 1 => 1..5000_u64, 1 => 1..30_000_u64];
    let jitter = prop_oneof![6 => Just(0_u64), 3 => 0..4_u64, 1 => 0..300_u64];
    (60_000..66_000_u64, prop::collection::vec((step, jitter, prop::bool::weighted(0.1)), 1..120)).prop_map(
        |(start, steps)| {
            let mut number = start;
            let mut sent = Vec::new();
            for (place, (step, jitter, twice)) in steps.into_iter().enumerate() {
                number += step;
                sent.push((place as u64 + jitter, number));
                if twice {
                    sent.push((place as u64 + jitter * 2, number));
                }
            }
            sent.sort_by_key(|(at, _)| *at);
            sent.into_iter().map(|(_, number)| number).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// Whatever order packets come in: each is taken once, with its own counter, while it is in the window.
    #[test]
    fn packets_in_any_order_are_received_once(numbers in arrivals(), suite in prop::sample::select(&Suite::ALL[..])) {
        let master = master(suite, 3);
        let mut receiver = Receiver::new(&master, 1);
        // Both ends agree on the counter, whichever packet comes first.
        let first = Position { ssrc: 5, roc: (numbers[0] >> 16) as u32, sequence: None, rtcp_index: None };
        receiver.resume(&first).unwrap();
        let (mut seen, mut highest) = (BTreeSet::new(), None::<u64>);
        for number in numbers {
            if number > highest.unwrap_or(number) + 0x7fff {
                break; // Half a turn ahead: nobody could know.
            }
            // One sender for each packet, so that the order is not the sender's.
            let mut sender = Sender::new(&master, 1);
            let position = Position { ssrc: 5, roc: (number >> 16) as u32, sequence: None, rtcp_index: None };
            sender.resume(&position).unwrap();
            let plain = rtp(5, number as u16, 30);
            let wire = protect(&mut sender, Kind::Rtp, &plain).unwrap();
            let result = unprotect(&mut receiver, Kind::Rtp, &wire);
            let behind = highest.map_or(0, |highest| highest.saturating_sub(number));
            if behind >= REPLAY_WINDOW {
                prop_assert!(result.is_err());
            } else if seen.contains(&number) {
                prop_assert_eq!(result, Err(SrtpError::Replayed));
            } else {
                prop_assert_eq!(result, Ok(plain));
                seen.insert(number);
                highest = highest.max(Some(number));
            }
        }
    }
}

/// A receiver that lost a whole turn of the sequence number finds the counter at the second packet, and loses no more.
#[test]
fn a_rollover_counter_that_was_missed_is_found() {
    for suite in Suite::ALL {
        let master = master(suite, 1);
        let (mut sender, mut receiver) = pair(&master);
        let first = protect(&mut sender, Kind::Rtp, &rtp(5, 1000, 20)).unwrap();
        assert!(unprotect(&mut receiver, Kind::Rtp, &first).is_ok());
        // Sent, and lost on the way: 70,000 packets.
        for sequence in (1..8_u32).map(|n| (1000 + n * 10_000) as u16) {
            protect(&mut sender, Kind::Rtp, &rtp(5, sequence, 20)).unwrap();
        }
        let mut next = |n: u16| protect(&mut sender, Kind::Rtp, &rtp(5, 6000 + n, 20)).unwrap();
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &next(0)), Err(SrtpError::Authentication), "{suite}");
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &next(1)).unwrap(), rtp(5, 6001, 20), "{suite}");
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &next(2)).unwrap(), rtp(5, 6002, 20));
        assert_eq!(receiver.positions().next().unwrap().roc, 1);
    }
}

/// Forged packets between authentic ones bring no search about: it is for streams that are lost.
#[test]
fn a_counter_is_searched_for_only_after_failures_in_a_row() {
    let (mut sender, mut receiver) = pair(&master(Suite::Aes128CmSha1_80, 1));
    let mut wires = (1..10).map(|n| protect(&mut sender, Kind::Rtp, &rtp(5, n * 100, 20)).unwrap());
    let mut forged = wires.next().unwrap();
    forged[20] ^= 1;
    assert!(unprotect(&mut receiver, Kind::Rtp, &forged).is_err());
    assert!(unprotect(&mut receiver, Kind::Rtp, &wires.next().unwrap()).is_ok());
    // A turn of the sequence number later: the first failure in a row, so nobody looks.
    let turns = [20_000, 50_000, 10_000, 40_000, 3_000_u16];
    let late = turns.map(|n| protect(&mut sender, Kind::Rtp, &rtp(5, n, 20)).unwrap());
    assert_eq!(unprotect(&mut receiver, Kind::Rtp, &late[2]), Err(SrtpError::Authentication));
}

/// Looking for another counter must not open a way for packets of the past.
#[test]
fn a_search_for_the_counter_takes_no_old_packet() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(&master(suite, 1));
        let old = protect(&mut sender, Kind::Rtp, &rtp(5, 500, 20)).unwrap();
        for sequence in [500, 30_000, 60_000, 20_000_u16] {
            let wire = if sequence == 500 {
                old.clone()
            } else {
                protect(&mut sender, Kind::Rtp, &rtp(5, sequence, 20)).unwrap()
            };
            assert!(unprotect(&mut receiver, Kind::Rtp, &wire).is_ok());
        }
        assert_eq!(receiver.positions().next().unwrap().roc, 1);
        let mut forged = old.clone();
        forged[20] ^= 1;
        for _ in 0..100 {
            assert!(unprotect(&mut receiver, Kind::Rtp, &forged).is_err());
            assert!(unprotect(&mut receiver, Kind::Rtp, &old).is_err(), "a replay from the turn before");
        }
    }
}
