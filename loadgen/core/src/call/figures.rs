//! What is counted of calls.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use raceway_units::Instant;

use crate::limits::REASONS_MAX;

/// A command of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The caller's description.
    Offer,
    /// The callee's.
    Answer,
    /// The end of the call.
    Delete,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Offer, Self::Answer, Self::Delete];

    /// As the relay knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
        }
    }

    pub(super) const fn letter(self) -> char {
        match self {
            Self::Offer => 'o',
            Self::Answer => 'a',
            Self::Delete => 'd',
        }
    }

    pub(super) fn of_letter(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| text.len() == 1 && text.starts_with(stage.letter()))
    }
}

/// Longest time of a command that is told apart, microseconds.
const TOOK_MAX_US: u64 = 60_000_000;

/// What became of calls.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Calls that were offered.
    pub offered: u64,
    /// Calls that were answered too.
    pub answered: u64,
    /// Calls that were deleted.
    pub deleted: u64,
    /// Commands that were sent again because no answer came.
    pub repeated: u64,
    /// Datagrams that answered nothing.
    pub unexpected: u64,
    /// What did not succeed, by command and reason.
    pub failures: BTreeMap<String, u64>,
    /// Time of each command, by [`Stage`], microseconds: from when it was first sent to its answer.
    pub took_us: [Histogram<u64>; 3],
    /// Time of setting up a call, microseconds: from when it was due to the answer of `answer`.
    pub set_up_us: Histogram<u64>,
    /// RTP packets that the relay counted, of calls that were deleted.
    pub relay_packets: Option<u64>,
    /// Of these, those that went no further.
    pub relay_errors: u64,
    /// When the first call was due.
    pub first: Option<Instant>,
    /// When the last call was answered.
    pub last: Option<Instant>,
}

impl Default for Figures {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, TOOK_MAX_US, 3).expect("the bounds are constant and apart");
        Self {
            offered: 0,
            answered: 0,
            deleted: 0,
            repeated: 0,
            unexpected: 0,
            failures: BTreeMap::new(),
            took_us: [histogram(), histogram(), histogram()],
            set_up_us: histogram(),
            relay_packets: None,
            relay_errors: 0,
            first: None,
            last: None,
        }
    }
}

impl Figures {
    /// Calls set up a second, from when the first one was due to when the last one was answered.
    #[must_use]
    pub fn pairs_per_s(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        let seconds = last.since(first).as_secs_f64();
        if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 }
    }

    /// A command did not succeed. Reasons beyond [`REASONS_MAX`] are counted together: who answers could invent any number.
    pub(super) fn fail(&mut self, stage: Stage, reason: &str) {
        let name = format!("{}: {reason}", stage.name());
        let known = self.failures.len() < REASONS_MAX || self.failures.contains_key(&name);
        *self.failures.entry(if known { name } else { "others".to_owned() }).or_default() += 1;
    }

    pub(super) fn counted(&mut self, counted: Option<(u64, u64)>) {
        if let Some((packets, errors)) = counted {
            *self.relay_packets.get_or_insert(0) += packets;
            self.relay_errors += errors;
        }
    }
}
