//! RTP sources as a party hears them.
//!
//! Two parties share one space of SSRCs, and resolve collisions in it by themselves (RFC 3550 section 8.2): packets pass with
//! the SSRCs that they came with. Not so where the relay alone knows better: when two legs bring one party sources of one name
//! at the same time, who know nothing of each other; and when a source begins its sequence numbers anew towards a party for
//! whom we secure packets, with a key that has used them. Then a source gets another name towards that party, in RTP and RTCP
//! alike.

use raceway_units::Instant;

use crate::forward::mix;
use crate::limits::{SOURCE_SILENCE, SOURCES_MAX};

/// What sources are called towards one party.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    known: [Source; SOURCES_MAX],
    /// The one that was heard last, and the one that makes room next.
    last: u8,
    next: u8,
    /// Any has another name than its own.
    translates: bool,
    /// Names that were made.
    made: u32,
    /// The last packet that SRTP refused since it was older than anything that may still be sent: source, sequence number.
    refused: Option<(u32, u16)>,
}

/// A source of another leg.
#[derive(Clone, Copy)]
struct Source {
    /// The leg's name; meaningless while there are fewer sources than places.
    leg: u32,
    ssrc: u32,
    /// What the party knows it as.
    called: u32,
    /// When it was heard last.
    heard_at: Instant,
    used: bool,
}

/// What a source is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// As it calls itself.
    Itself,
    /// Otherwise, for the first time or again.
    Otherwise(u32),
}

impl Sources {
    /// None yet.
    pub const NONE: Self = Self {
        known: [Source { leg: 0, ssrc: 0, called: 0, heard_at: Instant::from_ns(0), used: false }; SOURCES_MAX],
        last: 0,
        next: 0,
        translates: false,
        made: 0,
        refused: None,
    };

    /// Whether any has another name than its own.
    #[inline]
    pub const fn translates(&self) -> bool {
        self.translates
    }

    /// What an RTP source of a leg is called. One that is new gets another name if another leg has a source of its own one,
    /// and that is still heard. Names that are made are none of the party's own, which `is_own` knows.
    #[inline]
    pub fn call(&mut self, now: Instant, leg: u32, ssrc: u32, is_own: impl Fn(u32) -> bool) -> Called {
        let last = &mut self.known[usize::from(self.last)];
        if last.leg == leg && last.ssrc == ssrc && last.used {
            last.heard_at = now;
            return last.as_called();
        }
        self.call_another(now, leg, ssrc, is_own)
    }

    fn call_another(&mut self, now: Instant, leg: u32, ssrc: u32, is_own: impl Fn(u32) -> bool) -> Called {
        let at = match self.find(leg, ssrc) {
            Some(at) => at,
            None => {
                let at = usize::from(self.next);
                self.next = (self.next + 1) % SOURCES_MAX as u8;
                self.known[at].used = false;
                self.known.iter_mut().filter(|source| source.is_over(now, ssrc)).for_each(|source| source.used = false);
                let called = if self.is_taken(ssrc) { self.make(leg, ssrc, &is_own) } else { ssrc };
                self.known[at] = Source { leg, ssrc, called, heard_at: now, used: true };
                self.note();
                at
            }
        };
        self.last = at as u8;
        self.known[at].heard_at = now;
        self.known[at].as_called()
    }

    /// What a source is called that RTCP speaks of; nothing is noted.
    pub fn called(&self, leg: u32, ssrc: u32) -> u32 {
        self.find(leg, ssrc).map_or(ssrc, |at| self.known[at].called)
    }

    /// What a source of a leg calls itself that the party calls so.
    pub fn original(&self, leg: u32, called: u32) -> u32 {
        let found = self.known.iter().find(|source| source.used && source.leg == leg && source.called == called);
        found.map_or(called, |source| source.ssrc)
    }

    /// SRTP refused a packet towards the party, since its index is too old. The second such one in sequence is of a source
    /// that has begun anew (RFC 3550 appendix A.1), whose indexes the key has used: it gets another name.
    pub fn refused(&mut self, called: u32, sequence: u16, is_own: impl Fn(u32) -> bool) {
        let before = self.refused.replace((called, sequence));
        if before == Some((called, sequence.wrapping_sub(1))) {
            self.refused = None;
            if let Some(at) = self.known.iter().position(|source| source.used && source.called == called) {
                self.known[at].called = self.make(self.known[at].leg, self.known[at].ssrc, &is_own);
            }
            self.note();
        }
    }

    fn find(&self, leg: u32, ssrc: u32) -> Option<usize> {
        self.known.iter().position(|source| source.used && source.leg == leg && source.ssrc == ssrc)
    }

    fn is_taken(&self, name: u32) -> bool {
        self.known.iter().any(|source| source.used && source.called == name)
    }

    /// A name that nobody has here.
    fn make(&mut self, leg: u32, ssrc: u32, is_own: &impl Fn(u32) -> bool) -> u32 {
        loop {
            self.made = self.made.wrapping_add(1);
            let name = mix(u64::from(ssrc) << 32 | u64::from(leg.wrapping_mul(0x9e37_79b9) ^ self.made)) as u32;
            if name != ssrc && !self.is_taken(name) && !is_own(name) {
                return name;
            }
        }
    }

    fn note(&mut self) {
        self.translates = self.known.iter().any(|source| source.used && source.called != source.ssrc);
    }
}

impl Source {
    /// Whether it had a name and is not heard any more.
    fn is_over(&self, now: Instant, name: u32) -> bool {
        self.called == name && now.since(self.heard_at) >= SOURCE_SILENCE
    }

    #[inline]
    const fn as_called(&self) -> Called {
        if self.called == self.ssrc { Called::Itself } else { Called::Otherwise(self.called) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn(u32) -> bool = |_| false;
    const NOW: Instant = Instant::from_ns(1_000_000_000);

    fn otherwise(called: Called) -> u32 {
        match called {
            Called::Otherwise(name) => name,
            Called::Itself => panic!("it has its own name"),
        }
    }

    #[test]
    fn sources_keep_their_names_while_these_are_different() {
        let mut sources = Sources::NONE;
        for _ in 0..2 {
            for (leg, ssrc) in [(1, 7), (1, 8), (2, 9)] {
                assert_eq!(sources.call(NOW, leg, ssrc, NOBODY), Called::Itself);
                assert_eq!((sources.called(leg, ssrc), sources.original(leg, ssrc)), (ssrc, ssrc));
            }
        }
        assert!(!sources.translates());
    }

    #[test]
    fn of_two_of_one_name_the_later_one_gets_another_and_keeps_it() {
        let mut sources = Sources::NONE;
        assert_eq!(sources.call(NOW, 1, 7, NOBODY), Called::Itself);
        let name = otherwise(sources.call(NOW, 2, 7, NOBODY));
        assert_eq!(sources.call(NOW, 1, 7, NOBODY), Called::Itself);
        assert_eq!(sources.call(NOW, 2, 7, NOBODY), Called::Otherwise(name));
        assert_eq!((sources.called(2, 7), sources.original(2, name), sources.original(1, name)), (name, 7, name));
        assert!(sources.translates() && name != 7);
    }

    #[test]
    fn who_is_not_heard_any_more_leaves_its_name_to_others() {
        let mut sources = Sources::NONE;
        sources.call(NOW, 1, 7, NOBODY);
        assert_eq!(sources.call(NOW.after(SOURCE_SILENCE), 2, 7, NOBODY), Called::Itself);
        let name = otherwise(sources.call(NOW.after(SOURCE_SILENCE), 1, 7, NOBODY));
        assert_ne!(name, 7, "and finds it taken when it is back");
    }

    #[test]
    fn a_name_that_is_made_is_none_of_the_partys_own() {
        let name_of = |is_own: &dyn Fn(u32) -> bool| {
            let mut sources = Sources::NONE;
            sources.call(NOW, 1, 7, NOBODY);
            otherwise(sources.call(NOW, 2, 7, is_own))
        };
        let first = name_of(&NOBODY);
        assert_ne!(name_of(&|ssrc| ssrc == first), first);
    }

    #[test]
    fn a_source_that_begins_anew_is_another_one_and_one_late_packet_is_not() {
        let mut sources = Sources::NONE;
        sources.call(NOW, 1, 7, NOBODY);
        for sequence in [100, 102, 104] {
            sources.refused(7, sequence, NOBODY);
            assert!(!sources.translates(), "late ones");
        }
        sources.refused(7, u16::MAX, NOBODY);
        sources.refused(7, 0, NOBODY);
        let name = otherwise(sources.call(NOW, 1, 7, NOBODY));
        sources.refused(name, 9, NOBODY);
        sources.refused(name, 10, NOBODY);
        assert_ne!(otherwise(sources.call(NOW, 1, 7, NOBODY)), name, "and again");
    }

    #[test]
    fn more_sources_than_places_take_each_others_and_no_name_is_there_twice() {
        let mut sources = Sources::NONE;
        for round in 0..3_u32 {
            for ssrc in 0..2 * SOURCES_MAX as u32 {
                sources.call(NOW, ssrc % 3, ssrc / 3 + round, NOBODY);
                let names: Vec<u32> = sources.known.iter().filter(|s| s.used).map(|s| s.called).collect();
                let different: std::collections::BTreeSet<_> = names.iter().collect();
                assert_eq!(different.len(), names.len());
            }
        }
    }
}
