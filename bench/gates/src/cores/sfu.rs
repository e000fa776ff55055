//! Selective forwarding: packets of 1,100 octets of payload, of video without layers.

use std::hint::black_box;

use raceway_rtp::{Extension, ExtensionIds, Extensions, Header};
use raceway_sfu::{
    Codec, Egress, Forward, HistorySize, Packet, Setup, Source, Start, Subscription, Targets, Track, Want,
};
use raceway_units::Instant;

use super::{Operation, Scenario, scenario};

/// Subscribers of one publisher.
const MANY: usize = 500;
/// Identifiers of header extensions.
const TRANSPORT: u8 = 3;
const MID: u8 = 4;
const DESCRIPTOR: u8 = 12;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("sfu: receive a packet of vp8", |runs| receives(Codec::Vp8, runs)),
        scenario("sfu: receive a packet of av1", |runs| receives(Codec::Av1, runs)),
        scenario("sfu: offer a packet of vp8 to a subscription", |runs| offers(Codec::Vp8, 1, runs)),
        scenario("sfu: offer a packet of vp8 to 500 subscriptions", |runs| offers(Codec::Vp8, MANY, runs)),
        scenario("sfu: offer a packet of av1 to a subscription", |runs| offers(Codec::Av1, 1, runs)),
        scenario("sfu: write a packet of vp8 for a subscriber", |_| writes(Codec::Vp8)),
        scenario("sfu: write a packet of av1 for a subscriber", |_| writes(Codec::Av1)),
    ]
}

fn ids() -> ExtensionIds {
    let ids = ExtensionIds::default().with(Extension::TransportSequence, TRANSPORT);
    ids.with(Extension::Mid, MID).with(Extension::Descriptor, DESCRIPTOR)
}

/// The packet of a frame of two: key frame 0 first.
fn packet(codec: Codec, number: u16) -> Vec<u8> {
    let (frame, first) = (number / 2, number.is_multiple_of(2));
    let key = frame == 0;
    let [high, low] = frame.to_be_bytes();
    let flags = u8::from(first) << 7 | u8::from(!first) << 6;
    let descriptor = match codec {
        // One template for key frames and one for others, of one decode target, without chains.
        Codec::Av1 if key && first => vec![flags, high, low, 0x80, 0x00, 0x3a, 0x40, 0x00],
        Codec::Av1 => vec![flags | u8::from(!key), high, low],
        _ => Vec::new(),
    };
    let mut extension = vec![TRANSPORT << 4 | 1, high, low, MID << 4, b'0'];
    if !descriptor.is_empty() {
        extension.push(DESCRIPTOR << 4 | (descriptor.len() as u8 - 1));
        extension.extend(descriptor);
    }
    extension.resize(extension.len().next_multiple_of(4), 0);
    let mut octets = vec![0x90, u8::from(!first) << 7 | 96];
    octets.extend(number.to_be_bytes());
    octets.extend((u32::from(frame) * 3_000).to_be_bytes());
    octets.extend([0, 0, 0, 9, 0xbe, 0xde, 0, extension.len() as u8 / 4]);
    octets.extend(extension);
    octets.extend(match codec {
        Codec::Av1 => vec![if first { 0x50 } else { 0x90 }],
        _ => vec![0x80 | u8::from(first) << 4, 0xe0, 0x80 | high, low, low, 0x20, u8::from(!key)],
    });
    octets.extend([0x55; 1_100]);
    octets
}

fn track(codec: Codec) -> Track {
    let setup = Setup { codec, clock_rate: 90_000, encodings: 1, repairs: true, history: HistorySize::VIDEO };
    Track::new(&setup)
}

fn receive(track: &mut Track, octets: &[u8]) -> Packet {
    let header = Header::read(octets).expect("RTP");
    let extensions = Extensions::read(octets, &header, &ids());
    track.receive(Instant::from_ns(1), Source(0), octets, &header, &extensions).expect("well formed")
}

fn receives(codec: Codec, runs: u32) -> Operation {
    let packets: Vec<_> = (0..runs as u16).map(|number| packet(codec, number)).collect();
    let (mut track, mut number) = (track(codec), 0);
    Box::new(move || {
        let packet = receive(&mut track, black_box(&packets[number]));
        assert!(black_box(&packet).newest);
        number += 1;
    })
}

/// A subscription that wants everything.
fn subscription() -> Subscription {
    let mut subscription = Subscription::new(true, 90_000, Start::default());
    subscription.select(Want::all(Source(0)));
    subscription
}

fn offers(codec: Codec, subscribers: usize, runs: u32) -> Operation {
    let mut track = track(codec);
    let packets: Vec<_> = (0..runs as u16).map(|number| receive(&mut track, &packet(codec, number))).collect();
    let targets: Targets = track.targets(Source(0));
    let mut subscriptions: Vec<_> = (0..subscribers).map(|_| subscription()).collect();
    let mut number = 0;
    Box::new(move || {
        for subscription in &mut subscriptions {
            let forward = subscription.offer(black_box(&packets[number]), &targets);
            assert!(black_box(forward).is_ok());
        }
        number += 1;
    })
}

fn writes(codec: Codec) -> Operation {
    let mut track = track(codec);
    let octets = packet(codec, 0);
    let packet = receive(&mut track, &octets);
    let forward: Forward = subscription().offer(&packet, &track.targets(Source(0))).expect("a key frame");
    let egress = Egress {
        ssrc: 7,
        payload_types: [(96, 100)].into_iter().collect(),
        ids: ids(),
        mid: [b'1'].into_iter().collect(),
        ..Egress::default()
    };
    let mut out = vec![0; 1_500];
    Box::new(move || {
        let written = egress.write(black_box(&forward), &packet, &octets, None, &mut out);
        assert!(black_box(written).is_some());
    })
}
