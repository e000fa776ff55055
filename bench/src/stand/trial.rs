//! One stretch of sending at one rate, and the search for the highest rate without loss.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::awake;
use super::cpu::{Cost, between, read};
use super::delay::Delays;
use super::kernel::{Attached, Generator, Seen, Sent};
use super::packets::PacketSender;
use super::topology::Topology;

/// A rate counts as free of loss up to one packet in ten thousand, and up to what arrived while the hypervisor had a core
/// away: that lasts longer than a veth ring of 256 frames, whatever the relay does.
pub const LOSS_FREE: f64 = 1e-4;
/// Share of the asked rate below which the generator, not the relay, was the limit.
const KEPT_UP: f64 = 0.97;
/// Trials at one rate before it counts as one with loss: another process of the machine may have been the reason.
pub const ATTEMPTS: u32 = 3;
/// Share of packets whose loss needs no second look: no other process of the machine does that.
const LOST_FOR_SURE: f64 = 0.15;
/// Time for what is under way to arrive.
const DRAIN: Duration = Duration::from_millis(60);

/// What sends.
pub trait Sender {
    /// Sends `rate` packets a second (zero: as fast as it goes) for a time, from `core`.
    fn send(&mut self, rate: u64, time: Duration, core: usize) -> Result<Sent>;
}

impl Sender for Generator {
    fn send(&mut self, rate: u64, time: Duration, core: usize) -> Result<Sent> {
        Self::send(self, rate, time, core)
    }
}

impl Sender for PacketSender {
    fn send(&mut self, rate: u64, time: Duration, core: usize) -> Result<Sent> {
        Self::send(self, rate, time, core)
    }
}

/// What is sent through, and how it is counted.
pub struct Stand<'a> {
    /// The network.
    pub topology: &'a Topology,
    /// Counting programs on the far ends.
    pub sinks: Vec<&'a mut Attached>,
    /// Processes of the subject.
    pub pids: Vec<i32>,
    /// NAPI threads of the relay's side.
    pub napi: &'a [i32],
}

/// What one stretch came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Packets a second asked for; zero is as fast as the generator goes.
    pub asked_pps: u64,
    /// Packets a second sent.
    pub sent_pps: f64,
    /// Packets a second that arrived.
    pub received_pps: f64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that arrived.
    pub received: u64,
    /// Share of the time that the generator was late by more than it can make good.
    pub late: f64,
    /// The longest time between two packets that arrived, nanoseconds.
    pub gap_ns: u64,
    /// From when a packet was due to when it arrived.
    pub delays: Delays,
    /// CPU time.
    pub cost: Cost,
}

impl Trial {
    /// Share of the packets that did not arrive.
    #[must_use]
    pub fn loss(&self) -> f64 {
        1.0 - (self.received as f64 / self.sent.max(1) as f64).min(1.0)
    }

    /// The same, less what came while the hypervisor had a core away.
    fn own_loss(&self) -> f64 {
        (self.loss() - self.cost.stolen()).max(0.0)
    }

    fn is_loss_free(&self) -> bool {
        self.own_loss() <= LOSS_FREE
    }

    fn kept_up(&self) -> bool {
        self.asked_pps == 0 || self.sent_pps >= self.asked_pps as f64 * KEPT_UP
    }

    /// CPU time of the relay's own threads for a packet that arrived.
    #[must_use]
    pub fn threads_ns_per_packet(&self) -> f64 {
        self.cost.threads_ns as f64 / self.received.max(1) as f64
    }

    /// CPU time of the relay's core for a packet that arrived, whoever used it.
    #[must_use]
    pub fn core_ns_per_packet(&self) -> f64 {
        self.cost.core_ns as f64 / self.received.max(1) as f64
    }
}

impl Stand<'_> {
    /// Sends at a rate for a time.
    pub fn trial(&mut self, generator: &mut dyn Sender, rate: u64, time: Duration) -> Result<Trial> {
        for _ in 0..ATTEMPTS {
            self.forget()?;
            let _awake = awake::hold();
            let before = read(self.topology.relay_core, self.topology.far_core, &self.pids, self.napi)?;
            let sent = generator.send(rate, time, self.topology.far_core)?;
            let after = read(self.topology.relay_core, self.topology.far_core, &self.pids, self.napi)?;
            std::thread::sleep(DRAIN);
            // A generator that was kept from running says nothing about anybody else.
            if sent.time * 2 > time {
                return self.account(rate, &sent, between(&before, &after));
            }
        }
        bail!("the generator does not get its core ({})", self.topology.far_core)
    }

    /// Makes all sinks begin anew.
    pub fn forget(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|sink| sink.forget())
    }

    /// What the sinks say of a stretch of sending.
    pub fn account(&self, asked_pps: u64, sent: &Sent, cost: Cost) -> Result<Trial> {
        let seen = self.sinks.iter().map(|sink| sink.seen()).collect::<Result<Vec<Seen>>>()?;
        let received = seen.iter().map(|seen| seen.packets).sum();
        let mut buckets = vec![0; 2048];
        for sink in &self.sinks {
            buckets.iter_mut().zip(sink.delays()?).for_each(|(sum, count)| *sum += count);
        }
        let seconds = sent.time.as_secs_f64();
        Ok(Trial {
            asked_pps,
            sent_pps: sent.packets as f64 / seconds,
            received_pps: received as f64 / seconds,
            sent: sent.packets,
            received,
            late: sent.late.as_secs_f64() / seconds,
            gap_ns: seen.iter().map(|seen| seen.gap_ns).max().unwrap_or(0),
            delays: Delays::of_buckets(&buckets)?,
            cost,
        })
    }

    /// The first of [`ATTEMPTS`] trials that lost nothing, or the one that lost least by its own fault.
    fn probe(&mut self, generator: &mut dyn Sender, rate: u64, time: Duration) -> Result<Trial> {
        let mut best: Option<Trial> = None;
        for _ in 0..ATTEMPTS {
            let trial = self.trial(generator, rate, time)?;
            log(&trial);
            let (loss, own_loss) = (trial.loss(), trial.own_loss());
            if best.as_ref().is_none_or(|best| trial.own_loss() < best.own_loss()) {
                best = Some(trial);
            }
            // So much lost is no accident.
            if loss <= LOSS_FREE || own_loss > LOST_FOR_SURE {
                break;
            }
        }
        best.context("no attempts")
    }

    /// The highest rate without loss that `probes` trials find, and its trial. Ends early where the generator is
    /// the limit: then `limited` says so.
    pub fn search(&mut self, generator: &mut dyn Sender, start: u64, time: Duration, probes: u32) -> Result<Found> {
        let (mut low, mut high) = (0, None);
        let mut best: Option<Trial> = None;
        let mut limited = false;
        let mut rate = start;
        for _ in 0..probes {
            let trial = self.probe(generator, rate, time)?;
            let kept_up = trial.kept_up();
            if trial.is_loss_free() && (kept_up || best.is_none()) {
                low = rate;
                best = Some(trial);
                limited = !kept_up;
            } else {
                limited |= !kept_up && trial.is_loss_free();
                high = Some(rate);
            }
            rate = match high {
                None => rate * 3 / 2,
                Some(high) if low == 0 => high * 2 / 3,
                Some(high) => (low + high) / 2,
            };
            if high.is_some_and(|high| high - low < high / 40) {
                break;
            }
        }
        Ok(Found { best, limited })
    }
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Trial of the highest rate without loss, if any rate was.
    pub best: Option<Trial>,
    /// The generator was the limit, not the relay.
    pub limited: bool,
}

fn log(trial: &Trial) {
    let cost = trial.threads_ns_per_packet();
    eprintln!(
        "    asked {:>9}  sent {:>9.0}  received {:>9.0} a second  loss {:.5}  stolen {:.3}  {cost:>6.0} ns a packet (core {:>6.0})  {:?}",
        trial.asked_pps,
        trial.sent_pps,
        trial.received_pps,
        trial.loss(),
        trial.cost.stolen(),
        trial.core_ns_per_packet(),
        trial
            .cost
            .by_thread_ns
            .iter()
            .map(|(name, ns)| format!("{name} {}", ns / trial.received.max(1)))
            .collect::<Vec<_>>(),
    );
}
