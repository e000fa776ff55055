//! Who gets how much: shares what a path takes over what its subscriber wants to see.
//!
//! Everybody is seen before anybody is seen better: the lowest layers are given first, by priority; then those of the
//! highest priority are raised layer by layer, all alike, then those of the next. What does not fit at all is paused.

use arrayvec::ArrayVec;
use core::time::Duration;
use raceway_units::Instant;

use crate::BitRate;
use crate::limits::LAYERS;

/// A layer above the one that is sent must fit with this much to spare, so that it does not have to go again.
const HEADROOM: f64 = 1.15;
/// How long after it was lowered a subscription is raised again, at first; twice as long each time that raising it turned
/// out to be wrong.
const RAISE_AFTER: Duration = Duration::from_secs(3);
const RAISE_AFTER_MAX: Duration = Duration::from_secs(24);
/// One that was lowered this soon after it was raised should not have been.
const WRONG_WITHIN: Duration = Duration::from_secs(10);

/// One track as one subscriber gets it, as far as its rate goes.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The higher, the earlier it is served.
    pub priority: u8,
    /// What each layer takes with all those below it, as measured, the lowest layer first. Zero: nobody sends it now.
    pub layers: ArrayVec<BitRate, LAYERS>,
    /// The highest layer that the size at which it is shown can use; none while it is not shown.
    pub wanted: Option<u8>,
    layer: Option<u8>,
    /// The layer it will have, while that is worked out.
    given: Option<u8>,
    raised_at: Option<Instant>,
    lowered_at: Option<Instant>,
    raise_after: Duration,
}

/// What came of sharing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// What the layers that were given take.
    pub used: BitRate,
    /// What all that is wanted would take, with headroom: what to probe for at most.
    pub wanted: BitRate,
    /// Subscriptions that get another layer than before.
    pub changed: usize,
    /// Subscriptions that are wanted and get nothing.
    pub paused: usize,
}

impl Subscription {
    /// One that gets nothing yet.
    #[must_use]
    pub fn new(priority: u8) -> Self {
        Self {
            priority,
            layers: ArrayVec::new(),
            wanted: None,
            layer: None,
            given: None,
            raised_at: None,
            lowered_at: None,
            raise_after: RAISE_AFTER,
        }
    }

    /// The layer to send, with all below it; none while it is paused.
    #[must_use]
    pub const fn layer(&self) -> Option<u8> {
        self.layer
    }

    fn rate(&self, layer: Option<u8>) -> BitRate {
        layer.and_then(|layer| self.layers.get(usize::from(layer))).copied().unwrap_or_default()
    }

    /// The lowest layer above this one that is sent and wanted.
    fn above(&self, layer: Option<u8>) -> Option<u8> {
        let from = layer.map_or(0, |layer| layer + 1);
        let to = self.wanted?.min((self.layers.len() as u8).checked_sub(1)?);
        (from..=to).find(|layer| self.layers[usize::from(*layer)] > BitRate::ZERO)
    }

    /// The highest layer that is sent and wanted.
    fn highest(&self) -> Option<u8> {
        let steps = core::iter::successors(self.above(None), |layer| self.above(Some(*layer)));
        steps.last()
    }

    fn may_rise(&self, now: Instant) -> bool {
        self.lowered_at.is_none_or(|at| now.since(at) >= self.raise_after)
    }

    /// Takes the layer that it was given; true if it is another one. A layer that is not sent or not wanted any more is no
    /// reason to wait: losing it says nothing of the path.
    fn take(&mut self, now: Instant) -> bool {
        let before = core::mem::replace(&mut self.layer, self.given);
        let layer = self.layer;
        if layer > before {
            self.raised_at = Some(now);
        } else if layer < before && before <= self.highest() {
            let wrong = self.raised_at.is_some_and(|at| now.since(at) < WRONG_WITHIN);
            self.raise_after = if wrong { (self.raise_after * 2).min(RAISE_AFTER_MAX) } else { RAISE_AFTER };
            self.lowered_at = Some(now);
        }
        layer != before
    }
}

/// Gives every subscription a layer, so that all together fit into `target` (what the path takes, without what is sent in
/// any case, as audio is). Time proportional to subscriptions, layers and priorities; nothing is allocated.
pub fn allocate(target: BitRate, subscriptions: &mut [Subscription], now: Instant) -> Allocation {
    subscriptions.iter_mut().for_each(|one| one.given = None);
    let mut share = Share { target, used: BitRate::ZERO, now };
    let mut priority = highest_priority(subscriptions, None);
    while let Some(of) = priority {
        share.give(subscriptions, of, |one, _| one.given.is_none());
        priority = highest_priority(subscriptions, priority);
    }
    priority = highest_priority(subscriptions, None);
    while let Some(of) = priority {
        for level in 0..LAYERS as u8 {
            share.give(subscriptions, of, |one, next| one.given.is_some() && next == level);
        }
        priority = highest_priority(subscriptions, priority);
    }
    let mut allocation = Allocation { used: share.used, ..Allocation::default() };
    for one in subscriptions {
        let highest = one.highest();
        allocation.wanted = allocation.wanted.plus(one.rate(highest));
        allocation.paused += usize::from(highest.is_some() && one.given.is_none());
        allocation.changed += usize::from(one.take(now));
    }
    allocation.wanted = allocation.wanted.times(HEADROOM);
    allocation
}

/// The highest priority below this one.
fn highest_priority(subscriptions: &[Subscription], below: Option<u8>) -> Option<u8> {
    let priorities = subscriptions.iter().map(|one| one.priority);
    priorities.filter(|priority| below.is_none_or(|below| *priority < below)).max()
}

/// What is left while it is shared.
struct Share {
    target: BitRate,
    used: BitRate,
    now: Instant,
}

impl Share {
    /// Gives those of a priority that are `due` their next layer, if it fits: first those that have it already.
    fn give(&mut self, all: &mut [Subscription], priority: u8, due: impl Fn(&Subscription, u8) -> bool) {
        for has in [true, false] {
            for one in all.iter_mut().filter(|one| one.priority == priority) {
                let Some(next) = one.above(one.given).filter(|next| due(one, *next)) else { continue };
                if (Some(next) <= one.layer) != has {
                    continue;
                }
                let used = self.used.minus(one.rate(one.given)).plus(one.rate(Some(next)));
                let fits = if has {
                    used <= self.target
                } else {
                    one.may_rise(self.now) && used.times(HEADROOM) <= self.target
                };
                if fits {
                    (one.given, self.used) = (Some(next), used);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Layers of 150, 500 and 1,200 kbit/s, all wanted.
    fn camera(priority: u8) -> Subscription {
        let mut one = Subscription::new(priority);
        one.layers.extend([150, 500, 1_200].map(BitRate::from_kbps));
        one.wanted = Some(2);
        one
    }

    fn s(seconds: u64) -> Instant {
        Instant::from_ns(seconds * 1_000_000_000)
    }

    fn share(kbps: u64, all: &mut [Subscription], at_s: u64) -> Vec<Option<u8>> {
        let allocation = allocate(BitRate::from_kbps(kbps), all, s(at_s));
        assert!(allocation.used <= BitRate::from_kbps(kbps));
        all.iter().map(Subscription::layer).collect()
    }

    #[test]
    fn everybody_is_seen_before_anybody_is_seen_better() {
        let mut all = [camera(1), camera(1), camera(1)];
        assert_eq!(share(700, &mut all, 0), [Some(0), Some(0), Some(0)]);
        let mut all = [camera(9), camera(1), camera(1)];
        assert_eq!(share(700, &mut all, 0), [Some(0); 3]);
    }

    #[test]
    fn the_highest_priority_is_raised_first() {
        let mut all = [camera(1), camera(9), camera(1)];
        assert_eq!(share(1_000, &mut all, 0), [Some(0), Some(1), Some(0)]);
        let mut all = [camera(1), camera(9), camera(1)];
        assert_eq!(share(2_200, &mut all, 0), [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn those_of_one_priority_are_raised_alike() {
        let mut all = [camera(1), camera(1)];
        assert_eq!(share(1_600, &mut all, 0), [Some(1), Some(1)]);
        // One had it all before the other came.
        let mut all = [camera(1), Subscription::new(1)];
        assert_eq!(share(1_600, &mut all, 0), [Some(2), None]);
        all[1] = camera(1);
        assert_eq!(share(1_600, &mut all, 1), [Some(1), Some(1)]);
    }

    #[test]
    fn what_does_not_fit_is_paused_the_least_important_first() {
        let mut all = [camera(1), camera(2)];
        assert_eq!(share(200, &mut all, 0), [None, Some(0)]);
        let allocation = allocate(BitRate::from_kbps(100), &mut all, s(1));
        assert_eq!((allocation.paused, allocation.used), (2, BitRate::ZERO));
    }

    #[test]
    fn no_more_than_is_wanted_and_sent_is_given() {
        let mut all = [camera(1), camera(1), camera(1)];
        all[0].wanted = Some(1);
        all[1].wanted = None;
        all[2].layers[1] = BitRate::ZERO;
        assert_eq!(share(10_000, &mut all, 0), [Some(1), None, Some(2)]);
        let allocation = allocate(BitRate::from_kbps(10_000), &mut all, s(0));
        assert_eq!((allocation.paused, allocation.wanted), (0, BitRate::from_kbps(1_955)));
    }

    #[test]
    fn a_layer_is_kept_as_long_as_it_fits_and_raised_only_with_room_to_spare() {
        let mut all = [camera(1)];
        assert_eq!(share(1_379, &mut all, 0), [Some(1)]);
        assert_eq!(share(1_381, &mut all, 1), [Some(2)]);
        assert_eq!(share(1_200, &mut all, 2), [Some(2)]);
        assert_eq!(share(1_199, &mut all, 3), [Some(1)]);
    }

    #[test]
    fn raising_waits_after_lowering_and_longer_each_time_it_was_wrong() {
        let mut all = [camera(1)];
        share(2_000, &mut all, 0);
        assert_eq!(share(600, &mut all, 5), [Some(1)]);
        assert_eq!(share(2_000, &mut all, 10), [Some(1)], "the last time was wrong within 10 s");
        assert_eq!(share(2_000, &mut all, 11), [Some(2)]);
        assert_eq!(share(600, &mut all, 15), [Some(1)]);
        assert_eq!(share(2_000, &mut all, 26), [Some(1)]);
        assert_eq!(share(2_000, &mut all, 27), [Some(2)]);
        assert_eq!(share(600, &mut all, 60), [Some(1)]);
        assert_eq!(share(2_000, &mut all, 63), [Some(2)], "it was right for half a minute");
    }

    #[test]
    fn a_layer_that_its_publisher_stops_says_nothing_of_the_path() {
        let mut all = [camera(1)];
        share(2_000, &mut all, 0);
        all[0].layers[2] = BitRate::ZERO;
        assert_eq!(share(2_000, &mut all, 1), [Some(1)]);
        all[0].layers[2] = BitRate::from_kbps(1_200);
        assert_eq!(share(2_000, &mut all, 2), [Some(2)]);
    }

    #[test]
    fn a_target_that_swings_about_a_layer_does_not_switch_it_at_every_swing() {
        let mut all = [camera(1)];
        let layers: Vec<_> =
            (0..120).map(|at| share(if at % 4 < 2 { 1_400 } else { 1_100 }, &mut all, at)[0]).collect();
        let switches = layers.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(switches <= 12, "{switches} in two minutes, of 60 swings");
    }

    fn any_subscription() -> impl Strategy<Value = Subscription> {
        let layers = prop::collection::vec(0..3_000_u64, 0..=LAYERS);
        (0..4_u8, layers, prop::option::of(any::<u8>())).prop_map(|(priority, layers, wanted)| {
            let mut one = Subscription::new(priority);
            one.layers.extend(layers.into_iter().map(BitRate::from_kbps));
            one.wanted = wanted;
            one
        })
    }

    proptest! {
        #[test]
        fn it_always_fits_and_is_only_what_is_wanted(
            mut all in prop::collection::vec(any_subscription(), 0..20),
            targets in prop::collection::vec(0..30_000_u64, 1..20),
        ) {
            for (at, target) in targets.into_iter().enumerate() {
                let target = BitRate::from_kbps(target);
                let allocation = allocate(target, &mut all, s(at as u64));
                let sum = all.iter().map(|one| one.rate(one.layer)).fold(BitRate::ZERO, BitRate::plus);
                prop_assert_eq!(sum, allocation.used);
                prop_assert!(allocation.used <= target);
                for one in &all {
                    prop_assert!(one.layer.is_none() || one.layer <= one.wanted);
                    prop_assert!(one.layer.is_none() || one.rate(one.layer) > BitRate::ZERO);
                }
            }
        }
    }
}
