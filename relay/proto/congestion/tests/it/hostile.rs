//! Receivers that lie, and feedback that nobody would write.

use proptest::prelude::*;
use raceway_congestion::limits::MESSAGE_OCTETS;
use raceway_congestion::transport_wide::{Feedback, Recorder};
use raceway_congestion::{BitRate, Bounds, Estimator};
use raceway_units::Instant;

use crate::world::at_ms;

const BOUNDS: Bounds =
    Bounds { min: BitRate::from_kbps(50), start: BitRate::from_kbps(300), max: BitRate::from_kbps(50_000) };

/// A message of these packets: a base and, for each, ticks after the one before.
fn message(base: u16, reference: u32, deltas: &[Option<i16>]) -> Vec<u8> {
    let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    packet.extend(base.to_be_bytes());
    packet.extend((deltas.len() as u16).to_be_bytes());
    packet.extend((reference << 8).to_be_bytes());
    for seven in deltas.chunks(7) {
        let bits = seven
            .iter()
            .zip((0..7).rev())
            .fold(0xc000_u16, |bits, (delta, at)| bits | (if delta.is_some() { 2 } else { 0 }) << (2 * at));
        packet.extend(bits.to_be_bytes());
    }
    deltas.iter().flatten().for_each(|delta| packet.extend(delta.to_be_bytes()));
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = packet.len() as u16 / 4 - 1;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}

/// Sends 400 kbit/s for a minute; `tell` makes what the receiver says of each 100 ms: first number, how many.
fn lied_to(tell: impl Fn(u16, u16) -> Vec<u8>) -> BitRate {
    let mut estimator = Estimator::new(BOUNDS, at_ms(1_000));
    let mut highest = BitRate::ZERO;
    for turn in 0..600_u64 {
        let now = at_ms(1_000 + turn * 100);
        let first = estimator.sent(1_000, None, now);
        for n in 1..5 {
            estimator.sent(1_000, None, at_ms(1_000 + turn * 100 + n * 20));
        }
        let told = tell(first, 5);
        estimator.handle_feedback(&Feedback::read(&told).unwrap(), at_ms(1_000 + turn * 100 + 99));
        highest = highest.max(estimator.estimate(now).target);
    }
    highest
}

#[test]
fn a_receiver_that_says_that_all_came_at_once_gets_little_more_than_is_sent() {
    // Half a second between messages is claimed to be none.
    let highest = lied_to(|first, count| message(first, u32::from(first / 5) / 40, &vec![Some(0); count.into()]));
    assert!(highest <= BitRate::from_kbps(2 * 600 + 10 + 50), "{highest}");
    let honest =
        lied_to(|first, count| message(first, 100 + u32::from(first / 5) * 100 / 64, &vec![Some(80); count.into()]));
    assert!(honest <= BitRate::from_kbps(600 + 10 + 50), "{honest}");
}

#[test]
fn a_receiver_that_acknowledges_what_was_not_sent_moves_nothing() {
    let highest = lied_to(|first, count| {
        message(first.wrapping_add(5), u32::from(first), &vec![Some(1); 400 + usize::from(count)])
    });
    assert_eq!(highest, BOUNDS.start);
    let highest = lied_to(|first, _| message(first.wrapping_add(30_000), u32::from(first), &[Some(1); 2_000]));
    assert_eq!(highest, BOUNDS.start);
}

#[test]
fn a_flood_of_one_message_counts_as_one() {
    let mut estimators = [1, 500].map(|times| (Estimator::new(BOUNDS, at_ms(1_000)), times));
    for (estimator, times) in &mut estimators {
        let mut recorder = Recorder::new(1, 2);
        let mut out = [0; MESSAGE_OCTETS];
        for turn in 0..1_000_u64 {
            let now = at_ms(1_000 + turn * 10);
            let number = estimator.sent(1_000, None, now);
            recorder.handle_packet(number, now);
            if let Some(octets) = recorder.poll(&mut out, now) {
                let feedback = Feedback::read(&out[..octets]).unwrap();
                (0..*times).for_each(|_| estimator.handle_feedback(&feedback, now));
            }
        }
    }
    let [once, often] = estimators.map(|(estimator, _)| estimator.estimate(at_ms(11_000)));
    assert_eq!(once, often);
}

#[derive(Clone, Debug)]
enum Event {
    Sent(u16),
    Feedback { back: u16, reference: u32, deltas: Vec<Option<i16>> },
    Report(u8),
    Remb(u64),
    Wanted(u64),
    Passed(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let delta = prop::option::of(prop_oneof![any::<i16>(), 0..50_i16]);
    let deltas = prop::collection::vec(delta, 0..60);
    let feedback = (prop_oneof![0..200_u16, any::<u16>()], 0..1_u32 << 24, deltas);
    prop_oneof![
        4 => any::<u16>().prop_map(Event::Sent),
        4 => feedback.prop_map(|(back, reference, deltas)| Event::Feedback { back, reference, deltas }),
        1 => any::<u8>().prop_map(Event::Report),
        1 => any::<u64>().prop_map(Event::Remb),
        1 => any::<u64>().prop_map(Event::Wanted),
        4 => prop_oneof![0..100_000_000_u64, 0..20_000_000_000_u64].prop_map(Event::Passed),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_the_estimate_stays_in_its_bounds(events in prop::collection::vec(any_event(), 1..200), begin in 0..u64::MAX / 2) {
        let mut now = Instant::from_ns(begin);
        let mut estimator = Estimator::new(BOUNDS, now);
        let (mut newest, mut probe) = (0, None);
        for event in events {
            match event {
                Event::Sent(octets) => newest = estimator.sent(octets.into(), probe, now),
                Event::Feedback { back, reference, deltas } => {
                    let told = message(newest.wrapping_sub(back), reference, &deltas);
                    estimator.handle_feedback(&Feedback::read(&told).unwrap(), now);
                }
                Event::Report(lost) => estimator.handle_report(lost, None, now),
                Event::Remb(bps) => estimator.handle_remb(BitRate::from_bps(bps), now),
                Event::Wanted(bps) => estimator.handle_wanted(BitRate::from_bps(bps)),
                Event::Passed(ns) => {
                    now = Instant::from_ns(now.as_ns() + ns);
                    estimator.handle_timeout(now);
                    probe = estimator.poll_probe(now).map(|probe| probe.id).or(probe);
                    prop_assert!(estimator.poll_timeout() > now, "the caller would never sleep");
                }
            }
            let estimate = estimator.estimate(now);
            prop_assert!(BOUNDS.min <= estimate.target && estimate.target <= BOUNDS.max, "{:?}", estimate);
            prop_assert!((0.0..=1.0).contains(&estimate.loss), "{:?}", estimate);
        }
    }
}
