use core::time::Duration;

use proptest::prelude::*;
use raceway_units::Instant;

use super::*;
use crate::limits::{MESSAGE_ARRIVALS, MESSAGE_OCTETS, RECORDER_PACKETS};

/// A message of section 3.1's form by hand: base 5, reference 2 (128 ms), message 9.
fn message(count: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5];
    packet.extend(count.to_be_bytes());
    packet.extend([0, 0, 2, 9]);
    packet.extend(rest);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = packet.len() as u16 / 4 - 1;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}

fn packets(count: u16, rest: &[u8]) -> Vec<(u16, Option<u32>)> {
    let packet = message(count, rest);
    let feedback = Feedback::read(&packet).unwrap();
    assert_eq!((feedback.sender, feedback.media, feedback.number), (1, 2, 9));
    feedback.packets().map(|(number, at)| (number, at.map(Arrival::as_ticks))).collect()
}

#[test]
fn a_run_of_small_deltas_is_read() {
    // Section 3.1.3: 0, symbol 01, run length 3.
    assert_eq!(packets(3, &[0x20, 3, 4, 0, 255]), [(5, Some(516)), (6, Some(516)), (7, Some(771))]);
}

#[test]
fn vectors_of_one_and_two_bits_are_read() {
    // Section 3.1.4: 1, 0, then 14 symbols: 0 1 1 0...; and 1, 1, then 7 symbols: 00 10 01 00...
    assert_eq!(packets(3, &[0xa8, 0, 1, 2])[..], [(5, Some(513)), (6, None), (7, Some(515))]);
    assert_eq!(packets(3, &[0xc9, 0, 0xff, 0xfe, 7]), [(5, None), (6, Some(510)), (7, Some(517))]);
}

#[test]
fn a_last_chunk_may_speak_of_more_packets_than_are_counted() {
    assert_eq!(packets(1, &[0x20, 40, 4]), [(5, Some(516))]);
    assert_eq!(packets(1, &[0x80, 0]), [(5, None)]);
}

#[test]
fn chunks_and_deltas_that_are_not_there_are_an_error() {
    let error = |count, rest: &[u8]| Feedback::read(&message(count, rest)).unwrap_err();
    assert_eq!(error(3, &[]), FeedbackError::Count);
    assert_eq!(error(3, &[0x20, 3, 1, 1]), FeedbackError::Count, "a delta is missing");
    assert_eq!(error(4, &[0x20, 3, 0, 0]), FeedbackError::Count, "a chunk is missing: zeros speak of no packet");
}

#[test]
fn a_reserved_status_is_an_error() {
    for rest in [[0x60, 2, 0, 0], [0xf0, 0, 0, 0]] {
        assert_eq!(Feedback::read(&message(2, &rest)).unwrap_err(), FeedbackError::Reserved);
    }
}

#[test]
fn more_packets_than_anybody_remembers_are_an_error() {
    let packet = message(u16::MAX, &[0x1f; 40]);
    assert_eq!(Feedback::read(&packet).unwrap_err(), FeedbackError::TooMany);
}

fn ms(ms: u64) -> Instant {
    Instant::from_ns(ms * 1_000_000)
}

/// All messages that are due, as packets in the order in which they are told.
fn told(recorder: &mut Recorder, now: Instant) -> Vec<(u16, Option<Arrival>)> {
    let (mut told, mut out) = (Vec::new(), [0; MESSAGE_OCTETS]);
    while let Some(octets) = recorder.poll(&mut out, now) {
        told.extend(Feedback::read(&out[..octets]).unwrap().packets());
    }
    told
}

#[test]
fn what_arrived_is_told_after_an_interval_and_once() {
    let mut recorder = Recorder::new(1, 2);
    assert_eq!(recorder.poll_timeout(), None);
    recorder.handle_packet(65_534, ms(1000));
    recorder.handle_packet(0, ms(1020));
    assert_eq!(recorder.poll_timeout(), Some(ms(1100)));
    assert!(told(&mut recorder, ms(1099)).is_empty());
    let at = |ms: u32| Some(Arrival(ms * 4));
    assert_eq!(told(&mut recorder, ms(1100)), [(65_534, at(1000)), (65_535, None), (0, at(1020))]);
    assert_eq!((recorder.poll_timeout(), told(&mut recorder, ms(2000)).len()), (None, 0));
}

#[test]
fn a_gap_at_the_beginning_of_a_message_is_told() {
    let mut recorder = Recorder::new(1, 2);
    recorder.handle_packet(7, ms(0));
    told(&mut recorder, ms(100));
    recorder.handle_packet(10, ms(200));
    assert_eq!(told(&mut recorder, ms(300)), [(8, None), (9, None), (10, Some(Arrival(800)))]);
}

#[test]
fn a_packet_that_comes_late_is_told_again_and_a_duplicate_is_not() {
    let mut recorder = Recorder::new(1, 2);
    recorder.handle_packet(7, ms(0));
    recorder.handle_packet(9, ms(1));
    told(&mut recorder, ms(100));
    recorder.handle_packet(9, ms(150));
    assert_eq!(recorder.poll_timeout(), None);
    recorder.handle_packet(8, ms(200));
    assert_eq!(told(&mut recorder, ms(300)), [(8, Some(Arrival(800))), (9, Some(Arrival(4)))]);
}

#[test]
fn arrivals_too_far_apart_for_a_delta_are_told_by_two_messages() {
    let mut recorder = Recorder::new(1, 2);
    recorder.handle_packet(1, ms(0));
    recorder.handle_packet(2, ms(60_000));
    let mut out = [0; MESSAGE_OCTETS];
    let first = recorder.poll(&mut out, ms(60_000)).unwrap();
    assert_eq!(Feedback::read(&out[..first]).unwrap().count, 1);
    assert_eq!(told(&mut recorder, ms(60_000)), [(2, Some(Arrival(240_000)))]);
}

#[test]
fn many_packets_are_told_before_the_interval_is_over() {
    let mut recorder = Recorder::new(1, 2);
    (0..MESSAGE_ARRIVALS as u16).for_each(|number| recorder.handle_packet(number, ms(5)));
    assert_eq!(recorder.poll_timeout(), Some(ms(5)));
}

#[test]
fn a_jump_forgets_what_is_too_old_and_costs_no_more_than_the_ring() {
    let mut recorder = Recorder::new(1, 2);
    recorder.handle_packet(0, ms(0));
    recorder.handle_packet(32_000, ms(1));
    let told = told(&mut recorder, ms(200));
    assert_eq!((told.len(), told[told.len() - 1]), (RECORDER_PACKETS, (32_000, Some(Arrival(4)))));
    recorder.handle_packet(32_000 - RECORDER_PACKETS as u16, ms(300));
    assert_eq!(recorder.poll_timeout(), None, "it is older than is remembered");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        first: u16,
        steps in prop::collection::vec((prop_oneof![9 => 1..4u16, 1 => 4..200u16], prop_oneof![0..3_000u64, 0..90_000_000u64]), 1..600),
    ) {
        let (mut recorder, mut number, mut us) = (Recorder::new(1, 2), first, 0);
        let (mut expected, mut span) = (Vec::new(), 0);
        for (step, apart) in steps {
            us += apart;
            recorder.handle_packet(number, Instant::from_ns(us * 1000));
            expected.push((number, Some(Arrival((us / 250) as u32))));
            number = number.wrapping_add(step);
            span += step;
            if usize::from(span) >= RECORDER_PACKETS - 200 {
                // Before anything can be forgotten.
                let arrived = told(&mut recorder, Instant::from_ns(us * 1000 + 100_000_000));
                let arrived: Vec<_> = arrived.into_iter().filter(|(_, at)| at.is_some()).collect();
                prop_assert_eq!(&arrived, &expected);
                (expected, span) = (Vec::new(), 0);
            }
        }
        let arrived = told(&mut recorder, Instant::from_ns(us * 1000).after(Duration::from_secs(1)));
        let arrived: Vec<_> = arrived.into_iter().filter(|(_, at)| at.is_some()).collect();
        prop_assert_eq!(arrived, expected);
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(feedback) = Feedback::read(&octets) {
            prop_assert_eq!(feedback.packets().count(), usize::from(feedback.count));
        }
    }
}
