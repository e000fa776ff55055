//! A part of a recording, as it grows.

use raceway_units::Instant;
use zeroize::Zeroizing;

use crate::age::{self, PublicKey, Secrets, Stream, UnusableKey};
use crate::limits::{CHUNK, HEADERS_MAX, NOTE_MAX, PACKET_MAX};
use crate::packet::Packet;
use crate::pcapng;

/// What a part begins with.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Written at its head, for whoever reads it: whose call it is, who agreed to it.
    pub note: &'a str,
    /// Who writes.
    pub program: &'a str,
    /// Now, by the clock of the packets.
    pub now: Instant,
    /// Now, in nanoseconds since 1970.
    pub wall_ns: u64,
}

/// A part that is being written. Sealed octets are appended to the `out` of each call, for the end of its body.
pub struct Part {
    stream: Stream,
    /// What is not sealed yet; it never grows beyond the memory that it begins with.
    open: Zeroizing<Vec<u8>>,
    /// Unix time of the zero of the packets' clock.
    epoch_ns: u64,
    begun_ns: u64,
    packets: u64,
}

/// A chunk, and the block that makes it whole.
const ROOM: usize = CHUNK + PACKET_MAX + HEADERS_MAX + 64;

impl Part {
    /// Begins a part; gives it and its key.
    ///
    /// # Errors
    /// [`UnusableKey`].
    pub fn begin(to: &PublicKey, secrets: &Secrets, beginning: &Beginning<'_>) -> Result<(Self, Vec<u8>), UnusableKey> {
        let key = age::header(to, secrets)?;
        let Beginning { note, program, now, wall_ns } = *beginning;
        let mut open = Zeroizing::new(Vec::with_capacity(ROOM));
        let note = &note[..note.floor_char_boundary(NOTE_MAX)];
        pcapng::section(&mut open, note, program);
        pcapng::interface(&mut open, "media", (PACKET_MAX + HEADERS_MAX) as u32);
        let epoch_ns = wall_ns.saturating_sub(now.as_ns());
        let stream = Stream::new(secrets);
        Ok((Self { stream, open, epoch_ns, begun_ns: wall_ns, packets: 0 }, key))
    }

    /// Adds a packet.
    pub fn packet(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        pcapng::packet(&mut self.open, self.epoch_ns + packet.at.as_ns(), |block| packet.write(block));
        self.packets += 1;
        self.seal(out);
    }

    /// Seals all that there is, at the price of filling the chunk up.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.open.is_empty() {
            return;
        }
        let rest = CHUNK - self.open.len();
        // A block that cannot be so short reaches into the next chunk.
        let octets = if rest < pcapng::BLOCK { rest + pcapng::BLOCK } else { rest };
        pcapng::padding(&mut self.open, octets);
        self.seal(out);
    }

    /// Ends it: how many packets are in it, and how many should be and are not.
    pub fn finish(mut self, now: Instant, lost: u64, out: &mut Vec<u8>) {
        let times = (self.begun_ns, self.epoch_ns + now.as_ns());
        pcapng::statistics(&mut self.open, times, self.packets + lost, lost);
        self.seal(out);
        if self.open.is_empty() {
            // The last chunk must have something in it.
            pcapng::padding(&mut self.open, pcapng::BLOCK);
        }
        self.stream.seal(&self.open, true, out);
    }

    /// Packets in it.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Octets that are not sealed yet.
    #[must_use]
    pub fn unsealed(&self) -> usize {
        self.open.len()
    }

    fn seal(&mut self, out: &mut Vec<u8>) {
        while self.open.len() >= CHUNK {
            self.stream.seal(&self.open[..CHUNK], false, out);
            self.open.drain(..CHUNK);
        }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("packets", &self.packets).finish_non_exhaustive()
    }
}
