//! After everything was made, packets, feedback, probes and sharing take no memory.

use std::time::Duration;

use raceway_congestion::limits::MESSAGE_OCTETS;
use raceway_congestion::transport_wide::{Feedback, Recorder};
use raceway_congestion::{BitRate, Bounds, Class, Estimator, Pacer, Send, Subscription, allocate};
use raceway_sys::allocations::{self, Counting};
use raceway_units::Instant;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_minute_of_packets_takes_no_memory() {
    let [min, start, max] = [50, 300, 2_000].map(BitRate::from_kbps);
    let mut now = Instant::from_ns(1_000_000_000);
    let mut estimator = Estimator::new(Bounds { min, start, max }, now);
    let (mut pacer, mut recorder) = (Pacer::new(start), Recorder::new(1, 2));
    let mut subscriptions: Vec<_> = (0..8).map(Subscription::new).collect();
    for one in &mut subscriptions {
        one.layers.extend([100, 300, 900].map(BitRate::from_kbps));
        one.wanted = Some(2);
    }
    let (mut out, mut padding, mut messages) = ([0; MESSAGE_OCTETS], 0, 0);
    let before = allocations::of_this_thread();
    for turn in 0..60_000_u32 {
        now = now.after(Duration::from_millis(1));
        if turn % 20 == 0 {
            let class = if turn % 100 == 0 { Class::Audio } else { Class::Video };
            let _ = pacer.handle(class, turn, 1000);
        }
        while let Some(send) = pacer.poll(now) {
            let (octets, probe) = match send {
                Send::Media { probe, .. } => (1000, probe),
                Send::Padding { octets, probe } => (octets, Some(probe)),
            };
            padding += u32::from(octets != 1000);
            let number = estimator.sent(octets, probe, now);
            if turn % 7 != 0 {
                recorder.handle_packet(number, now.after(Duration::from_millis(40)));
            }
        }
        if let Some(octets) = recorder.poll(&mut out, now.after(Duration::from_millis(40))) {
            estimator.handle_feedback(&Feedback::read(&out[..octets]).unwrap(), now);
            let estimate = estimator.estimate(now);
            pacer.handle_rate(estimate.target);
            estimator.handle_wanted(allocate(estimate.target, &mut subscriptions, now).wanted);
            messages += 1;
        }
        if let Some(probe) = estimator.poll_probe(now) {
            pacer.handle_probe(probe);
        }
        estimator.handle_timeout(now);
    }
    assert_eq!(allocations::of_this_thread(), before);
    assert!(messages > 400 && padding > 5, "{messages} messages, {padding} of padding");
    // This test could not fail if nothing were counted.
    drop(std::hint::black_box(vec![0u8; 10]));
    assert_eq!(allocations::of_this_thread(), before + 1);
}
