//! The RTP header (RFC 3550 section 5.1).

use crate::limits::PACKET_MAX;
use crate::span::Span;

/// Octets of the fixed header.
pub(crate) const FIXED: usize = 12;
/// In the first octet: version 2, padding, a header extension, how many contributing sources.
const VERSION_MASK: u8 = 0xc0;
pub(crate) const VERSION: u8 = 0x80;
const PADDING: u8 = 0x20;
pub(crate) const EXTENSION: u8 = 0x10;
const SOURCES: u8 = 0x0f;
/// In the second octet.
pub(crate) const MARKER: u8 = 0x80;

/// What a datagram is whose first octet says media (RFC 7983), by RFC 5761 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

impl Kind {
    /// By the octet that holds the payload type. Nothing for a datagram without one.
    #[inline]
    #[must_use]
    pub const fn of(datagram: &[u8]) -> Option<Self> {
        match datagram {
            [_, 192..=223, ..] => Some(Self::Rtcp),
            [_, _, ..] => Some(Self::Rtp),
            _ => None,
        }
    }
}

/// The header of a packet, and where the rest of it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Contributing sources, four octets each.
    pub sources: Span,
    /// What "defined by profile" says of the form of the header extension (section 5.3.1); zero where there is none.
    pub profile: u16,
    /// The header extension without its own four octets.
    pub extension: Span,
    /// The payload without padding.
    pub payload: Span,
}

impl Header {
    /// Reads a packet that is not encrypted. Nothing when it is not RTP of version 2, or lies about its lengths.
    ///
    /// Padding of zero octets counts as one octet: the count includes itself.
    #[inline]
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED] = packet.first_chunk()?;
        if fixed[0] & VERSION_MASK != VERSION || packet.len() > PACKET_MAX {
            return None;
        }
        let sources = Span::new(FIXED, FIXED + 4 * usize::from(fixed[0] & SOURCES));
        let (profile, extension) = extension(packet, sources.end())?;
        let padding = if fixed[0] & PADDING == 0 { 0 } else { usize::from(*packet.last()?).max(1) };
        let start = extension.end();
        let end = packet.len().checked_sub(padding).filter(|end| *end >= start)?;
        let [_, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        Some(Self {
            marker: second & MARKER != 0,
            payload_type: second & !MARKER,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            sources,
            profile,
            extension,
            payload: Span::new(start, end),
        })
    }
}

/// Form and place of the header extension; where there is none, an empty place where it would be.
#[inline]
fn extension(packet: &[u8], at: usize) -> Option<(u16, Span)> {
    if packet[0] & EXTENSION == 0 {
        return (at <= packet.len()).then_some((0, Span::new(at, at)));
    }
    let &[p0, p1, l0, l1] = packet.get(at..at + 4)?.first_chunk()?;
    let end = at + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
    (end <= packet.len()).then(|| (u16::from_be_bytes([p0, p1]), Span::new(at + 4, end)))
}

/// Changes of a header in place. Packets that are shorter than the fixed header stay as they are.
pub mod edit {
    use super::{FIXED, MARKER};

    #[inline]
    fn put<const N: usize>(packet: &mut [u8], at: usize, octets: [u8; N]) {
        if packet.len() >= FIXED {
            packet[at..at + N].copy_from_slice(&octets);
        }
    }

    /// The marker bit.
    #[inline]
    pub fn marker(packet: &mut [u8], marker: bool) {
        let kind = packet.get(1).copied().unwrap_or_default();
        put(packet, 1, [if marker { kind | MARKER } else { kind & !MARKER }]);
    }

    /// The payload type; the marker bit stays.
    #[inline]
    pub fn payload_type(packet: &mut [u8], payload_type: u8) {
        let kind = packet.get(1).copied().unwrap_or_default();
        put(packet, 1, [kind & MARKER | payload_type & !MARKER]);
    }

    /// The sequence number.
    #[inline]
    pub fn sequence(packet: &mut [u8], sequence: u16) {
        put(packet, 2, sequence.to_be_bytes());
    }

    /// The timestamp.
    #[inline]
    pub fn timestamp(packet: &mut [u8], timestamp: u32) {
        put(packet, 4, timestamp.to_be_bytes());
    }

    /// The synchronisation source.
    #[inline]
    pub fn ssrc(packet: &mut [u8], ssrc: u32) {
        put(packet, 8, ssrc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 12] = [0x80, 0x80 | 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];

    fn with(first: u8, rest: &[&[u8]]) -> std::vec::Vec<u8> {
        [&[&[first], &PLAIN[1..]].concat()[..], &rest.concat()].concat()
    }

    #[test]
    fn a_payload_starts_behind_sources_and_extension_and_ends_before_padding() {
        let packet = with(0xb2, &[&[0; 8], &[0xbe, 0xde, 0, 1, 9, 9, 9, 9], &[1, 2, 3, 0, 2]]);
        let header = Header::read(&packet).expect("RTP");
        let expected = Header {
            marker: true,
            payload_type: 96,
            sequence: 1,
            timestamp: 2,
            ssrc: 3,
            sources: Span::new(12, 20),
            profile: 0xbede,
            extension: Span::new(24, 28),
            payload: Span::new(28, 31),
        };
        assert_eq!(header, expected);
        assert_eq!(header.payload.of(&packet), [1, 2, 3]);
    }

    #[test]
    fn what_lies_about_its_lengths_is_no_rtp() {
        assert!(Header::read(&PLAIN).is_some_and(|header| header.payload.is_empty()));
        for (packet, why) in [
            (with(0x81, &[]), "a source that is not there"),
            (with(0x90, &[&[0, 0, 0]]), "half an extension header"),
            (with(0x90, &[&[0, 0, 0, 2, 0, 0, 0, 0]]), "an extension that runs out"),
            (with(0xa0, &[&[1, 9]]), "more padding than payload"),
            (with(0xb0, &[&[0, 0, 0, 1, 1, 1, 1, 5]]), "padding that reaches into the extension"),
            (with(0x40, &[]), "version 1"),
            (PLAIN[..11].to_vec(), "a piece"),
            ([&PLAIN[..], &[0; 65_500]].concat(), "longer than a datagram"),
        ] {
            assert_eq!(Header::read(&packet), None, "{why}");
        }
        let odd = Header::read(&with(0xa0, &[&[1, 0]])).expect("RTP");
        assert_eq!(odd.payload, Span::new(12, 13), "padding of none is one octet");
    }

    #[test]
    fn payload_types_64_to_95_are_rtcp() {
        assert_eq!(Kind::of(&[0x80, 200]), Some(Kind::Rtcp));
        assert_eq!(Kind::of(&[0x80, 0x80 | 96]), Some(Kind::Rtp));
        assert_eq!(Kind::of(&[0x80, 63]), Some(Kind::Rtp));
        assert_eq!(Kind::of(&[0x80]), None);
    }

    #[test]
    fn edits_change_their_field_alone() {
        let mut packet = PLAIN;
        edit::sequence(&mut packet, 0xfffe);
        edit::timestamp(&mut packet, 0x1234_5678);
        edit::ssrc(&mut packet, 0x9abc_def0);
        edit::payload_type(&mut packet, 111);
        edit::marker(&mut packet, false);
        let header = Header::read(&packet).expect("RTP");
        assert_eq!((header.sequence, header.timestamp, header.ssrc), (0xfffe, 0x1234_5678, 0x9abc_def0));
        assert_eq!((header.payload_type, header.marker), (111, false));
        edit::marker(&mut packet, true);
        assert_eq!(packet[1], 0x80 | 111);
        let mut short = [1; 11];
        edit::ssrc(&mut short, 5);
        edit::marker(&mut short, true);
        assert_eq!(short, [1; 11]);
    }
}
