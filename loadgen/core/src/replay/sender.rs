//! A recorded stream, sent again.

use std::sync::Arc;
use std::time::Duration;

use raceway_units::{Instant, Random};

use super::Recorded;
use crate::limits::PERIOD_MIN;
use crate::rtcp::Sent;
use crate::sender::Identity;
use crate::stamp::{Clock, Stamp, fill};

/// How a stream is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Who it is now.
    pub identity: Identity,
    /// When the first packet of the capture is due.
    pub start: Instant,
    /// After which time it begins again, if it does: [`Capture::period`](super::Capture::period) for all streams of a
    /// capture. Not sooner than [`PERIOD_MIN`].
    pub period: Option<Duration>,
    /// Payloads become a stamp and a pattern, of the same length, so that delay and damage are measured. Otherwise only
    /// those that are stamped already are stamped anew.
    pub stamp: bool,
    /// Chooses the first sequence number and timestamp.
    pub seed: u64,
}

impl Default for Replay {
    fn default() -> Self {
        let identity = Identity { run: 0, stream: 0, ssrc: 0, clock: Clock::SYNCHRONISED };
        Self { identity, start: Instant::default(), period: None, stamp: false, seed: 0 }
    }
}

/// One recorded stream: when its next packet is due, and what is in it.
///
/// Octets and times are those of the recording, but for SSRC, sequence numbers, which have no gaps, and an offset of the
/// timestamps. Header extensions are kept, even those that tell times. Nothing is allocated.
#[derive(Clone, Debug)]
pub struct ReplaySender {
    recorded: Arc<Recorded>,
    replay: Replay,
    /// When the present round began.
    round: Instant,
    next: usize,
    due: Instant,
    stop: Instant,
    /// Number of the next packet: its lower half is the RTP sequence number.
    number: u32,
    /// What is added to timestamps.
    shift: u32,
    packets: u64,
    octets: u64,
}

impl ReplaySender {
    /// A stream of `recorded`.
    #[must_use]
    pub fn new(recorded: Arc<Recorded>, replay: Replay) -> Self {
        let replay = Replay { period: replay.period.map(|period| period.max(PERIOD_MIN)), ..replay };
        let mut random = Random::of(replay.seed, u64::from(replay.identity.stream));
        let mut sender = Self {
            recorded,
            replay,
            round: replay.start,
            next: 0,
            due: replay.start,
            stop: Instant::from_ns(u64::MAX),
            number: u32::from(random.next() as u16),
            shift: random.next() as u32,
            packets: 0,
            octets: 0,
        };
        sender.due = sender.due_of(0);
        sender
    }

    /// Lets no packet be due at `stop` or later.
    pub const fn stop_at(&mut self, stop: Instant) {
        self.stop = stop;
    }

    /// When the next packet is to be sent; `None` after the last one.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        (self.due < self.stop && self.next < self.recorded.packets.len()).then_some(self.due)
    }

    /// Writes the packet that is due and moves on to the next: the octets of the packet.
    ///
    /// # Panics
    /// If `out` is shorter than [`Recorded::packet_max`], or after the last packet.
    pub fn write(&mut self, out: &mut [u8]) -> usize {
        let packet = self.recorded.packets[self.next];
        let length = usize::from(packet.length);
        let out = &mut out[..length];
        out.copy_from_slice(self.recorded.packet_octets(self.next));
        let timestamp = self.timestamp(self.next);
        out[2..4].copy_from_slice(&(self.number as u16).to_be_bytes());
        out[4..8].copy_from_slice(&timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.replay.identity.ssrc.to_be_bytes());
        if self.replay.stamp || packet.prefix.is_some() {
            let Identity { run, stream, clock, .. } = self.replay.identity;
            let (due, number, prefix) = (self.due, self.number, packet.prefix.unwrap_or(0));
            let stamp = Stamp { run, stream, clock, due, number, prefix };
            let payload = usize::from(packet.payload);
            // One that is too short for a stamp stays as it is.
            let _stamped = fill(&mut out[payload..payload + usize::from(packet.payload_length)], stamp);
        }
        self.packets += 1;
        self.octets += u64::from(packet.payload_length);
        self.number = self.number.wrapping_add(1);
        self.advance();
        length
    }

    fn advance(&mut self) {
        self.next += 1;
        if self.next == self.recorded.packets.len() {
            let Some(period) = self.replay.period else { return };
            self.shift = self.shift.wrapping_add(self.round_ticks(period));
            self.round = self.round.after(period);
            self.next = 0;
        }
        self.due = self.due_of(self.next);
    }

    /// By how much timestamps go on from one round to the next: as much as time does.
    fn round_ticks(&self, period: Duration) -> u32 {
        let per_period = |clock| (period.as_nanos() * u128::from(clock) / 1_000_000_000) as u32;
        self.recorded.clock_rate.map_or(self.recorded.ticks as u32, per_period)
    }

    fn due_of(&self, number: usize) -> Instant {
        self.round.after(Duration::from_nanos(self.recorded.packets[number].offset_ns))
    }

    fn timestamp(&self, number: usize) -> u32 {
        self.recorded.view(number).timestamp().wrapping_add(self.shift)
    }

    /// Who it is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.replay.identity
    }

    /// What was written, for a sender report that is sent now.
    #[must_use]
    pub fn sent(&self, now: Instant) -> Sent {
        let number = self.next.min(self.recorded.packets.len() - 1);
        let ns = i128::from(now.as_ns()) - i128::from(self.due.as_ns());
        let ticks = (ns * i128::from(self.recorded.clock_rate.unwrap_or(0))).div_euclid(1_000_000_000);
        let timestamp = self.timestamp(number).wrapping_add(ticks as u32);
        Sent { packets: self.packets, octets: self.octets, timestamp }
    }
}
