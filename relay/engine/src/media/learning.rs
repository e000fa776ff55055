//! Where a party is, by what it signalled and by where its packets come from.

use raceway_api::limits::LEARNING;
use raceway_api::{Learning, SourcePolicy};
use raceway_units::{Endpoint, Instant};

use crate::limits::{HANDOVER_PACKETS, HANDOVER_SILENCE};

/// The address of a party.
#[derive(Clone, Copy, Debug)]
pub struct Learner {
    how: Learning,
    policy: SourcePolicy,
    signalled: Option<Endpoint>,
    remote: Option<Endpoint>,
    phase: Phase,
    /// When the last packet came from `remote`.
    heard_at: Instant,
    /// Somebody else, and how many packets came from there since one came from `remote`.
    other: (Endpoint, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    Waiting,
    /// Something has, and better may come.
    Learning { until: Instant, likeness: Likeness },
    /// Known for good.
    Settled,
}

/// How much an address is like the signalled one; less is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Same,
    Address,
    Port,
    None,
}

/// What becomes of a packet, by where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It passes.
    Known,
    /// It passes, and the party's address is another now, or settled.
    News,
    /// It does not pass.
    Refused,
}

impl Learner {
    /// Nothing but the signalled address is known.
    #[must_use]
    pub fn new(how: Learning, policy: SourcePolicy, signalled: Option<Endpoint>) -> Self {
        let phase = if how == Learning::Off { Phase::Settled } else { Phase::Waiting };
        let nobody = (Endpoint::default(), 0);
        Self { how, policy, signalled, remote: signalled, phase, heard_at: Instant::from_ns(0), other: nobody }
    }

    /// The same rules as `self`, with what `before` has learned if the signalled address is the same.
    #[must_use]
    pub fn following(self, before: &Self) -> Self {
        let same = self.signalled == before.signalled && self.how == before.how;
        if same { Self { policy: self.policy, ..*before } } else { self }
    }

    /// Where packets go.
    #[must_use]
    pub const fn remote(&self) -> Option<Endpoint> {
        self.remote
    }

    /// Whether that does not change by itself any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Settled
    }

    /// Whether a packet will be refused by where it comes from, before any other work on it.
    #[inline]
    #[must_use]
    pub fn refuses(&self, from: Endpoint) -> bool {
        self.policy == SourcePolicy::Strict && self.phase == Phase::Settled && self.remote != Some(from)
    }

    /// Takes note of a packet that was accepted in all else. `authentic`: nobody but the party can have made it.
    #[inline]
    pub fn hear(&mut self, now: Instant, from: Endpoint, authentic: bool) -> Source {
        match self.phase {
            Phase::Settled if self.remote == Some(from) => {
                self.heard_at = now;
                self.other.1 = 0;
                Source::Known
            }
            Phase::Settled => self.elsewhere(now, from, authentic),
            Phase::Waiting => self.first(now, from),
            Phase::Learning { until, likeness } => self.learn(now, from, until, likeness),
        }
    }

    fn first(&mut self, now: Instant, from: Endpoint) -> Source {
        self.remote = Some(from);
        self.heard_at = now;
        let likeness = self.likeness(from);
        let done = self.how == Learning::Immediate || self.how == Learning::Heuristic && likeness == Likeness::Same;
        self.phase = if done { Phase::Settled } else { Phase::Learning { until: now.after(LEARNING), likeness } };
        Source::News
    }

    fn learn(&mut self, now: Instant, from: Endpoint, until: Instant, best: Likeness) -> Source {
        let before = self.remote;
        let likeness = self.likeness(from);
        if self.how != Learning::Heuristic || likeness < best {
            self.remote = Some(from);
        }
        if self.remote == Some(from) {
            self.heard_at = now;
        }
        let best = best.min(likeness);
        let done = now >= until || self.how == Learning::Heuristic && best == Likeness::Same;
        self.phase = if done { Phase::Settled } else { Phase::Learning { until, likeness: best } };
        if done || self.remote != before { Source::News } else { Source::Known }
    }

    /// A packet from elsewhere than the settled address.
    fn elsewhere(&mut self, now: Instant, from: Endpoint, authentic: bool) -> Source {
        match self.policy {
            SourcePolicy::Strict => return Source::Refused,
            SourcePolicy::Any => return Source::Known,
            SourcePolicy::Handover => {}
        }
        let count = if self.other.0 == from { self.other.1.saturating_add(1) } else { 1 };
        self.other = (from, count);
        let alone = count >= HANDOVER_PACKETS && now.since(self.heard_at) >= HANDOVER_SILENCE;
        if !authentic && !alone {
            return Source::Known;
        }
        self.remote = Some(from);
        self.heard_at = now;
        self.other.1 = 0;
        Source::News
    }

    fn likeness(&self, from: Endpoint) -> Likeness {
        match self.signalled {
            Some(signalled) if signalled == from => Likeness::Same,
            Some(signalled) if signalled.address == from.address => Likeness::Address,
            Some(signalled) if signalled.port == from.port => Likeness::Port,
            _ => Likeness::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const START: Instant = Instant::from_ns(1_000_000_000);

    fn at(host: u8, port: u16) -> Endpoint {
        Endpoint { address: raceway_abi::mapped([192, 0, 2, host]), port }
    }

    fn after(ms: u64) -> Instant {
        START.after(Duration::from_millis(ms))
    }

    fn learner(how: Learning, policy: SourcePolicy) -> Learner {
        Learner::new(how, policy, Some(at(1, 4000)))
    }

    /// Where packets go after each of these came.
    fn goes_to(learner: &mut Learner, packets: &[(u64, Endpoint)]) -> Vec<Option<Endpoint>> {
        let hear = |(ms, from): &(u64, Endpoint)| {
            learner.hear(after(*ms), *from, false);
            learner.remote()
        };
        packets.iter().map(hear).collect()
    }

    #[test]
    fn off_keeps_to_what_was_signalled() {
        let mut learner = learner(Learning::Off, SourcePolicy::Any);
        assert!(learner.is_settled());
        assert_eq!(learner.hear(START, at(9, 9), false), Source::Known);
        assert_eq!(learner.remote(), Some(at(1, 4000)));
    }

    #[test]
    fn immediate_settles_with_the_first_packet() {
        let mut learner = learner(Learning::Immediate, SourcePolicy::Any);
        assert_eq!(learner.remote(), Some(at(1, 4000)), "until then the signalled address is used");
        assert_eq!(learner.hear(START, at(2, 5), false), Source::News);
        assert!(learner.is_settled());
        assert_eq!(goes_to(&mut learner, &[(1, at(3, 5)), (5000, at(3, 5))]), [Some(at(2, 5)); 2]);
    }

    #[test]
    fn delayed_follows_every_packet_for_three_seconds_and_then_none() {
        let mut learner = learner(Learning::Delayed, SourcePolicy::Any);
        let to = goes_to(&mut learner, &[(0, at(2, 5)), (2999, at(3, 5))]);
        assert_eq!(to, [Some(at(2, 5)), Some(at(3, 5))]);
        assert!(!learner.is_settled());
        assert_eq!(learner.hear(after(3000), at(4, 5), false), Source::News);
        assert!(learner.is_settled());
        assert_eq!(goes_to(&mut learner, &[(3001, at(5, 5))]), [Some(at(4, 5))]);
    }

    #[test]
    fn heuristic_prefers_what_is_most_like_the_signalled_address() {
        let mut learner = learner(Learning::Heuristic, SourcePolicy::Any);
        let (none, port, address) = (at(9, 9), at(9, 4000), at(1, 9));
        let to = goes_to(&mut learner, &[(0, none), (1, at(8, 8)), (2, port), (3, none), (4, address), (5, port)]);
        assert_eq!(to, [none, none, port, port, address, address].map(Some), "of two alike the first");
        assert!(!learner.is_settled());
        learner.hear(after(6), at(1, 4000), false);
        assert!(learner.is_settled(), "nothing can be more like it");
        assert_eq!(learner.remote(), Some(at(1, 4000)));
    }

    #[test]
    fn heuristic_settles_with_the_best_when_time_is_over_whoever_sends_then() {
        let mut learner = learner(Learning::Heuristic, SourcePolicy::Any);
        let to = goes_to(&mut learner, &[(0, at(1, 9)), (3000, at(9, 9))]);
        assert_eq!((to[1], learner.is_settled()), (Some(at(1, 9)), true));
    }

    #[test]
    fn a_strict_leg_refuses_others_only_once_it_is_settled() {
        let mut learner = learner(Learning::Immediate, SourcePolicy::Strict);
        assert!(!learner.refuses(at(2, 5)));
        learner.hear(START, at(2, 5), false);
        assert!(learner.refuses(at(2, 6)) && !learner.refuses(at(2, 5)));
        assert_eq!(learner.hear(START, at(2, 6), true), Source::Refused);
    }

    #[test]
    fn nothing_is_sent_to_an_address_that_spoofed_packets_among_real_ones_suggest() {
        for policy in [SourcePolicy::Any, SourcePolicy::Handover] {
            let mut learner = learner(Learning::Immediate, policy);
            for ms in 0..10_000 {
                let from = if ms % 20 == 0 { at(2, 5) } else { at(9, 9) };
                learner.hear(after(ms), from, false);
                assert_eq!(learner.remote(), Some(at(2, 5)));
            }
        }
    }

    #[test]
    fn media_is_handed_over_to_where_alone_it_comes_from() {
        let mut learner = learner(Learning::Immediate, SourcePolicy::Handover);
        learner.hear(START, at(2, 5), false);
        let came =
            (1..).take_while(|n| learner.hear(after(20 * n), at(3, 5), false) != Source::News).count() as u64 + 1;
        assert_eq!(learner.remote(), Some(at(3, 5)));
        let silence = HANDOVER_SILENCE.as_millis() as u64;
        assert_eq!(came, silence.div_ceil(20).max(HANDOVER_PACKETS.into()));
    }

    #[test]
    fn one_packet_after_a_long_silence_hands_over_nothing() {
        let mut learner = learner(Learning::Immediate, SourcePolicy::Handover);
        learner.hear(START, at(2, 5), false);
        for n in 1..u64::from(HANDOVER_PACKETS) {
            learner.hear(after(60_000 + n), at(3, 5), false);
            assert_eq!(learner.remote(), Some(at(2, 5)), "packet {n}");
        }
        assert_eq!(learner.hear(after(70_000), at(3, 5), false), Source::News);
    }

    #[test]
    fn an_authentic_packet_hands_over_at_once() {
        let mut learner = learner(Learning::Immediate, SourcePolicy::Handover);
        learner.hear(START, at(2, 5), true);
        assert_eq!(learner.hear(after(1), at(3, 5), true), Source::News);
        assert_eq!(learner.remote(), Some(at(3, 5)));
    }

    #[test]
    fn another_signalled_address_begins_anew_and_the_same_one_does_not() {
        let mut before = learner(Learning::Immediate, SourcePolicy::Any);
        before.hear(START, at(2, 5), false);
        let same = learner(Learning::Immediate, SourcePolicy::Strict).following(&before);
        assert!(same.refuses(at(3, 5)) && same.remote() == Some(at(2, 5)), "with the new rules");
        let other = Learner::new(Learning::Immediate, SourcePolicy::Any, Some(at(7, 7))).following(&before);
        assert_eq!((other.remote(), other.is_settled()), (Some(at(7, 7)), false));
    }
}
