//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): one number a packet over all streams of a
//! transport, and messages that say which arrived and when.
//!
//! ```text
//!  |V=2|P|  FMT=15 |    PT=205     |           length              |
//!  |                     SSRC of packet sender                     |
//!  |                      SSRC of media source                     |
//!  |      base sequence number     |      packet status count      |
//!  |                 reference time                | fb pkt. count |
//!  |          packet chunk         |         packet chunk          |
//!  .   ..., then a delta of one or two octets for each arrival     .
//! ```

mod chunk;
mod recorder;

pub use recorder::Recorder;

use self::chunk::{Chunk, LARGE, MISSING, SMALL};
use crate::limits::FEEDBACK_PACKETS_MAX;
use crate::rtcp::{self, FeedbackError};

/// FMT of transport-wide feedback (section 3.1).
const FORMAT: u8 = 15;
/// Octets of the body before the chunks: media SSRC, base, count, reference time, message count.
const FIXED: usize = 12;
/// Ticks of the reference time, which counts 64 ms.
const REFERENCE_TICKS: u32 = 256;

/// When a packet arrived, by the receiver's clock: ticks of 250 us, modulo 2^32 (12 days), from an origin of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival(u32);

impl Arrival {
    /// Nanoseconds of a tick.
    pub const TICK_NS: u64 = 250_000;

    /// From ticks.
    #[must_use]
    pub const fn from_ticks(ticks: u32) -> Self {
        Self(ticks)
    }

    /// Ticks.
    #[must_use]
    pub const fn as_ticks(self) -> u32 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`, negative if that is later; right for up to six days.
    #[must_use]
    pub const fn ns_since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed() as i64 * Self::TICK_NS as i64
    }
}

/// A feedback message, checked: its chunks and deltas are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Who says so.
    pub sender: u32,
    /// A media source of the transport; which one means nothing.
    pub media: u32,
    /// Number of the first packet that is spoken of.
    pub base: u16,
    /// How many are.
    pub count: u16,
    /// Number of the message, modulo 256.
    pub number: u8,
    /// When the first delta begins.
    reference: Arrival,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Feedback<'a> {
    /// Reads an RTCP packet, one of a compound packet.
    ///
    /// # Errors
    /// It is not transport-wide feedback, not whole, or speaks of more than `FEEDBACK_PACKETS_MAX` packets.
    pub fn read(packet: &'a [u8]) -> Result<Self, FeedbackError> {
        let (sender, body) = rtcp::read(packet, rtcp::RTPFB, FORMAT)?;
        let (media, base, count) = (rtcp::u32_at(body, 0)?, rtcp::u16_at(body, 4)?, rtcp::u16_at(body, 6)?);
        let times = rtcp::u32_at(body, 8)?;
        if usize::from(count) > FEEDBACK_PACKETS_MAX {
            return Err(FeedbackError::TooMany);
        }
        let rest = &body[FIXED..];
        let (mut left, mut at, mut delta_octets) = (count, 0, 0);
        while left > 0 {
            let chunk = Chunk(rtcp::u16_at(rest, at).map_err(|_| FeedbackError::Count)?);
            let packets = chunk.packets().min(left);
            delta_octets += chunk.delta_octets(packets)?;
            left -= packets;
            at += 2;
        }
        let (chunks, deltas) = rest.split_at(at);
        if deltas.len() < delta_octets {
            return Err(FeedbackError::Count);
        }
        let reference = Arrival((times >> 8).wrapping_mul(REFERENCE_TICKS));
        Ok(Self { sender, media, base, count, number: times as u8, reference, chunks, deltas })
    }

    /// Every packet that is spoken of, in order of its number, and when it arrived if it did.
    #[must_use]
    pub fn packets(&self) -> Packets<'a> {
        Packets {
            number: self.base,
            left: self.count,
            time: self.reference,
            chunk: Chunk(0),
            index: 0,
            chunks: self.chunks,
            deltas: self.deltas,
        }
    }
}

/// Packets of a feedback message.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    number: u16,
    left: u16,
    time: Arrival,
    /// The chunk that is being read; at first one of no packets.
    chunk: Chunk,
    index: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl Iterator for Packets<'_> {
    type Item = (u16, Option<Arrival>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        while self.index == self.chunk.packets() {
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            (self.chunk, self.index, self.chunks) = (Chunk(u16::from_be_bytes(*chunk)), 0, rest);
        }
        let symbol = self.chunk.symbol(self.index);
        let number = self.number;
        self.index += 1;
        self.number = number.wrapping_add(1);
        let delta = match symbol {
            MISSING => return Some((number, None)),
            SMALL => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                u32::from(*delta)
            }
            _ => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                i32::from(i16::from_be_bytes(*delta)).cast_unsigned()
            }
        };
        self.time = Arrival(self.time.0.wrapping_add(delta));
        Some((number, Some(self.time)))
    }
}

/// How many octets the delta of a packet with this status has.
const fn delta_octets(symbol: u16) -> usize {
    match symbol {
        SMALL => 1,
        LARGE => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
