use std::vec::Vec;

use super::*;

const MS: u64 = 1_000_000;
const START: u64 = 10_000 * MS;

fn header(sequence: u16, timestamp: u32) -> RtpHeader {
    RtpHeader { payload_type: 0, sequence, timestamp, ssrc: 7 }
}

fn after(sequences: &[u16]) -> Rtp {
    let figures = Rtp::default();
    for (index, &sequence) in sequences.iter().enumerate() {
        rtp(&figures, header(sequence, 160 * index as u32), START + 20 * MS * index as u64);
    }
    figures
}

/// RFC 3550 appendix A.8 in floating point, over (arrival in ns, timestamp).
fn jitter_units(packets: &[(u64, u32)], clock_hz: f64) -> f64 {
    let mut jitter = 0.0;
    for pair in packets.windows(2) {
        let arrival = (pair[1].0 - pair[0].0) as f64 * clock_hz / 1e9;
        let sent = f64::from(pair[1].1.wrapping_sub(pair[0].1).cast_signed());
        jitter += ((arrival - sent).abs() - jitter) / 16.0;
    }
    jitter
}

#[test]
fn gaps_are_losses_and_late_packets_give_them_back() {
    let figures = after(&[10, 11, 14, 13, 12, 15]);
    assert_eq!(figures.lost.load(Relaxed), 0);
    assert_eq!(figures.reordered.load(Relaxed), 2);
    assert_eq!(figures.received.load(Relaxed), 6);
    assert_eq!(after(&[10, 14]).lost.load(Relaxed), 3);
}

#[test]
fn the_count_goes_on_over_a_wrap() {
    let figures = after(&[65_534, 65_535, 0, 2]);
    assert_eq!(figures.lost.load(Relaxed), 1);
    assert_eq!(figures.highest_sequence.load(Relaxed), 0x1_0002);
}

#[test]
fn duplicates_and_restarts_are_no_losses() {
    assert_eq!(after(&[5, 5, 5]).lost.load(Relaxed), 0);
    assert_eq!(after(&[5, 5, 5]).reordered.load(Relaxed), 0);
    let restarted = after(&[5, 30_000, 30_001]);
    assert_eq!(restarted.lost.load(Relaxed), 0);
    assert_eq!(restarted.highest_sequence.load(Relaxed), 30_001);
}

#[test]
fn jitter_is_that_of_rfc_3550() {
    let figures = Rtp::default();
    let mut seed = 1_u64;
    let packets: Vec<(u64, u32)> = (0..500)
        .map(|index| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (START + index * 20 * MS + (seed >> 40) % (5 * MS), index as u32 * 160)
        })
        .collect();
    for (index, &(arrival, timestamp)) in packets.iter().enumerate() {
        rtp(&figures, header(index as u16, timestamp), arrival);
    }
    let measured = f64::from(figures.jitter_q4.load(Relaxed)) / 16.0;
    let expected = jitter_units(&packets, 8000.0);
    assert!((measured - expected).abs() < 1.0, "{measured} {expected}");
    assert!(expected > 5.0);
}

#[test]
fn a_new_origin_of_timestamps_is_no_jitter() {
    let figures = Rtp::default();
    rtp(&figures, header(1, 0), START);
    rtp(&figures, header(2, 1 << 31), START + 20 * MS);
    assert_eq!(figures.jitter_q4.load(Relaxed), 0);
}

#[test]
fn dynamic_payload_types_get_the_clock_that_their_timestamps_run_by() {
    for clock_hz in CLOCK_RATES_HZ {
        let figures = Rtp::default();
        for index in 0..=51_u32 {
            let packet = RtpHeader { payload_type: 111, ..header(index as u16, index * (clock_hz / 50)) };
            rtp(&figures, packet, START + u64::from(index) * 20 * MS);
        }
        assert_eq!(figures.clock_hz.load(Relaxed), clock_hz);
    }
}

#[test]
fn a_rate_that_nobody_uses_stays_unknown_and_is_looked_at_again() {
    let figures = Rtp::default();
    let mut timestamp = 0;
    for index in 0..200_u16 {
        timestamp += if index < 100 { 20 * 12 } else { 20 * 48 };
        rtp(&figures, RtpHeader { payload_type: 111, ..header(index, timestamp) }, START + u64::from(index) * 20 * MS);
        if index == 99 {
            assert_eq!(figures.clock_hz.load(Relaxed), 0);
        }
    }
    assert_eq!(figures.clock_hz.load(Relaxed), 48_000);
}

#[test]
fn static_payload_types_have_the_clock_of_rfc_3551() {
    let expected =
        [(0, 8000), (8, 8000), (9, 8000), (6, 16_000), (10, 44_100), (14, 90_000), (34, 90_000), (96, 0), (1, 0)];
    for (payload_type, clock_hz) in expected {
        assert_eq!(static_clock_hz(payload_type), clock_hz, "{payload_type}");
    }
}

#[test]
fn one_source_is_followed_until_it_is_silent() {
    let figures = after(&[1, 2, 3]);
    let other = RtpHeader { ssrc: 8, ..header(900, 0) };
    let last = START + 40 * MS;
    rtp(&figures, other, last + MS);
    assert_eq!(figures.ssrc.load(Relaxed), 7);
    assert_eq!(figures.received.load(Relaxed), 3);
    rtp(&figures, other, last + SOURCE_SILENT_NS);
    assert_eq!(figures.ssrc.load(Relaxed), 8);
    assert_eq!(figures.received.load(Relaxed), 1);
    assert_eq!(figures.highest_sequence.load(Relaxed), 900);
}

#[test]
fn rtcp_and_other_protocols_are_not_rtp() {
    let packet = |second: u8| [0x80, second, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    let parsed = RtpHeader::of(&packet(0x80 | 111)).expect("the marker bit is no part of the type");
    assert_eq!(parsed, RtpHeader { payload_type: 111, sequence: 1, timestamp: 2, ssrc: 3 });
    for rtcp in [200, 201, 202, 203, 204, 205, 206, 207, 192, 223] {
        assert_eq!(RtpHeader::of(&packet(rtcp)), None);
    }
    assert_eq!(RtpHeader::of(&[0x40; 12]), None);
    assert_eq!(RtpHeader::of(&[0x80; 11]), None);
}
