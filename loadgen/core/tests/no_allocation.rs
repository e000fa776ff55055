//! What happens for each packet allocates nothing.

use std::sync::Arc;
use std::time::Duration;

use raceway_loadgen_core::receive::{Receiver, Settings};
use raceway_loadgen_core::replay::{Capture, Replay, ReplaySender};
use raceway_loadgen_core::report::Interval;
use raceway_loadgen_core::rtp::RtpView;
use raceway_loadgen_core::{Clock, Identity, PROFILES, Profile, Schedule, Sender, Wheel};
use raceway_sys::allocations::{self, Counting};
use raceway_units::Instant;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COPIES: u32 = 20;
const BEGIN: Instant = Instant::from_ns(1_000_000_000);

fn senders() -> Vec<Sender> {
    let schedule = Schedule { begin: BEGIN, ramp: None, seed: 1 };
    let mut senders = Vec::new();
    for name in PROFILES {
        let profile: Profile = format!("{name}:audio-level=1,abs-send-time=2,transport-cc=3,mid=4").parse().unwrap();
        for track in (0..COPIES).flat_map(|_| profile.tracks()) {
            let stream = senders.len() as u32;
            let identity = Identity { run: 1, stream, ssrc: stream, clock: Clock(1) };
            senders.push(Sender::new(&track, identity, schedule.start(stream, track.interval()), 1));
        }
    }
    senders
}

#[test]
fn sending_on_time_allocates_nothing() {
    let mut senders = senders();
    let mut wheel = Wheel::new(senders.len() as u32, BEGIN);
    for (stream, sender) in senders.iter().enumerate() {
        wheel.schedule(stream as u32, sender.next_due().unwrap());
    }
    let (mut out, mut packets) = ([0; 9_000], 0);
    let before = allocations::of_this_thread();
    let end = BEGIN.after(Duration::from_secs(10));
    while let Some(now) = wheel.poll_timeout().filter(|at| *at < end) {
        while let Some((stream, _)) = wheel.poll(now) {
            let sender = &mut senders[stream as usize];
            sender.write(&mut out);
            packets += 1;
            if let Some(due) = sender.next_due() {
                wheel.schedule(stream, due);
            }
        }
    }
    assert_eq!(allocations::of_this_thread(), before, "allocations for {packets} packets");
    assert!(packets > 10 * 40 * senders.len());
    // This test could not fail if nothing were counted.
    drop(std::hint::black_box(vec![0u8; 10]));
    assert_eq!(allocations::of_this_thread(), before + 1);
}

#[test]
fn replaying_allocates_nothing() {
    let file = include_bytes!("../corpus/replay/ethernet");
    let capture = Capture::read(file).unwrap();
    let replay = Replay { start: BEGIN, period: Some(capture.period()), stamp: true, ..Replay::default() };
    let mut sender = ReplaySender::new(Arc::clone(&capture.streams[0]), replay);
    let mut out = [0; 9_000];
    let before = allocations::of_this_thread();
    while sender.next_due().unwrap() < BEGIN.after(Duration::from_secs(60)) {
        sender.write(&mut out);
    }
    assert_eq!(allocations::of_this_thread(), before);
    assert_eq!(sender.sent(BEGIN).packets, 3_000);
}

#[test]
fn receiving_allocates_nothing() {
    let identity = Identity { run: 1, stream: 1, ssrc: 1, clock: Clock(1) };
    let track = "opus:dtx=on".parse::<Profile>().unwrap().tracks().remove(0);
    let mut sender = Sender::new(&track, identity, BEGIN, 1);
    let mut packets: Vec<(Instant, Vec<u8>)> = Vec::new();
    let mut out = [0; 9_000];
    while packets.len() < 20_000 {
        let due = sender.next_due().unwrap();
        let length = sender.write(&mut out);
        packets.push((due.after(Duration::from_millis(3)), out[..length].to_vec()));
    }
    // Lost, late, twice and damaged ones, and clocks that differ.
    (100..20_000).step_by(100).for_each(|index| packets.swap(index - 7, index));
    (50..20_000).step_by(130).for_each(|index| packets[index] = packets[index + 1].clone());
    (70..20_000).step_by(170).for_each(|index| packets[index].1.last_mut().into_iter().for_each(|octet| *octet ^= 1));
    let mut interval = Interval::new();
    for local in [Clock(1), Clock(2)] {
        let mut receiver = Receiver::new(Settings::of_track(&track, local));
        let before = allocations::of_this_thread();
        for (now, octets) in &packets {
            interval.arrived(&receiver.handle(&RtpView::parse(octets).unwrap(), *now));
        }
        assert_eq!(allocations::of_this_thread(), before);
    }
    let found = interval.received;
    assert!(found.missing > 0 && found.duplicated > 0 && found.reordered > 0 && found.corrupted > 0, "{found:?}");
}
