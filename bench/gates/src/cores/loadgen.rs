//! The generator: what a packet costs to send, to time and to receive.

use std::hint::black_box;
use std::time::Duration;

use raceway_loadgen_core::receive::{Content, Receiver, Settings};
use raceway_loadgen_core::rtp::RtpView;
use raceway_loadgen_core::{Clock, Identity, Profile, Sender, Wheel};
use raceway_units::Instant;

use super::{Operation, Scenario, scenario};

const START: Instant = Instant::from_ns(1_000_000_000);
const INTERVAL: Duration = Duration::from_millis(20);
const CLOCK: Clock = Clock(5);
/// Streams in the wheel.
const STREAMS: u32 = 10_000;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("loadgen: write a packet of pcmu", |_| writes("pcmu")),
        scenario("loadgen: write a packet of opus", |_| writes("opus")),
        scenario("loadgen: write a packet of vp8", |_| writes("vp8")),
        scenario("loadgen: write a packet of h264", |_| writes("h264")),
        scenario("loadgen: write a packet of av1", |_| writes("av1")),
        scenario("loadgen: receive a packet of pcmu", receives),
        scenario("loadgen: a stream comes due and is scheduled again", |_| turns()),
    ]
}

/// The only stream of a profile, and room for its packets.
fn sender(profile: &str) -> (Sender, Vec<u8>) {
    let profile: Profile = profile.parse().expect("a profile with defaults");
    let track = profile.tracks().remove(0);
    let identity = Identity { run: 1, stream: 2, ssrc: 3, clock: CLOCK };
    (Sender::new(&track, identity, START, 4), vec![0; track.packet_max()])
}

fn writes(profile: &str) -> Operation {
    let (mut sender, mut out) = sender(profile);
    Box::new(move || {
        assert!(black_box(sender.next_due()).is_some());
        black_box(sender.write(black_box(&mut out)));
    })
}

fn receives(runs: u32) -> Operation {
    let (mut sender, mut out) = sender("pcmu");
    let mut packet = || {
        let due = sender.next_due().expect("it goes on");
        let octets = sender.write(&mut out);
        (due.after(Duration::from_micros(300)), out[..octets].to_vec())
    };
    let packets: Vec<_> = (0..runs).map(|_| packet()).collect();
    let mut number = 0;
    let mut receiver = Receiver::new(Settings::new(8000, CLOCK));
    Box::new(move || {
        let (at, octets) = &packets[number];
        number += 1;
        let view = RtpView::parse(black_box(octets)).expect("a sender wrote it");
        assert_eq!(black_box(receiver.handle(&view, *at)).content, Content::Intact);
    })
}

fn turns() -> Operation {
    let mut wheel = Wheel::new(STREAMS, START);
    for stream in 0..STREAMS {
        wheel.schedule(stream, START.after(INTERVAL / STREAMS * stream));
    }
    let mut now = START;
    Box::new(move || {
        let (stream, at) = loop {
            if let Some(due) = wheel.poll(now) {
                break due;
            }
            now = wheel.poll_timeout().expect("streams are scheduled");
        };
        wheel.schedule(black_box(stream), at.after(INTERVAL));
    })
}
