//! Feedback of receivers (RFC 4585 section 6, RFC 5104 section 4.3.1, draft-alvestrand-rmcat-remb-03).

use super::{FEEDBACK, Packet, format, packet_type, word};

/// Packets that are missing: one, and those of the 16 behind it of which the bit is set (RFC 4585 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The first that is missing (PID).
    pub first: u16,
    /// The lowest bit is the one behind it (BLP).
    pub more: u16,
}

impl Nack {
    /// Sequence numbers that are missing.
    pub fn sequences(self) -> impl Iterator<Item = u16> {
        let more =
            (0..16).filter(move |bit| self.more >> bit & 1 == 1).map(move |bit| self.first.wrapping_add(bit + 1));
        core::iter::once(self.first).chain(more)
    }
}

/// Packs sequence numbers, in rising order, into as few entries as that takes.
pub fn nacks(sequences: impl Iterator<Item = u16>) -> impl Iterator<Item = Nack> {
    let mut sequences = sequences.peekable();
    core::iter::from_fn(move || {
        let mut nack = Nack { first: sequences.next()?, more: 0 };
        while let Some(bit) = sequences.next_if(|next| (1..=16).contains(&next.wrapping_sub(nack.first))) {
            nack.more |= 1 << (bit.wrapping_sub(nack.first) - 1);
        }
        Some(nack)
    })
}

/// A request for a key frame (RFC 5104 section 4.3.1). One with the number of the last is the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fir {
    /// The source that is to send one.
    pub ssrc: u32,
    /// Number of the request.
    pub number: u8,
}

/// How much a receiver thinks it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Bits a second.
    pub rate: u64,
    sources: &'a [u8],
}

impl Remb<'_> {
    /// Sources that it is about.
    pub fn sources(&self) -> impl Iterator<Item = u32> {
        self.sources.chunks_exact(4).filter_map(|source| word(source, 0))
    }
}

impl<'a> Packet<'a> {
    /// Entries of a generic NACK.
    pub fn nacks(&self) -> impl Iterator<Item = Nack> + use<'a> {
        let is = self.kind == packet_type::TRANSPORT_FEEDBACK && self.count == format::NACK;
        let entries = if is { self.feedback() } else { &[] };
        entries.chunks_exact(4).filter_map(|entry| {
            let both = word(entry, 0)?;
            Some(Nack { first: (both >> 16) as u16, more: both as u16 })
        })
    }

    /// Entries of a full intra request.
    pub fn full_intra_requests(&self) -> impl Iterator<Item = Fir> + use<'a> {
        let is = self.kind == packet_type::PAYLOAD_FEEDBACK && self.count == format::FULL_INTRA;
        let entries = if is { self.feedback() } else { &[] };
        entries.chunks_exact(8).filter_map(|entry| Some(Fir { ssrc: word(entry, 0)?, number: entry[4] }))
    }

    /// Of a receiver's estimated maximum bit rate: that.
    #[must_use]
    pub fn remb(&self) -> Option<Remb<'a>> {
        let is = self.kind == packet_type::PAYLOAD_FEEDBACK && self.count == format::APPLICATION;
        let octets = self.octets.get(FEEDBACK..).filter(|_| is)?;
        let &[b'R', b'E', b'M', b'B', count, high, middle, low] = octets.first_chunk()? else { return None };
        let (exponent, mantissa) = (high >> 2, u64::from(u32::from_be_bytes([0, high & 3, middle, low])));
        let sources = octets.get(8..8 + 4 * usize::from(count))?;
        let rate = if mantissa.leading_zeros() < exponent.into() { u64::MAX } else { mantissa << exponent };
        Some(Remb { rate, sources })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn missing_packets_are_packed_over_the_end_of_numbers() {
        let missing = [65_530, 65_535, 0, 10, 11, 40];
        let packed: Vec<_> = nacks(missing.into_iter()).collect();
        assert_eq!(packed.len(), 3);
        assert_eq!(packed[0], Nack { first: 65_530, more: 1 << 4 | 1 << 5 | 1 << 15 });
        let unpacked: Vec<_> = packed.into_iter().flat_map(Nack::sequences).collect();
        assert_eq!(unpacked, missing);
    }
}
