//! RTCP as a forwarder reads and writes it (RFC 3550 section 6, RFC 4585 section 6, RFC 5104 section 4.3).

mod feedback;
mod report;
mod write;

pub use feedback::{Fir, Nack, Remb, nacks};
pub use report::{ReportBlock, SenderInfo};
pub use write::Compound;

/// RTCP packet types (RFC 3550 section 12.1, RFC 4585 section 9).
pub mod packet_type {
    /// Sender report.
    pub const SENDER_REPORT: u8 = 200;
    /// Receiver report.
    pub const RECEIVER_REPORT: u8 = 201;
    /// Source description.
    pub const SOURCE_DESCRIPTION: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Transport layer feedback.
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    /// Payload-specific feedback.
    pub const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Formats of feedback.
pub mod format {
    /// Generic NACK (RFC 4585 section 6.2.1), of transport layer feedback.
    pub const NACK: u8 = 1;
    /// Picture loss indication (RFC 4585 section 6.3.1).
    pub const PICTURE_LOSS: u8 = 1;
    /// Full intra request (RFC 5104 section 4.3.1).
    pub const FULL_INTRA: u8 = 4;
    /// Application layer feedback (RFC 4585 section 6.4), of which REMB is one.
    pub const APPLICATION: u8 = 15;
}

/// Octets of a packet's own header, and of feedback with its two sources.
const HEADER: usize = 4;
const FEEDBACK: usize = 12;

/// An RTCP packet of a compound one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// One of [`packet_type`], or another.
    pub kind: u8,
    /// Reports or sources in it, or the format of the feedback.
    pub count: u8,
    /// The whole packet, without padding.
    pub octets: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The first of what `rest` holds, and what is behind it.
    fn split(rest: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let &[first, kind, high, low] = rest.first_chunk()?;
        let octets = HEADER + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, rest) = rest.split_at_checked(octets)?;
        let padding = if first & 0x20 == 0 { 0 } else { usize::from(*packet.last()?) };
        let end = octets.checked_sub(padding).filter(|end| *end >= HEADER)?;
        (first & 0xc0 == 0x80).then_some((Self { kind, count: first & 0x1f, octets: &packet[..end] }, rest))
    }

    /// Whose it is: its first source.
    #[must_use]
    pub fn sender(&self) -> Option<u32> {
        word(self.octets, HEADER)
    }

    /// Of feedback: the source it is about. Zero where each entry names its own.
    #[must_use]
    pub fn media(&self) -> Option<u32> {
        self.is_feedback().then(|| word(self.octets, 8))?
    }

    /// Of feedback: what follows its sources.
    #[must_use]
    pub fn feedback(&self) -> &'a [u8] {
        if self.is_feedback() { self.octets.get(FEEDBACK..).unwrap_or_default() } else { &[] }
    }

    const fn is_feedback(&self) -> bool {
        matches!(self.kind, packet_type::TRANSPORT_FEEDBACK | packet_type::PAYLOAD_FEEDBACK)
    }

    /// Whether it is a picture loss indication.
    #[must_use]
    pub const fn is_picture_loss(&self) -> bool {
        self.kind == packet_type::PAYLOAD_FEEDBACK && self.count == format::PICTURE_LOSS
    }

    /// Sources that say goodbye (RFC 3550 section 6.6).
    pub fn goodbyes(&self) -> impl Iterator<Item = u32> {
        let sources = if self.kind == packet_type::BYE { self.octets.get(HEADER..) } else { None };
        sources.unwrap_or_default().chunks_exact(4).take(self.count.into()).filter_map(|source| word(source, 0))
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Packets of a compound one, as far as they are whole.
pub fn packets(compound: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let mut rest = compound;
    core::iter::from_fn(move || {
        let (packet, after) = Packet::split(rest)?;
        rest = after;
        Some(packet)
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn packets_are_read_as_far_as_they_are_whole() {
        let bye = [0x82, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6];
        let compound = [&bye[..], &pli, &[0x81, 206, 0, 2, 0]].concat();
        let read: Vec<_> = packets(&compound).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].goodbyes().collect::<Vec<_>>(), [1, 2]);
        assert!(read[1].is_picture_loss() && !read[0].is_picture_loss());
        assert_eq!((read[1].sender(), read[1].media(), read[0].media()), (Some(5), Some(6), None));
        assert_eq!(packets(&[0x41, 203, 0, 0]).count(), 0, "version 1");
    }

    #[test]
    fn padding_is_no_part_of_a_packet() {
        let padded = [0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
        assert_eq!(packets(&padded).next().map(|packet| packet.octets.len()), Some(8));
        let lying = [0xa1, 203, 0, 0];
        assert_eq!(packets(&lying).count(), 1, "four octets less 0");
        assert_eq!(packets(&[0xa1, 203, 0, 1, 0, 0, 0, 9]).count(), 0, "more padding than packet");
    }

    #[test]
    fn a_goodbye_of_more_sources_than_are_there_is_of_those_there() {
        let bye = [0x9f, 203, 0, 1, 0, 0, 0, 1];
        assert_eq!(packets(&bye).next().expect("one").goodbyes().count(), 1);
    }
}
