use super::*;
use crate::limits::{ESTIMATOR_OCTETS, HISTORY_PACKETS, MESSAGE_OCTETS};
use crate::transport_wide::Recorder;

const BOUNDS: Bounds =
    Bounds { min: BitRate::from_kbps(50), start: BitRate::from_kbps(500), max: BitRate::from_kbps(3_000) };

fn ms(ms: u64) -> Instant {
    Instant::from_ns(ms * 1_000_000)
}

/// A sender that fills its estimate, a path that takes 30 ms and loses none but what it is told to, and a receiver.
struct World {
    estimator: Estimator,
    recorder: Recorder,
    now_ms: u64,
    clock_ahead: Duration,
    heard: bool,
}

impl World {
    fn new() -> Self {
        let (estimator, recorder) = (Estimator::new(BOUNDS, ms(1_000)), Recorder::new(1, 2));
        Self { estimator, recorder, now_ms: 1_000, clock_ahead: Duration::ZERO, heard: true }
    }

    /// A packet each 10 ms for so long; which arrive, by their count.
    fn run(&mut self, for_ms: u64, arrives: impl Fn(u64) -> bool) -> &mut Self {
        for n in 0..for_ms / 10 {
            self.now_ms += 10;
            let now = ms(self.now_ms);
            let octets = self.estimator.estimate(now).target.octets_in(Duration::from_millis(10));
            let number = self.estimator.sent(octets as usize, None, now);
            if arrives(n) {
                self.recorder.handle_packet(number, now.after(Duration::from_millis(30) + self.clock_ahead));
            }
            self.hear(now);
        }
        self
    }

    fn hear(&mut self, now: Instant) {
        let mut out = [0; MESSAGE_OCTETS];
        while let Some(octets) = self.recorder.poll(&mut out, now.after(self.clock_ahead)) {
            if self.heard {
                self.estimator.handle_feedback(&Feedback::read(&out[..octets]).unwrap(), now);
            }
        }
        if self.estimator.poll_timeout() <= now {
            self.estimator.handle_timeout(now);
        }
    }

    /// Time passes, and nothing is sent.
    fn wait(&mut self, for_ms: u64) {
        for _ in 0..for_ms / 10 {
            self.now_ms += 10;
            self.hear(ms(self.now_ms));
        }
    }

    /// The next probe, sent at its rate over a path that carries it.
    fn probe(&mut self) -> Probe {
        let probe = self.estimator.poll_probe(ms(self.now_ms)).unwrap();
        let packets = u64::from(probe.packets).max(probe.octets / 500 + 1);
        for n in 0..packets {
            let now = ms(self.now_ms).after(probe.rate.time_for(500 * n));
            let number = self.estimator.sent(500, Some(probe.id), now);
            self.recorder.handle_packet(number, now.after(Duration::from_millis(30)));
        }
        self.wait(300);
        probe
    }

    fn estimate(&self) -> Estimate {
        self.estimator.estimate(ms(self.now_ms))
    }
}

#[test]
fn it_begins_at_its_start_and_stays_in_its_bounds() {
    let mut world = World::new();
    assert_eq!(world.estimate().target, BOUNDS.start);
    assert_eq!(world.run(40_000, |_| true).estimate().target, BOUNDS.max);
    assert_eq!(world.run(40_000, |n| n % 2 == 0).estimate().target, BOUNDS.min);
    let contradicting = Bounds { min: BOUNDS.max, start: BOUNDS.start, max: BOUNDS.min };
    assert_eq!(Estimator::new(contradicting, ms(0)).estimate(ms(0)).target, BOUNDS.max);
}

#[test]
fn loss_of_more_than_a_tenth_lowers_the_target_and_less_does_not() {
    let mut world = World::new();
    world.run(5_000, |_| true);
    let before = world.estimate().target;
    let estimate = world.run(2_000, |n| n % 20 != 0).estimate();
    assert!(estimate.target >= before && estimate.loss_based.is_none(), "{estimate:?}");
    let estimate = world.run(2_000, |n| n % 5 != 0).estimate();
    assert!(estimate.target < before.times(0.8) && estimate.loss_based == Some(estimate.target), "{}", estimate.target);
}

#[test]
fn feedback_that_stops_halves_the_target_each_second() {
    let mut world = World::new();
    let before = world.run(3_000, |_| true).estimate().target;
    world.heard = false;
    let after = world.run(2_500, |_| true).estimate().target;
    assert_eq!(after, before.times(0.5).times(0.5));
    world.heard = true;
    assert!(world.run(5_000, |_| true).estimate().target > after);
}

#[test]
fn a_pause_in_which_nothing_is_sent_is_no_lack_of_feedback() {
    let mut world = World::new();
    let before = world.run(3_000, |_| true).estimate().target;
    world.wait(9_900);
    assert!(world.run(10, |_| true).estimate().target >= before);
}

#[test]
fn a_path_that_was_silent_for_ten_seconds_is_begun_anew() {
    let mut world = World::new();
    world.run(40_000, |_| true);
    world.wait(10_000);
    assert_eq!(world.run(10, |_| true).estimate().target, BOUNDS.start);
    assert!(world.estimator.poll_probe(ms(world.now_ms)).is_some(), "what there was may be there still");
}

#[test]
fn a_probe_that_gets_through_raises_the_target_over_a_cap_by_loss() {
    let mut world = World::new();
    let capped = world.run(10_000, |n| n % 4 != 0).estimate();
    assert!(capped.loss_based.is_some());
    world.wait(6_000);
    let probe = world.probe();
    assert!(probe.rate > capped.target);
    let target = world.estimate().target;
    assert!(target >= probe.rate.times(0.8) && target <= probe.rate.times(1.1), "{target} of {}", probe.rate);
}

#[test]
fn a_receiver_whose_clock_is_set_does_not_move_the_target() {
    let mut world = World::new();
    let before = world.run(10_000, |_| true).estimate().target;
    world.clock_ahead = Duration::from_secs(3_600);
    let estimate = world.run(1_000, |_| true).estimate();
    assert!(estimate.target >= before.times(0.99) && estimate.usage == Usage::Normal, "{}", estimate.target);
    assert!(world.run(2_000, |_| true).estimate().acknowledged.is_some(), "it is measured by the new clock");
}

#[test]
fn the_round_trip_is_from_sending_to_feedback() {
    let round_trip = World::new().run(10_000, |_| true).estimate().round_trip;
    // The last packet of a message arrives up to 10 ms before it, by a clock that is 30 ms ahead here.
    assert!(round_trip <= Duration::from_millis(20), "{round_trip:?}");
}

#[test]
fn remb_limits_for_five_seconds_and_is_the_estimate_where_nothing_else_is_told() {
    let mut world = World::new();
    world.estimator.handle_remb(BitRate::from_kbps(2_000), ms(world.now_ms));
    assert_eq!(world.estimate().target, BitRate::from_kbps(2_000));
    world.estimator.handle_remb(BitRate::from_kbps(9_000), ms(world.now_ms));
    assert_eq!(world.estimate().target, BOUNDS.max);
    let mut world = World::new();
    world.run(5_000, |_| true);
    world.estimator.handle_remb(BitRate::from_kbps(100), ms(world.now_ms));
    assert_eq!(world.run(4_990, |_| true).estimate().target, BitRate::from_kbps(100));
    assert_eq!(world.run(20, |_| true).estimate().remb, None);
    assert!(world.estimate().target > BitRate::from_kbps(100));
}

#[test]
fn loss_of_receiver_reports_counts_where_nothing_else_is_told() {
    let mut estimator = Estimator::new(BOUNDS, ms(0));
    estimator.handle_report(128, Some(Duration::from_millis(50)), ms(1_000));
    assert_eq!(estimator.estimate(ms(1_000)).target, BitRate::from_kbps(375));
    let mut world = World::new();
    let before = world.run(1_000, |_| true).estimate();
    world.estimator.handle_report(255, None, ms(world.now_ms));
    assert_eq!(world.estimate(), before);
}

#[test]
fn a_receiver_that_gives_no_feedback_is_not_taken_for_one_that_stopped() {
    let mut world = World::new();
    world.heard = false;
    assert_eq!(world.run(5_000, |_| true).estimate().target, BOUNDS.start);
}

#[test]
fn what_is_due_has_been_done_when_it_was_asked_for() {
    let mut world = World::new();
    for _ in 0..2_000 {
        let now = ms(world.run(10, |n| n % 7 != 0).now_ms);
        if world.estimator.poll_timeout() <= now {
            world.estimator.handle_timeout(now);
            world.estimator.poll_probe(now);
            assert!(world.estimator.poll_timeout() > now, "the caller would never sleep");
        }
    }
}

#[test]
fn what_is_said_again_counts_once() {
    let mut world = World::new();
    world.run(1_000, |_| true);
    let number = world.estimator.sent(1200, None, ms(world.now_ms));
    world.recorder.handle_packet(number, ms(world.now_ms));
    let mut out = [0; MESSAGE_OCTETS];
    let octets = world.recorder.poll(&mut out, ms(world.now_ms + 200)).unwrap();
    let feedback = Feedback::read(&out[..octets]).unwrap();
    world.estimator.handle_feedback(&feedback, ms(world.now_ms + 210));
    let once = world.estimator.estimate(ms(world.now_ms + 210));
    (0..1_000).for_each(|n| world.estimator.handle_feedback(&feedback, ms(world.now_ms + 211 + n)));
    assert_eq!(world.estimator.estimate(ms(world.now_ms + 211)), once);
}

#[test]
fn a_packet_that_comes_late_is_lost_once_and_then_arrived() {
    let mut world = World::new();
    world.run(30, |_| true);
    let late = world.estimator.sent(1200, None, ms(world.now_ms));
    world.run(2_000, |_| true);
    assert!(world.estimate().loss <= 0.05);
    world.recorder.handle_packet(late, ms(world.now_ms));
    assert_eq!(world.run(2_000, |_| true).estimate().loss, 0.0);
}

#[test]
fn an_application_that_sends_little_is_limited() {
    let mut world = World::new();
    assert!(!world.run(3_000, |_| true).estimate().limited);
    world.run(3_000, |_| true);
    for n in 0..100 {
        world.now_ms += 10;
        world.estimator.sent(if n % 10 == 0 { 1200 } else { 12 }, None, ms(world.now_ms));
        world.hear(ms(world.now_ms));
    }
    world.estimator.poll_probe(ms(world.now_ms));
    assert!(world.estimate().limited);
}

#[test]
fn an_estimator_takes_a_bounded_piece_of_memory() {
    let octets = size_of::<Estimator>() + HISTORY_PACKETS * size_of::<history::Packet>();
    assert!(octets <= ESTIMATOR_OCTETS, "{octets}");
}
