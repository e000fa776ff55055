//! Congestion control of one subscriber: what a packet, a message and a decision cost.

use std::hint::black_box;
use std::time::Duration;

use raceway_congestion::limits::MESSAGE_OCTETS;
use raceway_congestion::transport_wide::{Feedback, Recorder};
use raceway_congestion::{BitRate, Bounds, Estimator, Subscription, allocate};
use raceway_units::Instant;

use super::{Operation, Scenario, scenario};

const START: Instant = Instant::from_ns(1_000_000_000);
/// Packets of a message: 100 ms of 2.4 Mbit/s.
const PACKETS: u32 = 25;
const APART: Duration = Duration::from_millis(4);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("congestion: a packet is sent", |_| sends()),
        scenario("congestion: a packet is recorded", |_| records()),
        scenario("congestion: record 25 packets, write feedback on them", |_| writes()),
        scenario("congestion: send 25 packets, read feedback on them, estimate", reads),
        scenario("congestion: share among 25 subscriptions", |_| shares()),
    ]
}

fn estimator() -> Estimator {
    let [min, start, max] = [50, 2_400, 5_000].map(BitRate::from_kbps);
    Estimator::new(Bounds { min, start, max }, START)
}

fn sends() -> Operation {
    let (mut estimator, mut now) = (estimator(), START);
    Box::new(move || {
        now = now.after(APART);
        black_box(estimator.sent(black_box(1200), None, now));
    })
}

fn records() -> Operation {
    let (mut recorder, mut now, mut number) = (Recorder::new(1, 2), START, 0_u16);
    Box::new(move || {
        now = now.after(APART);
        number = number.wrapping_add(1);
        recorder.handle_packet(black_box(number), now);
    })
}

/// The next message of a receiver that gets all but each tenth packet.
fn message(recorder: &mut Recorder, first: u16, now: Instant, out: &mut [u8; MESSAGE_OCTETS]) -> Option<usize> {
    for number in (0..PACKETS as u16).filter(|number| number % 10 != 3) {
        recorder.handle_packet(first.wrapping_add(number), now.after(APART * u32::from(number)));
    }
    recorder.poll(out, now.after(APART * PACKETS))
}

fn writes() -> Operation {
    let (mut recorder, mut now, mut first, mut out) = (Recorder::new(1, 2), START, 0_u16, [0; MESSAGE_OCTETS]);
    Box::new(move || {
        assert!(black_box(message(&mut recorder, first, now, &mut out)).is_some());
        (first, now) = (first.wrapping_add(PACKETS as u16), now.after(APART * PACKETS));
    })
}

/// The messages are written before any is counted; their packets are sent again when they are read.
fn reads(runs: u32) -> Operation {
    let (mut recorder, mut out) = (Recorder::new(1, 2), [0; MESSAGE_OCTETS]);
    let at = |run: u32| START.after(APART * PACKETS * run);
    let messages: Vec<_> = (0..runs)
        .map(|run| {
            let first = run as u16 * PACKETS as u16;
            let octets = message(&mut recorder, first, at(run), &mut out).expect("it is due");
            out[..octets].to_vec()
        })
        .collect();
    let (mut estimator, mut run) = (estimator(), 0);
    Box::new(move || {
        for number in 0..PACKETS {
            estimator.sent(1200, None, at(run).after(APART * number));
        }
        let feedback = Feedback::read(black_box(&messages[run as usize])).expect("it was written");
        run += 1;
        estimator.handle_feedback(&feedback, at(run));
        assert!(black_box(estimator.estimate(at(run))).acknowledged.is_some() || run < 10);
    })
}

fn shares() -> Operation {
    let mut all: Vec<_> = (0..25).map(|number| Subscription::new(number / 12)).collect();
    for one in &mut all {
        one.layers.extend([150, 500, 1_200].map(BitRate::from_kbps));
        one.wanted = Some(2);
    }
    Box::new(move || {
        black_box(allocate(black_box(BitRate::from_kbps(9_000)), &mut all, START));
    })
}
