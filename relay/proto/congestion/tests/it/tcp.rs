//! TCP as a competitor: slow start, congestion avoidance and halving by loss (RFC 5681), with selective acknowledgement.

use std::collections::BTreeMap;
use std::time::Duration;

use raceway_units::{Instant, Random};

use crate::world::{Packet, at_ms};

pub const SEGMENT: usize = 1000;
pub const ACKNOWLEDGEMENT: usize = 40;
/// Segments acknowledged after one that was not, until it is lost.
const REORDER: u64 = 3;
const TIMEOUT: Duration = Duration::from_secs(1);
/// Segments of the receiver's window.
const WINDOW_MAX: f64 = 1000.0;

/// What is sent: a stream without end, or files with pauses between (RFC 8867 section 5.7).
pub enum Load {
    Endless,
    Files { left: u64, random: Random },
}

pub struct Tcp {
    pub number: usize,
    from_ms: u64,
    /// When it ends.
    to_ms: u64,
    load: Load,
    window: f64,
    threshold: f64,
    next: u64,
    /// Not acknowledged, and when it was sent.
    flying: BTreeMap<u64, Instant>,
    /// Losses of segments before this one are of a window that was halved for it.
    recovered: u64,
    lost: u64,
    heard: Instant,
    octets: BTreeMap<u64, u64>,
}

impl Tcp {
    pub fn new(number: usize, from_ms: u64, load: Load) -> Self {
        Self {
            number,
            from_ms,
            to_ms: u64::MAX,
            load,
            window: 10.0,
            threshold: f64::MAX,
            next: 0,
            flying: BTreeMap::new(),
            recovered: 0,
            lost: 0,
            heard: at_ms(from_ms),
            octets: BTreeMap::new(),
        }
    }

    /// Files of 30 KB to 50 KB, with pauses of 10 s in the mean; the first two flows begin with a file, the others with a
    /// pause. They end all together.
    pub fn files(number: usize, to_ms: u64) -> Self {
        let mut random = Random::of(23, number as u64);
        let pause = if number < 2 { 0 } else { exponential_ms(&mut random) };
        let left = file(&mut random);
        Self { to_ms, ..Self::new(number, pause, Load::Files { left, random }) }
    }

    pub fn send(&mut self, now_ms: u64, mut out: impl FnMut(Packet)) {
        if now_ms < self.from_ms || now_ms >= self.to_ms {
            return;
        }
        let now = at_ms(now_ms);
        if !self.flying.is_empty() && now.since(self.heard) > TIMEOUT {
            (self.threshold, self.window) = ((self.window / 2.0).max(2.0), 1.0);
            self.lost += self.flying.len() as u64;
            self.flying.clear();
            (self.recovered, self.heard) = (self.next, now);
        }
        while (self.flying.len() as f64) < self.window.floor() && self.take() {
            self.flying.insert(self.next, now);
            out(Packet::Segment { flow: self.number, number: self.next });
            self.next += 1;
        }
        if let Load::Files { left: 0, random } = &mut self.load
            && self.flying.is_empty()
            && self.lost == 0
        {
            let (from_ms, left) = (now_ms + exponential_ms(random), file(random));
            let load = Load::Files { left, random: random.clone() };
            let octets = std::mem::take(&mut self.octets);
            *self = Self {
                octets,
                to_ms: self.to_ms,
                next: self.next,
                recovered: self.next,
                ..Self::new(self.number, from_ms, load)
            };
        }
    }

    /// Whether there is a segment to send: one that was lost, or another one.
    fn take(&mut self) -> bool {
        if self.lost > 0 {
            self.lost -= 1;
            return true;
        }
        match &mut self.load {
            Load::Endless => true,
            Load::Files { left, .. } => {
                let some = *left > 0;
                *left = left.saturating_sub(1);
                some
            }
        }
    }

    /// An acknowledgement of this segment arrived.
    pub fn hear(&mut self, number: u64, at: Instant) {
        self.heard = at;
        if self.flying.remove(&number).is_none() {
            return;
        }
        *self.octets.entry(at.as_ns() / 1_000_000_000).or_default() += SEGMENT as u64;
        let grows = if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        self.window = (self.window + grows).min(WINDOW_MAX);
        let lost: Vec<_> = self.flying.range(..number.saturating_sub(REORDER)).map(|(number, _)| *number).collect();
        for number in lost {
            self.flying.remove(&number);
            self.lost += 1;
            if number >= self.recovered {
                self.threshold = (self.window / 2.0).max(2.0);
                (self.window, self.recovered) = (self.threshold, self.next);
            }
        }
    }

    /// Kbit/s between two seconds.
    pub fn rate(&self, from_s: u64, to_s: u64) -> u64 {
        self.octets.range(from_s..to_s).map(|(_, octets)| octets * 8).sum::<u64>() / (to_s - from_s) / 1000
    }
}

fn file(random: &mut Random) -> u64 {
    (30_000 + random.below(20_000)) / SEGMENT as u64
}

fn exponential_ms(random: &mut Random) -> u64 {
    (-10_000.0 * (1.0 - random.fraction()).ln()) as u64
}
