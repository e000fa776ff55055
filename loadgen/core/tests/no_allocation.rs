//! What happens for each packet allocates nothing.

use std::time::Duration;

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
