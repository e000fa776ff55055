//! What the generator's program writes and the sink's reads, in the kernel but without a network. Needs root and BPF: without, it says that it
//! was skipped; with `RACEWAY_REQUIRE_BPF=1` that is a failure.

use std::io::Write;

use raceway_loadgen_core::{Clock, Stamp, check};
use raceway_loadgen_xdp::layout::{Expected, Listening, Times};
use raceway_loadgen_xdp::{Endpoints, Frames, Generator, Known, Order, Shape, Sink, Strangers, XdpError};
use raceway_units::Instant;

const ORDER: Order = Order {
    begin_ns: 1_000,
    stop_ns: u64::MAX,
    ahead_ns: 77,
    interval: (20_000_000, 1),
    ticks: (160, 1),
    run: 0x1234_5678,
    clock: 0x9abc_def1,
};

const PCMU: Shape = Shape { payload: 160, payload_type: 0, v6: false, channel_data: false };
/// A playout buffer of a minute: frames of a rehearsal are long due.
const TIMES: Times = Times { ahead_ns: 77, playout_ns: 60_000_000_000, gap_ns: 100_000_000 };

fn streams(v6: bool) -> Vec<Frames> {
    let (from, to) = if v6 { ("[fd00::1]:4000", "[fd00::2]:5000") } else { ("10.0.0.1:4000", "10.0.0.2:5000") };
    let endpoints =
        Endpoints { from: from.parse().unwrap(), to: to.parse().unwrap(), from_mac: [2; 6], to_mac: [4; 6] };
    let frames = |number: u32| Frames {
        number,
        ssrc: 0xffff_ffff_u32.wrapping_add(number),
        sequence: 65_530 + number as u16,
        timestamp: u32::MAX - 100,
        endpoints,
        channel: 0x4000 + number as u16,
    };
    (0..3).map(frames).collect()
}

/// What is loaded into the kernel, if that is permitted.
fn loaded<T>(result: Result<T, XdpError>) -> Option<T> {
    match result {
        Ok(loaded) => Some(loaded),
        Err(error @ XdpError::NotPermitted) => {
            assert!(std::env::var_os("RACEWAY_REQUIRE_BPF").is_none_or(|value| value != "1"), "{error}");
            let _ = writeln!(std::io::stderr(), "skipped: programs of the generator: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn generator(shape: Shape) -> Option<Generator> {
    loaded(Generator::new(1, shape, &streams(shape.v6)))
}

fn ones_sum(octets: &[u8]) -> u32 {
    let sum: u32 =
        octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

/// RTP of a frame whose lengths and checksums are right.
fn rtp(frame: &[u8], v6: bool) -> &[u8] {
    let (ip, udp) = if v6 { (14, 54) } else { (14, 34) };
    let octets = (frame.len() - udp) as u16;
    assert_eq!(frame[udp + 4..udp + 6], octets.to_be_bytes());
    let addresses = if v6 {
        assert_eq!(frame[ip + 4..ip + 6], octets.to_be_bytes());
        &frame[22..54]
    } else {
        assert_eq!(frame[ip + 2..ip + 4], (octets + 20).to_be_bytes());
        assert_eq!(ones_sum(&frame[14..34]), 0xffff);
        &frame[26..34]
    };
    let pseudo = [addresses, &[0, 17], &octets.to_be_bytes()].concat();
    assert_ne!(frame[udp + 6..udp + 8], [0, 0]);
    assert_eq!(ones_sum(&[&pseudo, &frame[udp..]].concat()), 0xffff, "the UDP checksum");
    &frame[udp + 8..]
}

#[test]
fn frames_are_as_every_receiver_of_this_generator_checks_them() {
    for (payload, v6, channel_data) in [
        (160, false, false),
        (160, true, false),
        (32, false, true),
        (33, false, false),
        (171, true, true),
        (1200, false, true),
        (2080, false, false),
    ] {
        let Some(mut generator) = generator(Shape { payload, payload_type: 8, v6, channel_data }) else { return };
        for at in 0..3_000_u32 {
            let frame = generator.rehearse(&ORDER).unwrap().expect("long due");
            let (stream, round) = (at % 3, at / 3);
            let mut rtp = rtp(&frame, v6);
            if channel_data {
                let (header, inner) = rtp.split_at(4);
                assert_eq!(header, [[0x40, stream as u8], (inner.len() as u16).to_be_bytes()].concat());
                rtp = inner;
            }
            assert_eq!(rtp[..2], [0x80, 8]);
            let sequence = (65_530 + stream as u16).wrapping_add(round as u16);
            assert_eq!(rtp[2..4], sequence.to_be_bytes());
            assert_eq!(rtp[4..8], (u32::MAX - 100).wrapping_add(round * 160).to_be_bytes());
            assert_eq!(rtp[8..12], 0xffff_ffff_u32.wrapping_add(stream).to_be_bytes());
            let due = Instant::from_ns(1_000 + 77 + u64::from(at) * 20_000_000 / 3);
            let number = 65_530 + stream + round;
            let stamp = Stamp { run: ORDER.run, stream, clock: Clock(ORDER.clock), due, number, prefix: 0 };
            assert_eq!(check(&rtp[12..]), Ok(stamp), "{payload} {at}");
            assert_eq!(rtp.len(), 12 + payload);
        }
    }
}

#[test]
fn nothing_is_sent_before_it_is_due_or_after_the_end() {
    let shape = PCMU;
    for (begin_ns, stop_ns) in [(u64::MAX / 2, u64::MAX), (1_000, 1_000)] {
        let Some(mut generator) = generator(shape) else { return };
        assert_eq!(generator.rehearse(&Order { begin_ns, stop_ns, ..ORDER }).unwrap(), None);
    }
}

fn expecting() -> Option<Sink<Known>> {
    let expected = Expected { times: TIMES, run: ORDER.run, clock: ORDER.clock, ssrc: u32::MAX, streams: 3 };
    loaded(Sink::expecting(&expected, &[65_530, 65_531, 65_532]))
}

fn listening(clock: u32) -> Option<Sink<Strangers>> {
    let address = [u32::from_ne_bytes([10, 0, 0, 2]), 0, 0, 0];
    loaded(Sink::listening(&Listening { times: TIMES, address, first: 5000, last: 5001, clock }))
}

/// Rounds of three streams, their frames in the order of sending.
fn frames(shape: Shape, rounds: usize) -> Option<Vec<Vec<u8>>> {
    let mut generator = generator(shape)?;
    Some((0..3 * rounds).map(|_| generator.rehearse(&ORDER).unwrap().expect("long due")).collect())
}

/// Puts another sequence number into a frame of IPv4, as a forwarder does. Sinks do not look at checksums.
fn renumber(frame: &mut [u8], number: u16) {
    frame[44..46].copy_from_slice(&number.to_be_bytes());
}

#[test]
fn a_sink_counts_what_a_generator_sends_with_and_without_channels() {
    for (v6, channel_data) in [(false, false), (true, false), (false, true), (true, true)] {
        let Some(frames) = frames(Shape { v6, channel_data, ..PCMU }, 10) else { return };
        let Some(mut sink) = expecting() else { return };
        for (at, frame) in frames.iter().enumerate() {
            // The fifth packet of stream 1 is lost, the third comes twice.
            if at != 4 * 3 + 1 {
                assert!(sink.rehearse(frame).unwrap());
            }
            if at == 2 * 3 + 1 {
                assert!(sink.rehearse(frame).unwrap());
            }
        }
        let counts = sink.tally().unwrap().counts;
        assert_eq!((counts.packets, counts.missing, counts.duplicated, counts.corrupted), (29, 1, 1, 0));
        assert_eq!((sink.stream(0).unwrap().packets, sink.stream(1).unwrap().packets), (10, 9));
    }
}

#[test]
fn numbers_that_a_forwarder_wrote_anew_do_not_matter() {
    let Some(mut frames) = frames(PCMU, 30) else { return };
    let Some(mut sink) = expecting() else { return };
    // Of stream 0, each third packet is taken out, and the gaps are closed.
    let of_first = frames.iter_mut().step_by(3).enumerate().filter(|(round, _)| round % 3 != 2);
    for (number, (_, frame)) in (40_000..).zip(of_first) {
        renumber(frame, number);
        assert!(sink.rehearse(frame).unwrap());
    }
    let counts = sink.tally().unwrap().counts;
    assert_eq!((counts.packets, counts.missing, counts.corrupted, counts.stray), (20, 9, 0, 0));
}

#[test]
fn a_damaged_stamp_is_placed_by_what_rtp_says() {
    let Some(mut frames) = frames(PCMU, 10) else { return };
    let Some(mut sink) = expecting() else { return };
    for (round, frame) in frames.iter_mut().step_by(3).enumerate() {
        renumber(frame, 7 + round as u16);
        if round == 5 {
            *frame.last_mut().unwrap() ^= 1;
        }
        assert!(sink.rehearse(frame).unwrap());
    }
    let counts = sink.tally().unwrap().counts;
    assert_eq!((counts.packets, counts.missing, counts.corrupted, counts.stray), (10, 0, 1, 0));
}

#[test]
fn two_strangers_with_one_ssrc_are_two_streams() {
    let Some(frames) = frames(PCMU, 10) else { return };
    let Some(mut sink) = listening(ORDER.clock) else { return };
    for frame in frames.iter().step_by(3) {
        let mut other = frame.clone();
        // Another source port.
        other[35] ^= 1;
        assert!(sink.rehearse(frame).unwrap() && sink.rehearse(&other).unwrap());
    }
    let mut found = sink.strangers().unwrap();
    found.sort_by_key(|(origin, _)| origin.port);
    let each = found.iter().map(|(origin, stranger)| (origin.remote(false).to_string(), stranger.heard.packets));
    assert_eq!(each.collect::<Vec<_>>(), [("10.0.0.1:4000".to_owned(), 10), ("10.0.0.1:4001".to_owned(), 10)]);
    let counts = sink.tally().unwrap().counts;
    assert_eq!((counts.packets, counts.missing, counts.duplicated), (20, 0, 0));
}

#[test]
fn what_is_not_stamped_or_for_another_address_goes_on() {
    let Some(frames) = frames(PCMU, 1) else { return };
    let Some(mut sink) = listening(ORDER.clock) else { return };
    let changed = |at: usize, octet: u8| {
        let mut frame = frames[0].clone();
        frame[at] = octet;
        frame
    };
    // No stamp, another address, another port, no RTP, a fragment.
    for frame in [changed(213, 9), changed(33, 9), changed(37, 200), changed(42, 0), changed(20, 0x20)] {
        assert!(!sink.rehearse(&frame).unwrap());
    }
    assert!(sink.strangers().unwrap().is_empty());
}

#[test]
fn delays_of_another_clock_count_from_the_fastest_packet() {
    let Some(frames) = frames(PCMU, 10) else { return };
    let Some(mut sink) = listening(7) else { return };
    for frame in frames.iter().step_by(3) {
        assert!(sink.rehearse(frame).unwrap());
    }
    let tally = sink.tally().unwrap();
    assert_eq!((tally.counts.packets, tally.counts.before_due), (10, 0));
    // Due 20 ms apart, and here at once: each is the fastest so far.
    assert!(tally.delays.iter().all(|(ns, _)| *ns == 0), "{:?}", tally.delays);
}
