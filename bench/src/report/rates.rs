//! What was found about rates and costs, by what was measured how.

use std::collections::BTreeMap;

use super::table::median;
use crate::record::{Outcome, Record};
use crate::scenario::rate::FLOWS;
use crate::stand::frames::Load;
use crate::stand::topology::{Arms, Direction};
use crate::stand::trial::Trial;
use crate::subject::Subject;

/// What a measurement is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What relayed.
    pub subject: Subject,
    /// Arguments beyond the usual ones.
    pub variant: String,
    /// Which way.
    pub direction: Direction,
    /// Over which links.
    pub arms: Arms,
    /// What was sent.
    pub load: Load,
}

impl Key {
    /// A subject as it usually is, with the usual calls towards peers.
    #[must_use]
    pub fn usual(subject: Subject) -> Self {
        let variant = String::new();
        Self { subject, variant, direction: Direction::ToPeer, arms: Arms::One, load: Load::calls(FLOWS) }
    }

    /// As in tables.
    #[must_use]
    pub fn title(&self) -> String {
        let arms = if self.arms == Arms::Two { ", to another link" } else { "" };
        let variant = if self.variant.is_empty() { String::new() } else { format!(", `{}`", self.variant) };
        format!("{}{arms}{variant}", self.subject.title())
    }
}

/// CPU time of a packet by kind, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// In user space.
    pub user: f64,
    /// In system calls.
    pub system: f64,
    /// In soft interrupts, which run on NAPI threads here.
    pub soft: f64,
}

impl Split {
    /// With their names.
    #[must_use]
    pub const fn parts(self) -> [(&'static str, f64); 3] {
        [("user", self.user), ("system", self.system), ("soft interrupt", self.soft)]
    }

    /// All of it.
    #[must_use]
    pub fn together(self) -> f64 {
        self.user + self.system + self.soft
    }
}

/// What the rounds of one measurement came to.
#[derive(Default)]
pub struct Found {
    loss_free: Vec<Trial>,
    flat_out: Vec<Trial>,
    common: Vec<Trial>,
    program_ns: Vec<f64>,
    /// The generator was the limit.
    pub limited: bool,
}

fn over(trials: &[Trial], figure: impl Fn(&Trial) -> f64) -> Option<f64> {
    median(&trials.iter().map(figure).collect::<Vec<_>>())
}

impl Found {
    /// Packets a second without loss.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        over(&self.loss_free, |trial| trial.received_pps)
    }

    /// Packets a second of a core with as much to do as it can: flat out in XDP, else at the rate without loss.
    #[must_use]
    pub fn most(&self) -> Option<f64> {
        over(self.busy(), |trial| trial.received_pps)
    }

    /// CPU time of a packet of that core, nanoseconds.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        over(self.busy(), Trial::threads_ns_per_packet)
    }

    /// The same by kind.
    #[must_use]
    pub fn split(&self) -> Option<Split> {
        let each = |figure: fn(&Trial) -> u64| over(self.busy(), |t| figure(t) as f64 / t.received.max(1) as f64);
        Some(Split {
            user: each(|t| t.cost.user_ns)?,
            system: each(|t| t.cost.system_ns)?,
            soft: each(|t| t.cost.soft_ns)?,
        })
    }

    /// CPU time of a packet at the rate that all are measured at, nanoseconds.
    #[must_use]
    pub fn common_cost(&self) -> Option<f64> {
        over(&self.common, Trial::threads_ns_per_packet)
    }

    /// Delay at that rate at a percentile, link included, microseconds.
    #[must_use]
    pub fn common_delay(&self, quantile: f64) -> Option<f64> {
        over(&self.common, |trial| trial.delays.at(quantile).unwrap_or(0) as f64 / 1e3)
    }

    /// Time of a packet inside the XDP program, nanoseconds.
    #[must_use]
    pub fn program_ns(&self) -> Option<f64> {
        median(&self.program_ns)
    }

    /// Rounds.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.common.len()
    }

    fn busy(&self) -> &[Trial] {
        if self.flat_out.is_empty() { &self.loss_free } else { &self.flat_out }
    }
}

/// All of them.
#[derive(Default)]
pub struct Rates {
    by_key: BTreeMap<Key, Found>,
    foreign: Vec<f64>,
    stolen: Vec<f64>,
}

impl Rates {
    /// Out of the records of a run.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut rates = Self::default();
        for record in records {
            let Outcome::Forwarding { subject, variant, direction, arms, load, .. } = &record.outcome else { continue };
            let variant = variant.clone();
            let key = Key { subject: *subject, variant, direction: *direction, arms: *arms, load: *load };
            rates.add(key, &record.outcome);
        }
        rates
    }

    fn add(&mut self, key: Key, outcome: &Outcome) {
        let Outcome::Forwarding { loss_free, limited, flat_out, common, program, .. } = outcome else { return };
        let found = self.by_key.entry(key).or_default();
        found.loss_free.extend(loss_free.as_deref().cloned());
        found.flat_out.extend(flat_out.as_deref().cloned());
        found.common.push((**common).clone());
        found.program_ns.extend(program.map(|program| program.each()));
        found.limited |= limited;
        for trial in [Some(common), loss_free.as_ref()].into_iter().flatten() {
            self.foreign.push(trial.cost.foreign());
            self.stolen.push(trial.cost.stolen());
        }
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<&Found> {
        self.by_key.get(key)
    }

    /// Those of a kind, in order.
    pub fn all(&self, wanted: impl Fn(&Key) -> bool) -> impl Iterator<Item = (&Key, &Found)> {
        self.by_key.iter().filter(move |(key, _)| wanted(key))
    }

    /// Share of the relay's core that others took (median of trials).
    #[must_use]
    pub fn foreign(&self) -> Option<f64> {
        median(&self.foreign)
    }

    /// Share of the time that the hypervisor had a core away (mean of trials).
    #[must_use]
    pub fn stolen(&self) -> Option<f64> {
        (!self.stolen.is_empty()).then(|| self.stolen.iter().sum::<f64>() / self.stolen.len() as f64)
    }
}
