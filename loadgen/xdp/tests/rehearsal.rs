//! What the generator's program writes, in the kernel but without a network. Needs root and BPF: without, it says that it
//! was skipped; with `RACEWAY_REQUIRE_BPF=1` that is a failure.

use std::io::Write;

use raceway_loadgen_core::{Clock, Stamp, check};
use raceway_loadgen_xdp::{Endpoints, Frames, Generator, Order, Shape, XdpError};
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
    };
    (0..3).map(frames).collect()
}

fn generator(shape: Shape) -> Option<Generator> {
    match Generator::new(1, shape, &streams(shape.v6)) {
        Ok(generator) => Some(generator),
        Err(error @ XdpError::NotPermitted) => {
            assert!(std::env::var_os("RACEWAY_REQUIRE_BPF").is_none_or(|value| value != "1"), "{error}");
            let _ = writeln!(std::io::stderr(), "skipped: frames of the generator: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
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
    for (payload, v6) in
        [(160, false), (160, true), (32, false), (33, false), (171, true), (1200, false), (2080, false)]
    {
        let Some(mut generator) = generator(Shape { payload, payload_type: 8, v6 }) else { return };
        for at in 0..3_000_u32 {
            let frame = generator.rehearse(&ORDER).unwrap().expect("long due");
            let (stream, round) = (at % 3, at / 3);
            let rtp = rtp(&frame, v6);
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
    let shape = Shape { payload: 160, payload_type: 0, v6: false };
    for (begin_ns, stop_ns) in [(u64::MAX / 2, u64::MAX), (1_000, 1_000)] {
        let Some(mut generator) = generator(shape) else { return };
        assert_eq!(generator.rehearse(&Order { begin_ns, stop_ns, ..ORDER }).unwrap(), None);
    }
}
