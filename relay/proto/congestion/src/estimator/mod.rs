//! The sending side: how much the path to a subscriber takes.

mod aimd;
mod groups;
mod history;
mod loss;
mod probe;
mod receiver;
mod throughput;
mod trendline;

use core::time::Duration;

use raceway_units::Instant;

use self::aimd::Aimd;
use self::history::{Fate, History};
use self::loss::LossControl;
use self::probe::Prober;
use self::receiver::Receiver;
use self::throughput::Throughput;
use crate::BitRate;
use crate::transport_wide::Feedback;

/// The round trip until one was measured.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// The longest that is believed.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);
/// How long packets go out without feedback until the target is halved, and again.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a REMB holds.
const REMB_LIFETIME: Duration = Duration::from_secs(5);
/// After a pause so long nothing is known of the path any more: it begins anew.
const STALE: Duration = Duration::from_secs(10);
/// Below this share of the target the application is limited, above the other it is not any more.
const LIMITED: (f64, f64) = (0.70, 0.85);
/// What arrived lately is measured over this time when the path turns out to be full: before, it was not.
const RECENT: Duration = Duration::from_millis(250);

/// Between what an estimate lies, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Least.
    pub min: BitRate,
    /// At first.
    pub start: BitRate,
    /// Most.
    pub max: BitRate,
}

/// What delay says of the path (GCC section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Delay does not change.
    Normal,
    /// A queue grows.
    Over,
    /// A queue drains.
    Under,
}

/// Which probe a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeId(core::num::NonZeroU8);

impl ProbeId {
    const fn from_octet(octet: u8) -> Option<Self> {
        match core::num::NonZeroU8::new(octet) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    const fn to_octet(self) -> u8 {
        self.0.get()
    }
}

/// Packets to send at a higher rate for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What to tell [`Estimator::sent`].
    pub id: ProbeId,
    /// At which rate.
    pub rate: BitRate,
    /// How many octets at least.
    pub octets: u64,
    /// How many packets at least.
    pub packets: u32,
}

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// How much to send: the least of what follows, within the bounds.
    pub target: BitRate,
    /// What delay allows.
    pub delay_based: BitRate,
    /// What loss allows, if there is loss.
    pub loss_based: Option<BitRate>,
    /// What the receiver asks for by REMB.
    pub remb: Option<BitRate>,
    /// What has arrived lately.
    pub acknowledged: Option<BitRate>,
    /// What delay says.
    pub usage: Usage,
    /// From sending to feedback, as it is at its shortest in each message, smoothed.
    pub round_trip: Duration,
    /// Share that was lost lately, 0 to 1.
    pub loss: f64,
    /// Less than the target is sent.
    pub limited: bool,
}

/// How much the path to a subscriber takes: delay based and loss based (GCC), with probes.
///
/// About 18 KiB. A packet is told of in constant time, a message in time proportional to the packets it speaks of.
#[derive(Debug)]
pub struct Estimator {
    bounds: Bounds,
    history: History,
    sent: Throughput,
    receiver: Receiver,
    aimd: Aimd,
    loss: LossControl,
    prober: Prober,
    round_trip: Option<Duration>,
    remb: Option<(BitRate, Instant)>,
    limited: bool,
    /// When the last packet went.
    sent_at: Option<Instant>,
    /// When feedback came, or when the target was lowered for lack of it.
    heard_at: Instant,
    /// A packet was sent since.
    unheard: bool,
    /// Transport-wide feedback has come.
    measured: bool,
}

impl Estimator {
    /// An estimate of a path on which nothing was sent yet. Bounds that contradict each other are made to agree with the
    /// least one.
    #[must_use]
    pub fn new(bounds: Bounds, now: Instant) -> Self {
        let max = bounds.max.max(bounds.min);
        let bounds = Bounds { min: bounds.min, start: bounds.start.clamp(bounds.min, max), max };
        Self {
            bounds,
            history: History::new(),
            sent: Throughput::new(),
            receiver: Receiver::new(),
            aimd: Aimd::new(bounds, now),
            loss: LossControl::new(now),
            prober: Prober::new(bounds, now),
            round_trip: None,
            remb: None,
            limited: true,
            sent_at: None,
            heard_at: now,
            unheard: false,
            measured: false,
        }
    }

    /// A packet goes out, so many octets of UDP payload. Gives the transport-wide number to write into it.
    pub fn sent(&mut self, octets: usize, probe: Option<ProbeId>, now: Instant) -> u16 {
        let octets = u16::try_from(octets).unwrap_or(u16::MAX);
        if self.sent_at.replace(now).is_some_and(|before| now.since(before) >= STALE) {
            self.begin_anew(now);
        }
        self.sent.push(now.as_ns(), now.as_ns(), octets);
        if !self.unheard {
            (self.unheard, self.heard_at) = (true, now);
        }
        self.history.push(now, octets, probe)
    }

    /// What could be used at most: nothing beyond is probed for.
    pub fn handle_wanted(&mut self, wanted: BitRate) {
        self.prober.handle_wanted(wanted);
    }

    /// What the receiver says arrived.
    ///
    /// A packet counts once, when it is first said to have arrived, whatever is said again; one that was not sent, or long
    /// ago, does not.
    pub fn handle_feedback(&mut self, feedback: &Feedback<'_>, now: Instant) {
        let (mut expected, mut lost, mut shortest) = (0_u32, 0_u32, None::<Duration>);
        for (number, arrival) in feedback.packets() {
            let Some(packet) = self.history.find(number) else { continue };
            let Some(arrival) = arrival else {
                if packet.fate == Fate::InFlight {
                    packet.fate = Fate::Missing;
                    (expected, lost) = (expected + 1, lost + 1);
                }
                continue;
            };
            if packet.fate == Fate::Arrived {
                continue;
            }
            expected += u32::from(packet.fate == Fate::InFlight);
            packet.fate = Fate::Arrived;
            let sent = packet.sent_ns(now);
            let (octets, probe) = (packet.octets, packet.probe());
            let arrival = self.receiver.push(sent, arrival, octets, now);
            if let Some(id) = probe {
                self.prober.push(id, sent.cast_signed(), arrival, octets);
            }
            let round_trip = Duration::from_nanos(now.as_ns().saturating_sub(sent));
            shortest = Some(shortest.map_or(round_trip, |shortest| shortest.min(round_trip)));
        }
        let Some(shortest) = shortest.or((lost > 0).then_some(Duration::MAX)) else { return };
        (self.heard_at, self.unheard, self.measured) = (now, false, true);
        if shortest <= ROUND_TRIP_MAX {
            self.round_trip = Some(self.round_trip.map_or(shortest, |smoothed| (smoothed * 7 + shortest) / 8));
        }
        self.loss.count(expected, lost, now);
        self.update(now);
    }

    /// A receiver report (RFC 3550 section 6.4.1): share lost, in 256ths, and the round trip if it can be told. For
    /// receivers that give no transport-wide feedback; of others it says nothing new.
    pub fn handle_report(&mut self, fraction_lost: u8, round_trip: Option<Duration>, now: Instant) {
        if self.measured {
            return;
        }
        self.round_trip = round_trip.filter(|time| *time <= ROUND_TRIP_MAX).or(self.round_trip);
        self.loss.set_share(f64::from(fraction_lost) / 256.0, now);
        self.loss.update(self.target(now), self.aimd.target(), self.round_trip(), now);
    }

    /// What the receiver asks for by REMB: a limit for five seconds, and the estimate itself where nothing else is told.
    pub fn handle_remb(&mut self, rate: BitRate, now: Instant) {
        self.remb = Some((rate, now));
        if !self.measured {
            self.aimd.set(rate, now);
        }
    }

    /// Something is due: feedback that came and does not come any more halves the target.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.measured && self.unheard && now.since(self.heard_at) >= FEEDBACK_TIMEOUT {
            self.heard_at = now;
            self.aimd.set(self.aimd.target().times(0.5), now);
        }
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_probe`].
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let probe = self.prober.poll_timeout();
        if self.measured && self.unheard { probe.min(self.heard_at.after(FEEDBACK_TIMEOUT)) } else { probe }
    }

    /// A probe to send now.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        self.sent.advance(now.as_ns());
        self.update_limited(now);
        let troubled = self.loss.decreased_at().max(self.aimd.decreased_at()).max(self.receiver.over_used_at);
        self.prober.poll(self.target(now), self.limited, troubled, now)
    }

    /// What is known of the path.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Estimate {
        Estimate {
            target: self.target(now),
            delay_based: self.aimd.target(),
            loss_based: self.loss.cap(),
            remb: self.remb(now),
            acknowledged: self.receiver.arrived.rate(),
            usage: self.receiver.usage(),
            round_trip: self.round_trip(),
            loss: self.loss.share(),
            limited: self.limited,
        }
    }

    fn begin_anew(&mut self, now: Instant) {
        self.aimd.set(self.aimd.target().min(self.bounds.start), now);
        self.prober.begin_anew();
    }

    fn target(&self, now: Instant) -> BitRate {
        let caps = [self.loss.cap(), self.remb(now)];
        let target = caps.into_iter().flatten().fold(self.aimd.target(), BitRate::min);
        target.clamp(self.bounds.min, self.bounds.max)
    }

    fn remb(&self, now: Instant) -> Option<BitRate> {
        self.remb.filter(|(_, at)| now.since(*at) < REMB_LIFETIME).map(|(rate, _)| rate)
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(ROUND_TRIP)
    }

    /// After a message: rate control, probes, loss.
    fn update(&mut self, now: Instant) {
        let (usage, round_trip) = (self.receiver.usage(), self.round_trip());
        let arrived = &self.receiver.arrived;
        let acknowledged = if usage == Usage::Over { arrived.over(RECENT) } else { arrived.rate() };
        if usage == Usage::Over {
            self.receiver.over_used_at = Some(now);
        }
        self.aimd.update(usage, acknowledged, round_trip, now);
        if let Some(found) = self.prober.poll_result(self.target(now))
            && usage != Usage::Over
        {
            self.loss.lift(found);
            self.aimd.set(found.max(self.aimd.target()), now);
        }
        let target = self.target(now);
        self.loss.update(target, self.aimd.target(), round_trip, now);
        self.update_limited(now);
    }

    fn update_limited(&mut self, now: Instant) {
        let sent = self.sent.rate().unwrap_or_default();
        let share = if self.limited { LIMITED.1 } else { LIMITED.0 };
        self.limited = sent < self.target(now).times(share);
    }
}

/// Nanoseconds as milliseconds.
const fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests;
