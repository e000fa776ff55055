//! Whether the generator did what it was asked to, so that its figures are of the other side and not its own.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Spread;

/// What kept the generator from sending in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A worker's core had no time left.
    Core,
    /// The socket did not take what was given to it.
    Socket,
    /// There was time, and the socket took all, but the worker was not woken when it was due.
    Schedule,
}

/// How the generator fared, as it measured itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// From due time to sending, of all packets.
    pub lateness: Spread,
    /// Packets that fell due.
    pub due: u64,
    /// Packets that the socket took.
    pub taken: u64,
    /// Packets that the socket refused.
    pub refused: u64,
    /// Share of its time that the busiest worker was not waiting, 0 to 1.
    pub busy: f64,
    /// 99th percentile of lateness that is still in time.
    pub allowed: Duration,
}

/// A verdict on the generator itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// The figures are of the other side.
    pub valid: bool,
    /// What the generator ran into.
    pub limit: Option<Limit>,
    /// The same for people: empty if valid.
    pub why: String,
    /// From due time to sending.
    pub lateness: Spread,
    /// Share of its time that the busiest worker was not waiting, 0 to 1.
    pub busy: f64,
}

/// A worker that waits for less than this share of its time has none to spare.
const BUSY: f64 = 0.95;

impl Validity {
    /// Judges a run. Without a packet sent it is valid: a sink sends nothing.
    #[must_use]
    pub fn judge(effort: &Effort) -> Self {
        let Effort { lateness, due, taken, refused, busy, allowed } = *effort;
        let late = lateness.p99_ms > allowed.as_secs_f64() * 1e3;
        let unsent = due.saturating_sub(taken + refused);
        let limit = if refused != 0 {
            Some(Limit::Socket)
        } else if late || unsent != 0 {
            Some(if busy >= BUSY { Limit::Core } else { Limit::Schedule })
        } else {
            None
        };
        let why = limit.map_or_else(String::new, |limit| why(limit, effort, unsent));
        Self { valid: limit.is_none(), limit, why, lateness, busy }
    }
}

fn why(limit: Limit, effort: &Effort, unsent: u64) -> String {
    let late =
        format!("p99 of lateness {:.3} ms, allowed {:.3}", effort.lateness.p99_ms, effort.allowed.as_secs_f64() * 1e3);
    let busy = effort.busy * 100.0;
    match limit {
        Limit::Socket => {
            format!("the socket refused {} of {} packets: ask for less, or more workers", effort.refused, effort.due)
        }
        Limit::Core if unsent != 0 => {
            format!("{unsent} of {} packets unsent, a core was {busy:.0} % busy: ask for less", effort.due)
        }
        Limit::Core => format!("{late}, a core was {busy:.0} % busy: ask for less, or more cores"),
        Limit::Schedule if unsent != 0 => {
            format!("{unsent} of {} packets unsent with cores {busy:.0} % busy: {late}", effort.due)
        }
        Limit::Schedule => format!("{late}, though no core was over {busy:.0} % busy: something else took the cores"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: Effort = Effort {
        lateness: Spread {
            count: 1000,
            min_ms: 0.0,
            mean_ms: 0.0,
            p50_ms: 0.0,
            p90_ms: 0.0,
            p99_ms: 0.9,
            p99_9_ms: 0.0,
            p99_99_ms: 0.0,
            max_ms: 9.0,
        },
        due: 1000,
        taken: 1000,
        refused: 0,
        busy: 0.5,
        allowed: Duration::from_millis(1),
    };

    fn limit(effort: Effort) -> Option<Limit> {
        let validity = Validity::judge(&effort);
        assert_eq!((validity.valid, validity.why.is_empty()), (validity.limit.is_none(), validity.limit.is_none()));
        validity.limit
    }

    #[test]
    fn a_run_in_time_is_valid_however_busy() {
        assert_eq!(limit(EFFORT), None);
        assert_eq!(limit(Effort { busy: 1.0, ..EFFORT }), None);
    }

    #[test]
    fn the_limit_that_was_hit_is_named() {
        let late = Effort { lateness: Spread { p99_ms: 1.1, ..EFFORT.lateness }, ..EFFORT };
        assert_eq!(limit(late), Some(Limit::Schedule));
        assert_eq!(limit(Effort { busy: 0.97, ..late }), Some(Limit::Core));
        assert_eq!(limit(Effort { refused: 1, taken: 999, ..EFFORT }), Some(Limit::Socket));
        assert_eq!(limit(Effort { taken: 900, ..EFFORT }), Some(Limit::Schedule));
        assert_eq!(limit(Effort { taken: 900, busy: 1.0, ..EFFORT }), Some(Limit::Core));
    }

    #[test]
    fn who_sends_nothing_is_valid() {
        assert_eq!(limit(Effort { lateness: Spread::default(), due: 0, taken: 0, ..EFFORT }), None);
    }
}
