//! Frames of video, put together again as a receiver does.

mod layers;

use super::*;
use crate::limits::VIDEO_PACKET_MAX;

const CODECS: [&str; 3] = ["vp8", "h264", "av1"];

/// The packets of one frame.
type Frame = Vec<Packet>;

fn frames(sender: &mut Sender, count: usize) -> Vec<Frame> {
    let frame = |_| {
        let mut frame = vec![next(sender).unwrap()];
        while !frame.last().unwrap().marker {
            frame.push(next(sender).unwrap());
        }
        frame
    };
    (0..count).map(frame).collect()
}

/// A frame's octets, and what was found to know a key frame by.
#[derive(Debug, PartialEq)]
struct Whole {
    key: bool,
    dimensions: Option<(u16, u16)>,
    octets: usize,
}

fn whole(codec: &str, frame: &Frame) -> Whole {
    match codec {
        "vp8" => vp8(frame),
        "h264" => h264(frame),
        _ => av1(frame),
    }
}

/// RFC 7741 section 4.2, and the beginning of the frame.
fn vp8(frame: &Frame) -> Whole {
    let picture = &frame[0].payload[2..5];
    for (n, packet) in frame.iter().enumerate() {
        let starts = packet.payload[0] & 0x10 != 0;
        assert_eq!((packet.payload[0] & 0xef, starts, packet.payload[1]), (0x80, n == 0, 0xe0));
        assert_eq!(&packet.payload[2..5], picture, "one picture, one index");
    }
    let octets = frame.iter().map(|packet| packet.payload.len() - 6).sum();
    let header = &frame[0].payload[6..];
    let key = header[0] & 1 == 0;
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) & 0x3fff;
    let dimensions = (key && header[3..6] == [0x9d, 0x01, 0x2a]).then(|| (number(6), number(8)));
    Whole { key, dimensions, octets }
}

/// RFC 6184 sections 5.6 to 5.8.
fn h264(frame: &Frame) -> Whole {
    let mut dimensions = None;
    let mut units: Vec<(u8, usize)> = Vec::new();
    for packet in frame {
        let payload = &packet.payload;
        match payload[0] & 0x1f {
            24 => dimensions = Some(parameter_sets(&payload[1..])),
            28 => {
                let (start, end, kind) = (payload[1] & 0x80 != 0, payload[1] & 0x40 != 0, payload[1] & 0x1f);
                assert!(!(start && end), "a unit in one fragment");
                assert_eq!(end, packet.marker);
                if start {
                    units.push((kind, 0));
                }
                let unit = units.last_mut().expect("a beginning");
                assert_eq!(unit.0, kind);
                unit.1 += payload.len() - 2;
            }
            kind => units.push((kind, payload.len() - 1)),
        }
    }
    let [(kind, octets)] = units[..] else { panic!("one unit a frame: {units:?}") };
    assert!([1, 5].contains(&kind));
    Whole { key: kind == 5, dimensions, octets }
}

/// The units of a STAP-A: sequence and picture parameter set.
fn parameter_sets(mut rest: &[u8]) -> (u16, u16) {
    let mut units = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        units.push(&rest[2..2 + length]);
        rest = &rest[2 + length..];
    }
    assert_eq!(units.iter().map(|unit| unit[0] & 0x1f).collect::<Vec<_>>(), [7, 8]);
    assert!(!units[0].windows(3).any(|three| three[..2] == [0, 0] && three[2] < 4), "a start code");
    sequence(units[0])
}

/// Width and height of a sequence parameter set (ITU-T H.264 section 7.3.2.1.1).
fn sequence(unit: &[u8]) -> (u16, u16) {
    let mut bits = Reader { octets: &unit[4..], at: 0 };
    assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue(), bits.bit()], [0, 0, 2, 1, 0]);
    let (columns, rows) = (bits.ue() + 1, bits.ue() + 1);
    assert_eq!([bits.bit(), bits.bit()], [1, 1], "frames only, direct inference");
    let cropped = bits.bit() == 1;
    let [_, right, _, bottom] = [(); 4].map(|()| if cropped { bits.ue() } else { 0 });
    ((columns * 16 - right * 2) as u16, (rows * 16 - bottom * 2) as u16)
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bit(&mut self) -> u32 {
        self.at += 1;
        u32::from((self.octets[(self.at - 1) / 8] >> (7 - (self.at - 1) % 8)) & 1)
    }

    fn ue(&mut self) -> u32 {
        let mut zeros = 0;
        while self.bit() == 0 {
            zeros += 1;
        }
        (0..zeros).fold(1, |value, _| value * 2 + self.bit()) - 1
    }
}

/// RTP Payload Format For AV1 section 4.
fn av1(frame: &Frame) -> Whole {
    let (mut key, mut dimensions, mut octets) = (false, None, 0);
    for (n, packet) in frame.iter().enumerate() {
        let (first, last) = (n == 0, packet.marker);
        let header = packet.payload[0];
        assert_eq!((header & 0x80 == 0, header & 0x40 == 0), (first, last), "Z and Y");
        let mut element = &packet.payload[1..];
        match header >> 4 & 3 {
            1 => {}
            2 => {
                let length = usize::from(element[0]);
                key = true;
                assert_eq!((header & 8, element[1] >> 3), (8, 1), "a new sequence begins with its header");
                let header = &element[2..1 + length];
                let number = |bit: usize| {
                    let word = u32::from_be_bytes(header[bit / 8..bit / 8 + 4].try_into().unwrap());
                    (word >> (16 - bit % 8)) as u16 + 1
                };
                dimensions = Some((number(37), number(53)));
                element = &element[1 + length..];
            }
            count => panic!("{count} elements"),
        }
        if first {
            let kind = element[1 + usize::from(element[0] >> 2 & 1)];
            assert_eq!((element[0] >> 3 & 0xf, kind >> 5 & 3), (6, u8::from(!key)), "a frame, key or inter");
        }
        octets += element.len();
    }
    Whole { key, dimensions, octets }
}

#[test]
fn a_frame_is_packets_of_one_timestamp_of_which_the_last_is_marked() {
    for codec in CODECS {
        let frames = frames(&mut sender(codec), 200);
        let first = frames[0][0].timestamp;
        for (n, frame) in frames.iter().enumerate() {
            assert!(frame.iter().all(|packet| packet.timestamp == first.wrapping_add(3_000 * n as u32)), "{codec}");
            let extensions = if codec == "av1" { 3 } else { 2 };
            assert!(frame.iter().all(|packet| packet.extensions.len() == extensions), "{codec}");
        }
        let sequence: Vec<_> = frames.iter().flatten().map(|packet| packet.sequence).collect();
        assert!(sequence.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{codec}");
    }
}

#[test]
fn packets_of_a_frame_are_spread_over_half_of_the_time_until_the_next() {
    for codec in CODECS {
        for (n, frame) in frames(&mut sender(codec), 1_000).iter().enumerate() {
            let begins = START.after(Duration::from_nanos(1_000_000_000 * n as u64 / 30));
            assert_eq!(frame[0].due, begins);
            let last = frame.last().unwrap().due;
            let spread = if frame.len() > 1 { 8_000..16_667 } else { 0..1 };
            assert!(spread.contains(&last.since(begins).as_micros()), "{codec}");
            let gaps: Vec<_> = frame.windows(2).map(|pair| pair[1].due.since(pair[0].due)).collect();
            assert!(gaps.windows(2).all(|pair| pair[0] == pair[1] && !pair[0].is_zero()), "{codec}: {gaps:?}");
        }
    }
}

#[test]
fn every_packet_fits_and_all_but_parameter_sets_are_stamped() {
    let many = "av1:temporal=3,mid=4,rid=5,frame-marking=6,audio-level=7";
    for profile in ["vp8", "h264", many, "vp8:bitrate=19200,temporal=2", "h264:bitrate=10M", "av1:bitrate=20k"] {
        let mut sender = sender(profile);
        let mut asked_for_many_keys = || {
            sender.request_key_frame();
            frames(&mut sender, 1).remove(0)
        };
        for packet in (0..100).flat_map(|_| asked_for_many_keys()) {
            let longest = track(profile).packet_max();
            let length = packet.length;
            assert!(length < longest && longest == VIDEO_PACKET_MAX, "{profile}: {length}");
            match check(&packet.payload) {
                Ok(stamp) => assert_eq!(stamp.due, packet.due, "{profile}"),
                Err(error) => {
                    assert_eq!((error, packet.payload[0] & 0x1f), (StampError::Unstamped, 24), "{profile}");
                    assert!(profile.starts_with("h264") && packet.payload.len() < STAMP, "{profile}");
                }
            }
        }
    }
}

#[test]
fn key_frames_are_larger_and_carry_what_decoders_begin_with() {
    for (codec, options) in CODECS.into_iter().flat_map(|codec| [(codec, ""), (codec, ":bitrate=20k")]) {
        let frames = frames(&mut sender(&format!("{codec}{options}")), 200);
        let wholes: Vec<_> = frames.iter().map(|frame| whole(codec, frame)).collect();
        assert_eq!((wholes[0].key, wholes[0].dimensions), (true, Some((1280, 720))), "{codec}");
        assert!(wholes[1..].iter().all(|whole| !whole.key && whole.dimensions.is_none()), "{codec}");
        let mean = wholes.iter().map(|whole| whole.octets).sum::<usize>() / wholes.len();
        assert!(wholes[0].octets > 4 * mean, "{codec}: {} of {mean}", wholes[0].octets);
    }
}

#[test]
fn layers_of_a_simulcast_say_their_size_and_their_rid() {
    for codec in CODECS {
        let profile: Profile = format!("simulcast:codec={codec}").parse().unwrap();
        let sizes = [(320, 180), (640, 360), (1280, 720)];
        for ((track, rid), dimensions) in profile.tracks().iter().zip(["q", "h", "f"]).zip(sizes) {
            let mut sender = Sender::new(track, identity(), START, 5);
            let frame = &frames(&mut sender, 1)[0];
            assert_eq!(whole(codec, frame).dimensions, Some(dimensions), "{codec} {rid}");
            let tags: Vec<_> = frame[0].extensions[2..4].to_vec();
            assert_eq!(tags, [(4, b"0".to_vec()), (10, rid.as_bytes().to_vec())]);
        }
    }
}

fn keys(codec: &str, frames: &[Frame]) -> Vec<usize> {
    (0..frames.len()).filter(|n| whole(codec, &frames[*n]).key).collect()
}

#[test]
fn key_frames_come_at_their_interval() {
    assert_eq!(keys("vp8", &frames(&mut sender("vp8:keyframe=2s"), 200)), [0, 60, 120, 180]);
    assert_eq!(keys("av1", &frames(&mut sender("av1:keyframe=off"), 1_000)), [0]);
}

#[test]
fn key_frames_come_on_request_but_not_too_often() {
    let mut sender = sender("h264:keyframe=off");
    let mut all = frames(&mut sender, 20);
    sender.request_key_frame();
    all.extend(frames(&mut sender, 1));
    sender.request_key_frame();
    all.extend(frames(&mut sender, 40));
    assert_eq!(keys("h264", &all), [0, 20, 29]);
}

#[test]
fn a_request_within_a_frame_leaves_that_frame_whole() {
    let mut sender = sender("vp8:keyframe=off,bitrate=5M");
    frames(&mut sender, 20);
    let begun = next(&mut sender).unwrap();
    sender.request_key_frame();
    let rest = frames(&mut sender, 2);
    assert_eq!(rest[0][0].timestamp, begun.timestamp);
    assert!(whole("vp8", &rest[1]).key);
}

#[test]
fn after_many_key_frames_the_bit_rate_is_right_again() {
    let mut sender = sender("vp8:keyframe=off");
    let octets = |frames: Vec<Frame>| frames.iter().map(|frame| whole("vp8", frame).octets).sum::<usize>();
    let mut sum = 0;
    for _ in 0..3 {
        sender.request_key_frame();
        sum += octets(frames(&mut sender, 30));
    }
    sum += octets(frames(&mut sender, 300));
    let rate = sum as f64 * 8.0 / 13.0;
    assert!((rate / 1_500_000.0 - 1.0).abs() < 0.02, "{rate}");
}

#[test]
fn streams_of_one_transport_share_its_sequence() {
    let tracks = "simulcast".parse::<Profile>().unwrap().tracks();
    let mut senders: Vec<_> = tracks.iter().map(|track| Sender::new(track, identity(), START, 5)).collect();
    let (mut transport, mut out) = (Transport::default(), [0; 1_500]);
    for n in 0..300u16 {
        let length = senders[usize::from(n % 3)].write_on(&mut transport, &mut out);
        let packet = parse(START, &out[..length]);
        assert_eq!(packet.extensions[1], (3, (n + 1).to_be_bytes().to_vec()));
    }
    let mut silent = sender("pcmu");
    silent.write_on(&mut transport, &mut out);
    senders[0].write_on(&mut transport, &mut out);
    assert_eq!(parse(START, &out[..60]).extensions[1].1, 301u16.to_be_bytes(), "pcmu carries no number");
}
