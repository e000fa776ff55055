use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use raceway_units::Random;

use super::*;

const STREAMS: u32 = 40;

fn at(ns: u64) -> Instant {
    Instant::from_ns(ns)
}

fn drain(wheel: &mut Wheel, now: u64) -> Vec<(u64, u32)> {
    std::iter::from_fn(|| wheel.poll(at(now))).map(|(stream, due)| (due.as_ns(), stream)).collect()
}

#[test]
fn streams_come_out_in_order_to_the_nanosecond_and_not_before_they_are_due() {
    let mut wheel = Wheel::new(4, at(0));
    wheel.schedule(0, at(1_003));
    wheel.schedule(1, at(1_001));
    wheel.schedule(2, at(1_002));
    assert_eq!(drain(&mut wheel, 1_000), []);
    assert_eq!(drain(&mut wheel, 1_002), [(1_001, 1), (1_002, 2)]);
    assert_eq!(wheel.poll_timeout(), Some(at(1_003)));
    wheel.schedule(3, at(900));
    assert_eq!(drain(&mut wheel, 2_000), [(900, 3), (1_003, 0)]);
    assert_eq!((wheel.poll_timeout(), wheel.scheduled()), (None, 0));
}

#[test]
fn a_stream_may_be_scheduled_again_while_others_of_its_tick_wait() {
    let mut wheel = Wheel::new(2, at(0));
    wheel.schedule(0, at(10));
    wheel.schedule(1, at(25));
    let mut seen = Vec::new();
    while let Some((stream, due)) = wheel.poll(at(30)) {
        seen.push((due.as_ns(), stream));
        if stream == 0 {
            wheel.schedule(0, due.after(Duration::from_nanos(10)));
        }
    }
    assert_eq!(seen, [(10, 0), (20, 0), (25, 1), (30, 0)]);
    assert_eq!(wheel.poll_timeout(), Some(at(40)));
}

#[test]
fn what_is_scheduled_in_the_past_comes_out_at_once_and_in_order() {
    let mut wheel = Wheel::new(1_000, at(0));
    assert_eq!(wheel.poll(at(1 << 40)), None);
    for stream in 0..1_000 {
        wheel.schedule(stream, at(1_000_000 - u64::from(stream)));
    }
    wheel.cancel(500);
    let seen = drain(&mut wheel, 1 << 40);
    assert!(seen.len() == 999 && seen.is_sorted());
}

#[test]
fn times_beyond_both_wheels_are_kept() {
    let hour = 3_600_000_000_000;
    let mut wheel = Wheel::new(2, at(5));
    wheel.schedule(0, at(hour));
    wheel.schedule(1, at(hour + 70_000_000_000));
    assert!(wheel.poll_timeout().unwrap() <= at(hour));
    assert_eq!(drain(&mut wheel, hour - 1), []);
    assert_eq!(wheel.poll_timeout(), Some(at(hour)));
    assert_eq!(drain(&mut wheel, 2 * hour), [(hour, 0), (hour + 70_000_000_000, 1)]);
}

#[test]
fn a_cancelled_stream_does_not_come_out() {
    let mut wheel = Wheel::new(3, at(0));
    for stream in 0..3 {
        wheel.schedule(stream, at(1_000));
    }
    wheel.cancel(1);
    wheel.cancel(1);
    assert_eq!(wheel.poll(at(2_000)), Some((0, at(1_000))));
    wheel.cancel(2);
    assert_eq!(drain(&mut wheel, 2_000), []);
}

/// A sorted set that does what the wheel should.
#[derive(Default)]
struct Model(BTreeSet<(u64, u32)>);

impl Model {
    fn cancel(&mut self, stream: u32) {
        self.0.retain(|(_, other)| *other != stream);
    }

    fn drain(&mut self, now: u64) -> Vec<(u64, u32)> {
        let (due, later) = self.0.iter().partition(|(due, _)| *due <= now);
        self.0 = later;
        let due: BTreeSet<_> = due;
        due.into_iter().collect()
    }
}

/// Distances of the size of a tick, a packet, a turn of the near wheel, of the far wheel, and more.
fn distance() -> impl Strategy<Value = u64> {
    (0..40u32).prop_flat_map(|bits| 0..=1u64 << bits)
}

#[derive(Clone, Debug)]
enum Step {
    Schedule(u32, u64),
    Cancel(u32),
    Poll(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..STREAMS, distance()).prop_map(|(stream, ahead)| Step::Schedule(stream, ahead)),
        1 => (0..STREAMS).prop_map(Step::Cancel),
        3 => distance().prop_map(Step::Poll),
    ]
}

proptest! {
    #[test]
    fn the_wheel_does_what_a_sorted_set_does(begin in 0..1u64 << 45, steps in prop::collection::vec(step(), 1..300)) {
        let (mut wheel, mut model, mut now) = (Wheel::new(STREAMS, at(begin)), Model::default(), begin);
        for step in steps {
            match step {
                Step::Schedule(stream, ahead) => {
                    model.cancel(stream);
                    model.0.insert((now + ahead, stream));
                    wheel.schedule(stream, at(now + ahead));
                }
                Step::Cancel(stream) => {
                    model.cancel(stream);
                    wheel.cancel(stream);
                }
                Step::Poll(ahead) => {
                    now += ahead;
                    prop_assert_eq!(drain(&mut wheel, now), model.drain(now));
                }
            }
            prop_assert_eq!(wheel.scheduled() as usize, model.0.len());
            let first = model.0.first().map(|(due, _)| at(*due));
            let timeout = wheel.poll_timeout();
            prop_assert_eq!(timeout.is_some(), first.is_some());
            prop_assert!(timeout <= first);
        }
    }

    #[test]
    fn sleeping_until_the_timeout_misses_nothing_and_ends(seed: u64, begin in 0..1u64 << 45) {
        let mut random = Random::new(seed);
        let mut wheel = Wheel::new(STREAMS, at(begin));
        let mut due: Vec<_> = (0..STREAMS).map(|stream| (begin + random.below(1 << 40), stream)).collect();
        due.iter().for_each(|(due, stream)| wheel.schedule(*stream, at(*due)));
        due.sort_unstable();
        let (mut seen, mut wakes) = (Vec::new(), 0);
        while let Some(wake) = wheel.poll_timeout() {
            seen.extend(drain(&mut wheel, wake.as_ns()));
            wakes += 1;
            prop_assert!(wakes < 10 * STREAMS + 64, "wakes up for nothing too often");
        }
        prop_assert_eq!(seen, due);
    }
}

#[test]
fn the_overdue_are_cancelled_as_fast_as_others() {
    let count = 50_000;
    let mut wheel = Wheel::new(count, at(0));
    (0..count).for_each(|stream| wheel.schedule(stream, at(1)));
    assert_eq!(wheel.poll(at(1_000_000)).map(|(_, due)| due), Some(at(1)));
    // To look for each among all others would take minutes.
    let cancelled = (0..count).filter(|stream| wheel.cancel(*stream)).count();
    assert_eq!((cancelled as u32, wheel.scheduled()), (count - 1, 0));
    assert_eq!(wheel.poll(at(2_000_000)), None);
}

#[test]
fn what_was_cancelled_when_it_was_overdue_comes_out_as_it_is_scheduled_anew() {
    let mut wheel = Wheel::new(2, at(0));
    for _ in 0..10 {
        wheel.schedule(0, at(5));
        wheel.schedule(1, at(6));
        assert_eq!(wheel.poll(at(5)), Some((0, at(5))));
        // Twice at the same time, and once later.
        assert!(wheel.cancel(1));
        wheel.schedule(1, at(6));
        wheel.schedule(1, at(7));
        assert_eq!(wheel.poll(at(100)), Some((1, at(7))));
        assert_eq!((wheel.poll(at(100)), wheel.scheduled()), (None, 0));
    }
}
