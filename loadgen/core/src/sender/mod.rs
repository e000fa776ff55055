//! The sending side: packets of one RTP stream, and when each is due.

mod audio;
mod beat;
pub(crate) mod content;
pub(crate) mod header;
mod layers;
mod payload;
mod video;

pub(crate) use audio::{Events, Opus};
use beat::Steps;
use content::{Rate, Source};
use header::{Header, Variable};
pub(crate) use layers::{LAYERS_MAX, Layers};
pub(crate) use payload::{Dimensions, VideoCodec};
use raceway_units::{Instant, Random};
pub(crate) use video::{FRAME_MIN, Video};

use crate::limits::SENDER_OCTETS;
use crate::rtcp::Sent;
use crate::stamp::{Clock, Stamp, fill};
use crate::track::Track;

/// Who a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Number of the run.
    pub run: u32,
    /// Number of the stream within the run.
    pub stream: u32,
    /// Its synchronisation source (RFC 3550 section 3).
    pub ssrc: u32,
    /// The clock that times come from.
    pub clock: Clock,
}

/// What streams share that are sent from one address to another: the sequence number of
/// [`Extensions::transport_sequence`](crate::Extensions::transport_sequence).
#[derive(Clone, Debug, Default)]
pub struct Transport {
    sequence: u16,
}

/// One RTP stream: when its next packet is due, and what is in it.
///
/// Due times follow from the start alone: however late packets are written, they stay where they were meant to be. No
/// clock is read and nothing is allocated.
#[derive(Clone, Debug)]
pub struct Sender {
    identity: Identity,
    header: Header,
    source: Source,
    random: Random,
    time: Steps,
    clock: Steps,
    /// When the present beat is.
    beat: Instant,
    /// RTP timestamp of the present beat.
    timestamp: u32,
    due: Instant,
    stop: Instant,
    /// Number of the next packet: its lower half is the RTP sequence number.
    number: u32,
    packets: u64,
    octets: u64,
    clock_rate: u32,
}

const _: () = assert!(size_of::<Sender>() <= SENDER_OCTETS);

impl Sender {
    /// A stream of `track` whose first packet is due at `start`. `seed` gives what is random in it: first sequence
    /// number and timestamp (RFC 3550 section 5.1), sizes, pauses.
    #[must_use]
    pub fn new(track: &Track, identity: Identity, start: Instant, seed: u64) -> Self {
        let mut random = Random::of(seed, u64::from(identity.stream));
        let Rate { beats, per_ms } = track.content.rate();
        let (beats, per_ms) = (u64::from(beats), u64::from(per_ms));
        let header = Header::new(track, identity.ssrc);
        Self {
            identity,
            source: Source::new(&track.content, header.longest(), &mut random),
            header,
            time: Steps::new(per_ms * 1_000_000, beats),
            clock: Steps::new(per_ms * u64::from(track.clock_rate), beats * 1_000),
            beat: start,
            timestamp: random.next() as u32,
            due: start,
            stop: Instant::from_ns(u64::MAX),
            number: u32::from(random.next() as u16),
            random,
            packets: 0,
            octets: 0,
            clock_rate: track.clock_rate,
        }
    }

    /// Lets no packet be due at `stop` or later.
    pub const fn stop_at(&mut self, stop: Instant) {
        self.stop = stop;
    }

    /// Makes the next frame of video a key frame, unless the last one was less than 300 ms ago: then the first that is
    /// not. Audio has none.
    pub const fn request_key_frame(&mut self) {
        self.source.request_key_frame();
    }

    /// When the next packet is to be sent; `None` after the last one.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        (self.due < self.stop).then_some(self.due)
    }

    /// Writes the packet that is due and moves on to the next: the octets of the packet.
    ///
    /// # Panics
    /// If `out` is shorter than [`Track::packet_max`].
    #[inline]
    pub fn write(&mut self, out: &mut [u8]) -> usize {
        self.write_as(out, self.number as u16)
    }

    /// As [`Sender::write`], for one of several streams that share a transport.
    ///
    /// # Panics
    /// If `out` is shorter than [`Track::packet_max`].
    #[inline]
    pub fn write_on(&mut self, transport: &mut Transport, out: &mut [u8]) -> usize {
        if !self.header.counts_transport() {
            return self.write(out);
        }
        transport.sequence = transport.sequence.wrapping_add(1);
        self.write_as(out, transport.sequence)
    }

    fn write_as(&mut self, out: &mut [u8], transport_sequence: u16) -> usize {
        let begins = self.header.describes_frames() && self.source.prepare(&mut self.random);
        let header = self.header.length(begins);
        let shape = self.source.write(&mut out[header..], &mut self.random);
        let length = header + usize::from(shape.length);
        let timestamp = self.timestamp.wrapping_sub(shape.back);
        let (number, sequence, due) = (self.number, self.number as u16, self.due);
        self.header.write(out, &Variable { shape, sequence, timestamp, due, transport_sequence });
        if self.header.marks_frames() {
            self.header.write_mark(out, &self.source.mark(), begins);
        }
        let Identity { run, stream, clock, .. } = self.identity;
        let stamp = Stamp { run, stream, clock, due, number, prefix: shape.prefix };
        // A payload that is too short for a stamp has been written whole by the source.
        let _stamped = fill(&mut out[header..length], stamp);
        self.packets += 1;
        self.octets += u64::from(shape.length);
        self.number = number.wrapping_add(1);
        self.advance(shape.beats, shape.within_ns);
        length
    }

    fn advance(&mut self, beats: u32, within_ns: u32) {
        let (ns, ticks) = match beats {
            0 => (0, 0),
            1 => (self.time.next(), self.clock.next()),
            _ => (self.time.skip(beats), self.clock.skip(beats)),
        };
        self.beat = Instant::from_ns(self.beat.as_ns().saturating_add(ns));
        self.timestamp = self.timestamp.wrapping_add(ticks as u32);
        self.due = Instant::from_ns(self.beat.as_ns().saturating_add(u64::from(within_ns)));
    }

    /// Who it is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// What was written, for a sender report that is sent now.
    #[must_use]
    pub const fn sent(&self, now: Instant) -> Sent {
        // Up to a beat before or after the present one.
        let ns = now.as_ns() as i64 - self.beat.as_ns() as i64;
        let ticks = (ns as i128 * self.clock_rate as i128).div_euclid(1_000_000_000);
        Sent { packets: self.packets, octets: self.octets, timestamp: self.timestamp.wrapping_add(ticks as u32) }
    }
}

#[cfg(test)]
mod tests;
