//! What proxies asked for, counted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::Histogram;
use raceway_ng::{Proxy, Verb};

/// Proxies that are counted one by one; further ones are counted together, as `0.0.0.0`.
const PROXIES_MAX: usize = 64;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Refused.
    Error,
    /// Too much to do.
    LoadLimit,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Error, Self::LoadLimit];

    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::LoadLimit => "load_limit",
        }
    }
}

/// Why a message got no answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its source is not in `[ng] allow`.
    NotAllowed,
    /// It has no cookie, so that nobody could tell what an answer is to.
    NoCookie,
    /// The same is being carried out.
    InProgress,
    /// Too many are being carried out.
    Busy,
    /// A stream on which no further message can be found.
    BrokenStream,
}

impl Dropped {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::NotAllowed, Self::NoCookie, Self::InProgress, Self::Busy, Self::BrokenStream];

    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::NoCookie => "no_cookie",
            Self::InProgress => "in_progress",
            Self::Busy => "busy",
            Self::BrokenStream => "broken_stream",
        }
    }
}

/// All counts.
#[derive(Debug)]
pub struct Counters {
    commands: [[AtomicU64; Outcome::ALL.len()]; Verb::ALL.len()],
    dropped: [AtomicU64; Dropped::ALL.len()],
    repeated: AtomicU64,
    proxies: Mutex<BTreeMap<IpAddr, [u64; Verb::ALL.len() + 1]>>,
    latency: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            commands: Default::default(),
            dropped: Default::default(),
            repeated: AtomicU64::default(),
            proxies: Mutex::default(),
            latency: crate::metrics::ng_latency(),
        }
    }
}

impl Counters {
    /// A command was answered.
    pub fn count(&self, source: IpAddr, verb: Verb, outcome: Outcome) {
        self.commands[verb.index()][outcome as usize].fetch_add(1, Ordering::Relaxed);
        let mut proxies = self.proxies.lock().expect("nobody panics with it");
        let known = proxies.len() < PROXIES_MAX || proxies.contains_key(&source);
        let source = if known { source } else { Ipv4Addr::UNSPECIFIED.into() };
        let counts = proxies.entry(source).or_insert([0; Verb::ALL.len() + 1]);
        counts[verb.index()] += 1;
        counts[Verb::ALL.len()] += u64::from(outcome == Outcome::Error);
    }

    /// A message was let go.
    pub fn count_dropped(&self, why: Dropped) {
        self.dropped[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A message came again and got the answer that it had.
    pub fn count_repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    /// How long commands took.
    #[must_use]
    pub const fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Commands answered.
    #[must_use]
    pub fn commands(&self, verb: Verb, outcome: Outcome) -> u64 {
        self.commands[verb.index()][outcome as usize].load(Ordering::Relaxed)
    }

    /// Messages let go.
    #[must_use]
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }

    /// Messages that came again.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// By proxy, as the command `statistics` tells.
    #[must_use]
    pub fn proxies(&self) -> Vec<Proxy> {
        let proxies = self.proxies.lock().expect("nobody panics with it");
        let proxy = |(address, counts): (&IpAddr, &[u64; Verb::ALL.len() + 1])| {
            let mut commands = [0; Verb::ALL.len()];
            commands.copy_from_slice(&counts[..Verb::ALL.len()]);
            Proxy { address: *address, commands, errors: counts[Verb::ALL.len()] }
        };
        proxies.iter().map(proxy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_so_many_and_no_more() {
        let counters = Counters::default();
        for n in 0..1000_u32 {
            counters.count(Ipv4Addr::from(0x0a00_0000 + n).into(), Verb::Ping, Outcome::Ok);
        }
        counters.count(Ipv4Addr::from(0x0a00_0000).into(), Verb::Offer, Outcome::Error);
        let proxies = counters.proxies();
        assert_eq!(proxies.len(), PROXIES_MAX + 1);
        let together = &proxies[0];
        assert_eq!((together.address.is_unspecified(), together.commands[Verb::Ping.index()]), (true, 936));
        assert_eq!((proxies[1].commands[Verb::Offer.index()], proxies[1].errors), (1, 1));
        assert_eq!(counters.commands(Verb::Ping, Outcome::Ok), 1000);
    }
}
