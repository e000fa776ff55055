mod video;

use std::time::Duration;

use super::*;
use crate::profile::Profile;
use crate::rtp::RtpView;
use crate::stamp::{STAMP, StampError, check};

const START: Instant = Instant::from_ns(1_000_000_007);

fn track(profile: &str) -> Track {
    profile.parse::<Profile>().unwrap().tracks().remove(0)
}

fn identity() -> Identity {
    Identity { run: 1, stream: 2, ssrc: 0x0102_0304, clock: Clock(9) }
}

fn sender(profile: &str) -> Sender {
    Sender::new(&track(profile), identity(), START, 5)
}

/// A packet as it arrives.
#[derive(Clone, Debug)]
struct Packet {
    due: Instant,
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// Octets of all of it.
    length: usize,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

fn parse(due: Instant, octets: &[u8]) -> Packet {
    let view = RtpView::parse(octets).unwrap();
    Packet {
        due,
        marker: view.marker(),
        payload_type: view.payload_type(),
        sequence: view.sequence(),
        timestamp: view.timestamp(),
        ssrc: view.ssrc(),
        length: octets.len(),
        extensions: view.extension().map_or(Vec::new(), |(profile, octets)| elements(profile, octets)),
        payload: view.payload().to_vec(),
    }
}

/// Identifiers and contents in the one-octet form (RFC 8285 section 4.2).
fn elements(profile: u16, octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    assert_eq!(profile, 0xbede);
    let (mut elements, mut rest) = (Vec::new(), octets);
    while let [head, tail @ ..] = rest {
        let length = if *head == 0 { 0 } else { usize::from(head & 0x0f) + 1 };
        if *head != 0 {
            elements.push((head >> 4, tail[..length].to_vec()));
        }
        rest = &tail[length..];
    }
    elements
}

fn next(sender: &mut Sender) -> Option<Packet> {
    let mut out = [0xee; 9_000];
    let due = sender.next_due()?;
    let length = sender.write(&mut out);
    Some(parse(due, &out[..length]))
}

fn packets(sender: &mut Sender, count: usize) -> Vec<Packet> {
    (0..count).map(|_| next(sender).unwrap()).collect()
}

#[test]
fn a_steady_stream_counts_up_sequence_timestamp_and_time() {
    let packets = packets(&mut sender("pcmu"), 70_000);
    for (n, packet) in packets.iter().enumerate() {
        assert_eq!(packet.due, START.after(Duration::from_millis(20) * n as u32));
        assert_eq!(packet.sequence, packets[0].sequence.wrapping_add(n as u16));
        assert_eq!(packet.timestamp, packets[0].timestamp.wrapping_add(160 * n as u32));
        assert_eq!((packet.ssrc, packet.payload_type, packet.marker), (0x0102_0304, 0, false));
        assert_eq!(packet.payload.len(), 160);
    }
}

#[test]
fn each_payload_carries_the_time_it_was_due_and_whose_it_is() {
    for profile in ["pcma", "g722:ptime=10ms", "opus", "constant:size=44", "constant:size=1200,pps=30"] {
        for packet in packets(&mut sender(profile), 200) {
            let stamp = check(&packet.payload).unwrap();
            assert_eq!(stamp.number as u16, packet.sequence, "{profile}");
            assert_eq!((stamp.run, stamp.stream, stamp.clock, stamp.due), (1, 2, Clock(9), packet.due), "{profile}");
        }
    }
}

#[test]
fn stamps_count_on_where_sequence_numbers_begin_again() {
    let packets = packets(&mut sender("pcmu"), 70_000);
    let first = u32::from(packets[0].sequence);
    for (number, packet) in (first..).zip(&packets) {
        assert_eq!(check(&packet.payload).unwrap().number, number);
    }
}

#[test]
fn a_rate_that_does_not_divide_a_second_does_not_drift() {
    let packets = packets(&mut sender("constant:pps=7"), 7 * 60 + 1);
    let last = packets.last().unwrap();
    assert_eq!(last.due, START.after(Duration::from_secs(60)));
    assert_eq!(last.timestamp.wrapping_sub(packets[0].timestamp), 60 * 90_000);
    assert_eq!(packets[1].due, START.after(Duration::from_nanos(142_857_142)));
}

#[test]
fn no_packet_is_due_at_the_stop_or_later() {
    let mut sender = sender("pcmu");
    sender.stop_at(START.after(Duration::from_millis(60)));
    assert_eq!(std::iter::from_fn(|| next(&mut sender)).count(), 3);
    let sent = sender.sent(START);
    assert_eq!((sender.next_due(), sent.packets, sent.octets), (None, 3, 480));
}

#[test]
fn a_sender_report_has_the_timestamp_of_its_time() {
    let mut sender = sender("pcmu");
    let packets = packets(&mut sender, 10);
    let after = |packet: &Packet, ms: u64| sender.sent(packet.due.after(Duration::from_millis(ms))).timestamp;
    assert_eq!(after(&packets[9], 0), packets[9].timestamp);
    assert_eq!(after(&packets[9], 5), packets[9].timestamp.wrapping_add(40));
    assert_eq!(after(&packets[9], 1_000), packets[9].timestamp.wrapping_add(8_000));
    assert_eq!(after(&packets[0], 0), packets[0].timestamp);
}

#[test]
fn streams_begin_at_sequence_numbers_and_timestamps_of_their_own() {
    let first = |stream| {
        let identity = Identity { stream, ..identity() };
        next(&mut Sender::new(&track("pcmu"), identity, START, 5)).unwrap()
    };
    assert_ne!(first(1).sequence, first(2).sequence);
    assert_ne!(first(1).timestamp, first(2).timestamp);
    assert_eq!(first(1).timestamp, first(1).timestamp);
}

#[test]
fn opus_varies_around_its_bit_rate() {
    let track = track("opus:bitrate=48k");
    let packets = packets(&mut sender("opus:bitrate=48k"), 50_000);
    let sizes: Vec<_> = packets.iter().map(|packet| packet.payload.len()).collect();
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    assert!((mean - 120.0).abs() < 1.0, "{mean}");
    assert_eq!((*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap()), (72, 168));
    assert_eq!(track.packet_max(), 12 + 168);
    assert!(packets.iter().all(|packet| packet.payload[0] == 0x78 && !packet.marker));
}

#[test]
fn opus_at_its_lowest_rate_has_room_for_the_stamp() {
    let packets = packets(&mut sender("opus:bitrate=16k"), 10_000);
    assert!(packets.iter().all(|packet| packet.payload.len() > STAMP));
}

#[test]
fn opus_leaves_pauses_out_and_marks_where_speech_begins() {
    let packets = packets(&mut sender("opus:dtx=on"), 100_000);
    assert!(packets[0].marker);
    for pair in packets.windows(2) {
        let (silent, next) = (pair[0].payload.len() == 1, &pair[1]);
        let ticks = next.timestamp.wrapping_sub(pair[0].timestamp);
        assert_eq!(u64::from(ticks) * 1_000_000 / 48, next.due.since(pair[0].due).as_nanos() as u64);
        assert!(if silent { (960..=20 * 960).contains(&ticks) } else { ticks == 960 });
        assert_eq!(next.marker, silent && next.payload.len() > 1);
        assert_eq!(next.sequence, pair[0].sequence.wrapping_add(1));
    }
    // As long as a conversation has it: 38.5 % speech.
    let seconds = packets.last().unwrap().due.since(START).as_secs_f64();
    let rate = packets.len() as f64 / seconds;
    let expected = track("opus:dtx=on").packets_per_second();
    assert!((rate / expected - 1.0).abs() < 0.05, "{rate} and not {expected}");
    let speech = packets.iter().filter(|packet| packet.payload.len() > 1).count() as f64 / 50.0 / seconds;
    assert!((speech - 0.385).abs() < 0.02, "{speech}");
}

#[test]
fn payloads_too_short_for_a_stamp_are_whole_without_one() {
    let packets = packets(&mut sender("opus:dtx=on"), 1_000);
    let silence = packets.iter().find(|packet| packet.payload.len() == 1).unwrap();
    assert_eq!(silence.payload, [0x78]);
    assert_eq!(check(&silence.payload), Err(StampError::Unstamped));
}

#[test]
fn a_telephone_event_is_one_timestamp_with_growing_duration_and_three_ends() {
    let packets = packets(&mut sender("telephone-event:held=100ms,every=1s"), 100);
    let first = packets.iter().position(|packet| packet.payload_type == 101).unwrap();
    let event = &packets[first..first + 7];
    let field = |n: usize| u16::from_be_bytes([event[n].payload[2], event[n].payload[3]]);
    let ends: Vec<_> = event.iter().map(|packet| packet.payload[1] >> 7).collect();
    assert_eq!(ends, [0, 0, 0, 0, 1, 1, 1]);
    assert_eq!((0..7).map(field).collect::<Vec<_>>(), [160, 320, 480, 640, 800, 800, 800]);
    assert!(event.iter().all(|packet| packet.timestamp == event[0].timestamp && packet.payload.len() == 4));
    assert_eq!(event.iter().filter(|packet| packet.marker).count(), 1);
    assert!(event[0].marker);
    let before = &packets[first + 7];
    assert_eq!((before.payload_type, before.payload.len()), (0, 160));
    assert_eq!(before.timestamp.wrapping_sub(event[0].timestamp), 7 * 160);
    assert_eq!(packets[first + 50].payload_type, 101, "the next key a second later");
    assert_eq!(packets[first + 50].payload[0], (event[0].payload[0] + 1) % 12);
}

#[test]
fn loads_are_what_senders_send() {
    let audio = ["telephone-event:held=500ms,every=1s", "opus", "pcmu:ptime=30ms", "constant:pps=333"];
    let video = ["vp8", "h264:keyframe=1s,bitrate=400k", "av1:bitrate=5M,fps=60", "vp8:keyframe=off,bitrate=150k"];
    for profile in audio.into_iter().chain(video) {
        let (track, mut sender) = (track(profile), sender(profile));
        sender.stop_at(START.after(Duration::from_secs(300)));
        let mut out = [0; 9_000];
        let mut octets = 0;
        while sender.next_due().is_some() {
            octets += sender.write(&mut out);
        }
        let packets = sender.sent(START).packets as f64 / 300.0;
        assert!((packets / track.packets_per_second() - 1.0).abs() < 0.02, "{profile}: {packets} packets a second");
        let bits = octets as f64 * 8.0 / 300.0;
        assert!((bits / track.bits_per_second() - 1.0).abs() < 0.02, "{profile}: {bits} bits a second");
    }
}

#[test]
fn header_extensions_are_those_that_were_negotiated() {
    let mut sender = sender("opus:audio-level=1,abs-send-time=2,transport-cc=3,mid=4,rid=10");
    let packets = packets(&mut sender, 3);
    let extensions = &packets[1].extensions;
    assert_eq!(extensions[0], (1, vec![0x80 | 26]));
    // 1.020000007 s in units of 2^-18 s.
    assert_eq!(extensions[1], (2, (1.020_000_007 * 262_144.0_f64).to_be_bytes_24()));
    assert_eq!(extensions[2].0, 3);
    assert_eq!(extensions[3], (4, b"0".to_vec()));
    assert_eq!(extensions.len(), 4, "a stream without RID sends none");
    assert!(packets.iter().all(|packet| check(&packet.payload).is_ok()));
    let numbers: Vec<_> = packets.iter().map(|packet| packet.extensions[2].1.clone()).collect();
    assert_eq!(u16::from_be_bytes(numbers[1][..].try_into().unwrap()), packets[1].sequence);
}

#[test]
fn the_longest_extensions_fit() {
    let mut track = track("pcmu:audio-level=1,abs-send-time=2,transport-cc=3,mid=4,rid=10");
    let longest: crate::Tag = "sixteenletters16".parse().unwrap();
    (track.mid, track.rid) = (Some(longest), Some(longest));
    let packet = next(&mut Sender::new(&track, identity(), START, 1)).unwrap();
    assert_eq!(packet.extensions.len(), 5);
    assert_eq!(packet.extensions[4], (10, b"sixteenletters16".to_vec()));
}

trait Wire {
    fn to_be_bytes_24(self) -> Vec<u8>;
}

impl Wire for f64 {
    fn to_be_bytes_24(self) -> Vec<u8> {
        (self as u32).to_be_bytes()[1..].to_vec()
    }
}
