//! The receiving side: remembers what arrived, and writes feedback.

use core::time::Duration;

use raceway_units::Instant;

use super::chunk::{Chunk, LARGE, MISSING, Pending, SMALL};
use super::{Arrival, FIXED, FORMAT, REFERENCE_TICKS};
use crate::limits::{MESSAGE_ARRIVALS, MESSAGE_OCTETS, RECORDER_PACKETS};
use crate::rtcp;

/// How long after a packet feedback on it goes out.
const INTERVAL: Duration = Duration::from_millis(100);
/// Stands for a packet that did not arrive.
const NEVER: u32 = u32::MAX;
/// Added to the first number, so that numbers before it are above zero.
const OFFSET: u64 = 1 << 16;

/// Which packets of a transport arrived when, until a message has said so.
///
/// 4 KiB. A packet that comes after it was reported missing is reported again, as long as it is one of the newest
/// `RECORDER_PACKETS`.
#[derive(Debug)]
pub struct Recorder {
    sender: u32,
    media: u32,
    /// By number modulo its length: ticks, or `NEVER`.
    arrivals: Box<[u32]>,
    newest: Option<u64>,
    /// First that is not reported.
    next: u64,
    /// Arrivals that are not reported.
    pending: usize,
    due: Option<Instant>,
    messages: u8,
}

impl Recorder {
    /// A recorder that has seen nothing, and the SSRCs of its messages: its own, and one of the sender's.
    #[must_use]
    pub fn new(sender: u32, media: u32) -> Self {
        let arrivals = vec![NEVER; RECORDER_PACKETS].into_boxed_slice();
        Self { sender, media, arrivals, newest: None, next: 0, pending: 0, due: None, messages: 0 }
    }

    /// A packet with this transport-wide number arrived. Duplicates, and packets older than are remembered, change nothing.
    pub fn handle_packet(&mut self, number: u16, now: Instant) {
        let (number, newest) = match self.newest {
            Some(newest) => (unwrap(number, newest), newest),
            None => (OFFSET + u64::from(number), OFFSET + u64::from(number) - 1),
        };
        if self.newest.is_none() {
            self.next = number;
        }
        if number > newest {
            let first = (newest + 1).max((number + 1).saturating_sub(RECORDER_PACKETS as u64));
            (first..=number).for_each(|number| self.arrivals[slot(number)] = NEVER);
            self.newest = Some(number);
            self.next = self.next.max((number + 1).saturating_sub(RECORDER_PACKETS as u64));
        } else if number + RECORDER_PACKETS as u64 <= newest {
            return;
        }
        if self.arrivals[slot(number)] != NEVER {
            return;
        }
        let ticks = (now.as_ns() / Arrival::TICK_NS) as u32;
        self.arrivals[slot(number)] = if ticks == NEVER { ticks - 1 } else { ticks };
        self.next = self.next.min(number);
        self.pending += 1;
        let due = if self.pending < MESSAGE_ARRIVALS { now.after(INTERVAL) } else { now };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// When a message is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Writes a message that is due, and says how many octets it has. There may be another one at once.
    pub fn poll(&mut self, out: &mut [u8; MESSAGE_OCTETS], now: Instant) -> Option<usize> {
        self.due.filter(|due| *due <= now)?;
        self.due = None;
        let newest = self.newest?;
        let reference = (self.next..=newest).map(|number| self.arrivals[slot(number)]).find(|ticks| *ticks != NEVER)?;
        let reference = reference - reference % REFERENCE_TICKS;
        let (end, chunks_end) = self.write_chunks(out, reference, newest);
        let octets = self.write_deltas(out, chunks_end, reference, end);
        self.write_head(out, octets, reference, (end - self.next) as u16);
        self.next = end;
        self.messages = self.messages.wrapping_add(1);
        self.pending = 0;
        if self.next <= newest {
            self.due = Some(now);
        }
        Some(octets)
    }

    /// Writes chunks for packets up to the newest, or as many as go into a message. Gives the number after the last one,
    /// and where the chunks end.
    fn write_chunks(&self, out: &mut [u8], reference: u32, newest: u64) -> (u64, usize) {
        let (mut pending, mut at) = (Pending::default(), rtcp::HEADER + FIXED);
        let (mut before, mut arrivals, mut number) = (reference, 0, self.next);
        let mut write = |chunk: Chunk| {
            out[at..at + 2].copy_from_slice(&chunk.0.to_be_bytes());
            at += 2;
        };
        while number <= newest {
            let ticks = self.arrivals[slot(number)];
            let Some(symbol) = symbol(before, ticks).filter(|_| arrivals < MESSAGE_ARRIVALS) else { break };
            if symbol != MISSING {
                (before, arrivals) = (ticks, arrivals + 1);
            }
            pending.push(symbol).into_iter().for_each(&mut write);
            number += 1;
        }
        pending.finish().into_iter().for_each(&mut write);
        (number, at)
    }

    /// Writes the deltas of packets before `end` and zeros up to a whole word (section 3.1), and gives where that ends.
    fn write_deltas(&self, out: &mut [u8], mut at: usize, reference: u32, end: u64) -> usize {
        let mut before = reference;
        for ticks in (self.next..end).map(|number| self.arrivals[slot(number)]).filter(|ticks| *ticks != NEVER) {
            let delta = ticks.wrapping_sub(before);
            before = ticks;
            if let Ok(delta) = u8::try_from(delta) {
                out[at] = delta;
                at += 1;
            } else {
                out[at..at + 2].copy_from_slice(&(delta as u16).to_be_bytes());
                at += 2;
            }
        }
        let padded = at.next_multiple_of(4);
        out[at..padded].fill(0);
        padded
    }

    fn write_head(&self, out: &mut [u8], octets: usize, reference: u32, count: u16) {
        rtcp::write_header(out, rtcp::RTPFB, FORMAT, octets, self.sender);
        out[8..12].copy_from_slice(&self.media.to_be_bytes());
        out[12..14].copy_from_slice(&(self.next as u16).to_be_bytes());
        out[14..16].copy_from_slice(&count.to_be_bytes());
        let times = ((reference / REFERENCE_TICKS) << 8) | u32::from(self.messages);
        out[16..20].copy_from_slice(&times.to_be_bytes());
    }
}

/// Status of a packet that arrived at `ticks`, the one before at `before`; none if they are too far apart for a delta.
fn symbol(before: u32, ticks: u32) -> Option<u16> {
    if ticks == NEVER {
        return Some(MISSING);
    }
    let delta = ticks.wrapping_sub(before).cast_signed();
    if (0..=0xff).contains(&delta) { Some(SMALL) } else { i16::try_from(delta).ok().map(|_| LARGE) }
}

const fn slot(number: u64) -> usize {
    number as usize & (RECORDER_PACKETS - 1)
}

/// The number nearest to `newest` that ends in these 16 bits.
const fn unwrap(number: u16, newest: u64) -> u64 {
    let ahead = number.wrapping_sub(newest as u16).cast_signed();
    newest.saturating_add_signed(ahead as i64)
}
