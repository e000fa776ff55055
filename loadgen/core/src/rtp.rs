//! An RTP packet as a receiver reads it (RFC 3550 section 5.1), in place.

use core::ops::Range;

/// Octets of the fixed header.
pub const HEADER: usize = 12;
/// Octets of a CSRC, and the unit of a header extension's length.
const WORD: usize = 4;

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    /// Shorter than the fixed header, the CSRCs or the extension that it announces.
    Truncated,
    /// The version is not two.
    Version,
    /// RTCP on the same port (RFC 5761 section 4: payload types 64 to 95).
    Rtcp,
    /// The padding count is zero or more than what there is.
    Padding,
}

/// A datagram that is one RTP packet, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpView<'a> {
    octets: &'a [u8],
    /// Where the payload begins and ends.
    payload: (usize, usize),
}

impl<'a> RtpView<'a> {
    /// Reads the header of `octets`, a whole datagram.
    ///
    /// # Errors
    /// [`RtpError`].
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Self, RtpError> {
        let header: &[u8; HEADER] = octets.first_chunk().ok_or(RtpError::Truncated)?;
        if header[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        if (64..=95).contains(&(header[1] & 0x7f)) {
            return Err(RtpError::Rtcp);
        }
        let mut from = HEADER + usize::from(header[0] & 0x0f) * WORD;
        if header[0] & 0x10 != 0 {
            let words = octets.get(from + 2..from + WORD).ok_or(RtpError::Truncated)?;
            from += WORD + usize::from(u16::from_be_bytes([words[0], words[1]])) * WORD;
        }
        if from > octets.len() {
            return Err(RtpError::Truncated);
        }
        let to = octets.len() - padding(header[0], &octets[from..])?;
        Ok(Self { octets, payload: (from, to) })
    }

    /// The marker bit.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.octets[1] & 0x80 != 0
    }

    /// Payload type.
    #[must_use]
    pub const fn payload_type(&self) -> u8 {
        self.octets[1] & 0x7f
    }

    /// Sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.octets[2], self.octets[3]])
    }

    /// Timestamp, in units of the codec's clock.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        self.word(4)
    }

    /// Synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.word(8)
    }

    /// Contributing sources.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> + use<'_> {
        (0..usize::from(self.octets[0] & 0x0f)).map(|index| self.word(HEADER + index * WORD))
    }

    /// The header extension's profile identifier and octets, if there is one (RFC 3550 section 5.3.1).
    #[must_use]
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        if self.octets[0] & 0x10 == 0 {
            return None;
        }
        let from = HEADER + usize::from(self.octets[0] & 0x0f) * WORD;
        let profile = u16::from_be_bytes([self.octets[from], self.octets[from + 1]]);
        Some((profile, &self.octets[from + WORD..self.payload.0]))
    }

    /// The payload, without padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.octets[self.payload_range()]
    }

    /// Where the payload is in the packet.
    #[must_use]
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload.0..self.payload.1
    }

    /// Octets of the whole packet.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets.len()
    }

    const fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.octets[at], self.octets[at + 1], self.octets[at + 2], self.octets[at + 3]])
    }
}

/// Octets of padding at the end of `rest`, which follows the header.
fn padding(first: u8, rest: &[u8]) -> Result<usize, RtpError> {
    if first & 0x20 == 0 {
        return Ok(0);
    }
    let count = usize::from(*rest.last().ok_or(RtpError::Padding)?);
    if count == 0 || count > rest.len() { Err(RtpError::Padding) } else { Ok(count) }
}

/// Reads any octets; what is accepted has its parts within the packet.
pub fn fuzz(data: &[u8]) {
    let Ok(packet) = RtpView::parse(data) else { return };
    assert!(HEADER + packet.payload().len() <= data.len());
    assert_eq!(packet.csrcs().count(), usize::from(data[0] & 0x0f));
    let extension = packet.extension().map_or(0, |(_, octets)| octets.len() + WORD);
    let header = HEADER + packet.csrcs().count() * WORD + extension;
    let padding = if data[0] & 0x20 == 0 { 0 } else { usize::from(data[data.len() - 1]) };
    assert_eq!(header + packet.payload().len() + padding, data.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of one CSRC, an extension of one word, three octets of payload and two of padding.
    const WHOLE: [u8; 29] = [
        0xb1,
        0x80 | 96,
        0x12,
        0x34,
        0,
        0,
        1,
        0,
        0xde,
        0xad,
        0xbe,
        0xef,
        0,
        0,
        0,
        7,
        0xbe,
        0xde,
        0,
        1,
        0x10,
        0x55,
        0,
        0,
        1,
        2,
        3,
        0,
        2,
    ];

    #[test]
    fn every_part_of_a_packet_is_found() {
        let packet = RtpView::parse(&WHOLE).unwrap();
        assert!(packet.marker());
        assert_eq!((packet.payload_type(), packet.sequence(), packet.timestamp()), (96, 0x1234, 256));
        assert_eq!((packet.ssrc(), packet.csrcs().collect::<Vec<_>>()), (0xdead_beef, vec![7]));
        assert_eq!(packet.extension(), Some((0xbede, &[0x10, 0x55, 0, 0][..])));
        assert_eq!((packet.payload(), packet.octets()), (&[1, 2, 3][..], 29));
    }

    #[test]
    fn a_packet_may_be_all_header() {
        let packet = RtpView::parse(&[0x80; HEADER]).map(|packet| (packet.payload(), packet.extension()));
        assert_eq!(packet, Ok((&[][..], None)));
    }

    #[test]
    fn what_is_announced_and_not_there_is_truncated() {
        for length in 0..24 {
            assert_eq!(RtpView::parse(&WHOLE[..length]), Err(RtpError::Truncated), "{length} octets");
        }
    }

    #[test]
    fn padding_is_at_least_its_own_octet_and_within_the_payload() {
        for (count, expected) in [(0, Err(RtpError::Padding)), (5, Ok(0)), (6, Err(RtpError::Padding)), (1, Ok(4))] {
            let mut octets = WHOLE;
            octets[28] = count;
            assert_eq!(RtpView::parse(&octets).map(|packet| packet.payload().len()), expected, "{count}");
        }
    }

    #[test]
    fn rtcp_and_other_protocols_are_told_apart() {
        let mut octets = [0x80; 20];
        octets[1] = 200;
        assert_eq!(RtpView::parse(&octets), Err(RtpError::Rtcp));
        octets[0] = 0x40;
        assert_eq!(RtpView::parse(&octets), Err(RtpError::Version));
    }
}
