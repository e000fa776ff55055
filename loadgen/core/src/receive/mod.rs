//! One RTP stream as it arrives: loss, order, damage, jitter, delay, silence.

mod delays;
mod jitter;
mod numbers;
mod sequence;

use core::time::Duration;

use raceway_units::Instant;

pub use delays::Delays;
pub use jitter::Jitter;
pub use numbers::Numbers;
pub use sequence::{Losses, Number, Place, Sequence};

use crate::limits::RECEIVER_OCTETS;
use crate::report::Received;
use crate::rtp::RtpView;
use crate::stamp::{self, Clock, Stamp, StampError};
use crate::track::Track;

const _: () = assert!(size_of::<Receiver>() <= RECEIVER_OCTETS);

/// What a receiver of a stream knows of it beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Timestamp units a second; zero if unknown, then there is no jitter.
    pub clock_rate: u32,
    /// The clock that `now` is read from. Delays of stamps of the same one are absolute.
    pub local: Clock,
    /// The run whose packets count; that of the first stamp if not known.
    pub run: Option<u32>,
    /// A packet delayed by so much more than the fastest one comes too late to be played.
    pub playout: Duration,
    /// A silence beyond what the timestamps announce is a gap from this length.
    pub gap: Duration,
    /// Payload type of telephone events, whose timestamps say nothing of when they were sent (RFC 4733 section 2.2.1).
    pub events: Option<u8>,
    /// A forwarder may put one stream of the run in the place of another, as it does with the layers of a simulcast
    /// (RFC 7667 section 3.7). Otherwise only the first counts.
    pub switches: bool,
}

impl Settings {
    /// A playout buffer of 60 ms, gaps from 100 ms, any run, no events.
    #[must_use]
    pub const fn new(clock_rate: u32, local: Clock) -> Self {
        let (playout, gap) = (Duration::from_millis(60), Duration::from_millis(100));
        Self { clock_rate, local, run: None, playout, gap, events: None, switches: false }
    }

    /// For a stream that is known from the profile of its sender.
    #[must_use]
    pub const fn of_track(track: &Track, local: Clock) -> Self {
        Self { events: track.event_payload_type(), ..Self::new(track.clock_rate, local) }
    }
}

/// What is in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A stamp, and every octet as it was sent.
    Intact,
    /// No stamp: too short for one, or not from a generator. Counted, not timed.
    Unstamped,
    /// Octets were changed on the way. Counted, not timed.
    Corrupted,
    /// Of another run, stream (unless that may change) or clock than what came before. Not counted as received.
    Foreign,
}

/// What the arrival of a stamped packet says of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From when the packet was due to its arrival; where clocks differ, above the smallest so far.
    pub delay_ns: u64,
    /// How much the delay differs from that of the packet before, if that arrived too (RFC 5481 section 4.1, IPDV).
    pub variation_ns: Option<u64>,
    /// Too late to be played.
    pub late: bool,
    /// Before it was due: clocks that are said to be synchronised are not.
    pub before_due: bool,
}

/// What a packet's arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What was in it.
    pub content: Content,
    /// Where it belongs; `Stray` for a foreign one.
    pub place: Place,
    /// Octets of RTP.
    pub octets: u32,
    /// Of a packet that is intact and not a duplicate.
    pub timing: Option<Timing>,
    /// It ended a silence longer than allowed.
    pub gap: bool,
}

/// Who sends a stream, as its first stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    run: u32,
    stream: u32,
    clock: Clock,
}

/// One RTP stream, from one SSRC.
///
/// Takes [`RECEIVER_OCTETS`] at most and nothing beside.
#[derive(Clone, Debug)]
pub struct Receiver {
    settings: Settings,
    identity: Option<Identity>,
    numbers: Option<Numbers>,
    /// Transit time of the newest, if it was stamped.
    newest_transit: Option<i64>,
    newest_timestamp: u32,
    /// When the last packet that counts arrived.
    heard: Instant,
    received: Received,
    reordered_by_max: u32,
    longest_gap_ns: u64,
    variation_sum: f64,
    variation_count: u64,
    variation_max: u64,
    jitter: Jitter,
    delays: Option<Delays>,
}

impl Receiver {
    /// A stream of which nothing has arrived.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            identity: None,
            numbers: None,
            newest_transit: None,
            newest_timestamp: 0,
            heard: Instant::default(),
            received: Received::default(),
            reordered_by_max: 0,
            longest_gap_ns: 0,
            variation_sum: 0.0,
            variation_count: 0,
            variation_max: 0,
            jitter: Jitter::new(settings.clock_rate),
            delays: None,
        }
    }

    /// A packet of the stream arrived.
    #[inline]
    pub fn handle(&mut self, packet: &RtpView<'_>, now: Instant) -> Arrival {
        let (content, stamp) = self.content(packet);
        let octets = packet.octets() as u32;
        let mut arrival = Arrival { content, place: Place::Stray, octets, timing: None, gap: false };
        if content != Content::Foreign {
            arrival.place = self.place(packet.sequence(), stamp.map(|stamp| stamp.number));
            self.measure(&mut arrival, packet, stamp, now);
        }
        self.received.note(&arrival);
        arrival
    }

    /// What was known beforehand.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Number of the stream within its run, once a stamp has said it: of the last one, where that changes.
    #[must_use]
    pub fn stream(&self) -> Option<u32> {
        self.identity.map(|identity| identity.stream)
    }

    /// What was counted so far.
    #[must_use]
    pub const fn received(&self) -> &Received {
        &self.received
    }

    /// Numbers of packets, once one has arrived.
    #[must_use]
    pub const fn numbers(&self) -> Option<&Numbers> {
        self.numbers.as_ref()
    }

    /// Interarrival jitter.
    #[must_use]
    pub const fn jitter(&self) -> &Jitter {
        &self.jitter
    }

    /// Delays, once a stamped packet has arrived.
    #[must_use]
    pub const fn delays(&self) -> Option<&Delays> {
        self.delays.as_ref()
    }

    /// How many numbers behind the newest a packet was at most.
    #[must_use]
    pub const fn reordered_by_max(&self) -> u32 {
        self.reordered_by_max
    }

    /// The longest silence beyond what timestamps announced.
    #[must_use]
    pub const fn longest_gap(&self) -> Duration {
        Duration::from_nanos(self.longest_gap_ns)
    }

    /// Mean and largest difference of delay between packets that follow each other (IPDV without its sign).
    #[must_use]
    pub fn variation(&self) -> (Duration, Duration) {
        let mean = if self.variation_count == 0 { 0.0 } else { self.variation_sum / self.variation_count as f64 };
        (Duration::from_nanos(mean as u64), Duration::from_nanos(self.variation_max))
    }

    fn content(&mut self, packet: &RtpView<'_>) -> (Content, Option<Stamp>) {
        match stamp::check(packet.payload()) {
            Ok(stamp) if self.is_ours(&stamp) => (Content::Intact, Some(stamp)),
            Ok(_) => (Content::Foreign, None),
            Err(StampError::Unstamped) => (Content::Unstamped, None),
            Err(StampError::Corrupted) => (Content::Corrupted, None),
        }
    }

    fn is_ours(&mut self, stamp: &Stamp) -> bool {
        let identity = Identity { run: stamp.run, stream: stamp.stream, clock: stamp.clock };
        let known = match self.identity {
            Some(known) => known,
            None if self.settings.run.is_none_or(|run| run == stamp.run) => *self.identity.insert(identity),
            None => return false,
        };
        identity == known || self.switch(identity, known)
    }

    /// Takes one stream in the place of another, if that may be.
    #[cold]
    fn switch(&mut self, identity: Identity, known: Identity) -> bool {
        let may = self.settings.switches && (identity.run, identity.clock) == (known.run, known.clock);
        if may {
            self.identity = Some(identity);
            self.numbers.iter_mut().for_each(Numbers::switch);
        }
        may
    }

    fn place(&mut self, rtp: u16, stamp: Option<u32>) -> Place {
        let Some(numbers) = &mut self.numbers else {
            self.numbers = Some(Numbers::new(rtp, stamp));
            return Place::Newest { missing: 0 };
        };
        numbers.place(rtp, stamp)
    }

    fn measure(&mut self, arrival: &mut Arrival, packet: &RtpView<'_>, stamp: Option<Stamp>, now: Instant) {
        if arrival.place == Place::Stray {
            return;
        }
        if arrival.content != Content::Corrupted && self.settings.events != Some(packet.payload_type()) {
            self.jitter.arrived(now, packet.timestamp());
        }
        if arrival.place == Place::Duplicate {
            return;
        }
        if let Place::Reordered { behind } | Place::Earlier { behind, .. } = arrival.place {
            self.reordered_by_max = self.reordered_by_max.max(behind);
        }
        if let Place::Newest { missing } = arrival.place {
            arrival.gap = self.silence(missing, packet.timestamp(), now);
        }
        self.heard = now;
        arrival.timing = stamp.map(|stamp| self.time(&stamp, arrival.place, now));
        if let Place::Newest { .. } = arrival.place {
            self.newest_timestamp = packet.timestamp();
            self.newest_transit = stamp.map(|stamp| transit(&stamp, now));
        }
    }

    /// Whether the silence before the newest packet is a gap: what is missing should have broken it, and a pause of the
    /// sender shows in the timestamps.
    fn silence(&mut self, missing: u32, timestamp: u32, now: Instant) -> bool {
        if self.received.packets == 0 {
            return false;
        }
        let mut silence = now.since(self.heard).as_nanos() as u64;
        if missing == 0 {
            let meant = self.jitter.nanoseconds(timestamp.wrapping_sub(self.newest_timestamp));
            silence = silence.saturating_sub(meant.max(0.0) as u64);
        }
        self.longest_gap_ns = self.longest_gap_ns.max(silence);
        u128::from(silence) > self.settings.gap.as_nanos()
    }

    fn time(&mut self, stamp: &Stamp, place: Place, now: Instant) -> Timing {
        let transit = transit(stamp, now);
        let relative = stamp.clock != self.settings.local;
        let above = self.delays.get_or_insert_with(|| Delays::new(relative, transit)).record(transit);
        let follows = place == Place::Newest { missing: 0 };
        let variation_ns = self.newest_transit.filter(|_| follows).map(|before| before.abs_diff(transit));
        if let Some(variation) = variation_ns {
            self.variation_sum += variation as f64;
            self.variation_count += 1;
            self.variation_max = self.variation_max.max(variation);
        }
        Timing {
            delay_ns: if relative { above } else { transit.max(0) as u64 },
            variation_ns,
            late: u128::from(above) > self.settings.playout.as_nanos(),
            before_due: !relative && transit < 0,
        }
    }
}

/// Nanoseconds from the due time to the arrival, by whatever clocks these are of.
const fn transit(stamp: &Stamp, now: Instant) -> i64 {
    now.as_ns().wrapping_sub(stamp.due.as_ns()) as i64
}

#[cfg(test)]
mod tests;
