//! Calls, as a report has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CurvePoint, Spread};
use crate::call::{Figures, Stage};

/// Calls through a relay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallSummary {
    /// Calls that were offered.
    pub offered: u64,
    /// Calls that were answered too.
    pub answered: u64,
    /// Calls that were deleted.
    pub deleted: u64,
    /// Calls set up a second, each by an offer and an answer: from when the first one was due to when the last one was
    /// answered.
    pub set_up_per_s: f64,
    /// Commands that were sent again because no answer came.
    pub repeated: u64,
    /// What did not succeed, by command and what the relay said, or did not say.
    pub failures: BTreeMap<String, u64>,
    /// From when a call was due to the answer of its `answer`.
    pub set_up: Spread,
    /// From `offer` to its answer.
    pub offer: Spread,
    /// From `answer` to its answer.
    pub answer: Spread,
    /// From `delete` to its answer.
    pub delete: Spread,
    /// Time of setting up at shares of calls that come ever closer to all.
    pub set_up_curve: Vec<CurvePoint>,
    /// RTP packets that the relay counted, of calls that were deleted; nothing if it does not say.
    pub relay_packets: Option<u64>,
    /// Of these, those that went no further.
    pub relay_errors: u64,
}

impl CallSummary {
    /// What was counted.
    #[must_use]
    pub fn of(figures: &Figures) -> Self {
        let took = |stage: Stage| Spread::of_us(&figures.took_us[stage as usize]);
        let curve = figures.set_up_us.iter_quantiles(5).map(|step| CurvePoint {
            share: step.quantile_iterated_to(),
            delay_ms: step.value_iterated_to() as f64 / 1e3,
        });
        Self {
            offered: figures.offered,
            answered: figures.answered,
            deleted: figures.deleted,
            set_up_per_s: figures.pairs_per_s(),
            repeated: figures.repeated,
            failures: figures.failures.clone(),
            set_up: Spread::of_us(&figures.set_up_us),
            offer: took(Stage::Offer),
            answer: took(Stage::Answer),
            delete: took(Stage::Delete),
            set_up_curve: if figures.set_up_us.is_empty() { Vec::new() } else { curve.collect() },
            relay_packets: figures.relay_packets,
            relay_errors: figures.relay_errors,
        }
    }
}
