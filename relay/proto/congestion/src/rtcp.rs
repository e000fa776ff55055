//! What the three feedback messages have in common: the header of an RTCP packet (RFC 3550 section 6.1, RFC 4585 section
//! 6.1).

use thiserror::Error;

/// Transport layer feedback (RFC 4585 section 6.2).
pub(crate) const RTPFB: u8 = 205;
/// Payload-specific feedback (RFC 4585 section 6.3).
pub(crate) const PSFB: u8 = 206;

/// Octets of the header and the SSRC of the sender.
pub(crate) const HEADER: usize = 8;

/// Why a message is not believed. Nothing of it has been when this is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum FeedbackError {
    /// Shorter than its fixed part, or than its length field says.
    #[error("the message is shorter than it says")]
    Truncated,
    /// The version is not 2, or the padding is longer than the packet.
    #[error("the message is not RTCP of version 2")]
    Version,
    /// Another packet type or format.
    #[error("the message is RTCP of another kind")]
    Kind,
    /// Chunks speak of fewer packets than are counted, or blocks run past the end.
    #[error("the message counts more packets than it has")]
    Count,
    /// More packets than anybody remembers (`FEEDBACK_PACKETS_MAX`).
    #[error("the message counts more packets than are remembered")]
    TooMany,
    /// A status symbol that is reserved (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.1).
    #[error("the message has a reserved packet status")]
    Reserved,
}

/// An RTCP packet: the sender's SSRC and what follows it, padding taken off.
pub(crate) fn read(packet: &[u8], kind: u8, format: u8) -> Result<(u32, &[u8]), FeedbackError> {
    let &[first, packet_type, high, low, a, b, c, d, ..] = packet else { return Err(FeedbackError::Truncated) };
    if first >> 6 != 2 {
        return Err(FeedbackError::Version);
    }
    if packet_type != kind || first & 0x1f != format {
        return Err(FeedbackError::Kind);
    }
    let octets = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
    let packet = packet.get(..octets).ok_or(FeedbackError::Truncated)?;
    let padding = if first & 0x20 == 0 { 0 } else { usize::from(packet[octets - 1]) };
    let end = octets.checked_sub(padding).ok_or(FeedbackError::Version)?;
    let body = packet.get(HEADER..end).ok_or(FeedbackError::Truncated)?;
    Ok((u32::from_be_bytes([a, b, c, d]), body))
}

/// Writes the header of a packet of so many octets, a multiple of four.
pub(crate) fn write_header(out: &mut [u8], kind: u8, format: u8, octets: usize, sender: u32) {
    debug_assert!(octets.is_multiple_of(4) && octets >= HEADER);
    out[..2].copy_from_slice(&[0x80 | format, kind]);
    out[2..4].copy_from_slice(&((octets / 4 - 1) as u16).to_be_bytes());
    out[4..8].copy_from_slice(&sender.to_be_bytes());
}

/// Two octets of a body, or an error that it is too short.
pub(crate) fn u16_at(body: &[u8], at: usize) -> Result<u16, FeedbackError> {
    let octets = body.get(at..at + 2).ok_or(FeedbackError::Truncated)?;
    Ok(u16::from_be_bytes([octets[0], octets[1]]))
}

/// Four octets of a body, or an error that it is too short.
pub(crate) fn u32_at(body: &[u8], at: usize) -> Result<u32, FeedbackError> {
    Ok(u32::from(u16_at(body, at)?) << 16 | u32::from(u16_at(body, at + 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_taken_off_and_may_not_be_longer_than_the_packet() {
        let mut packet = [0xaf, RTPFB, 0, 3, 0, 0, 0, 7, 1, 2, 3, 4, 0, 0, 0, 4];
        assert_eq!(read(&packet, RTPFB, 15), Ok((7, &[1, 2, 3, 4][..])));
        packet[15] = 17;
        assert_eq!(read(&packet, RTPFB, 15), Err(FeedbackError::Version));
        packet[15] = 9;
        assert_eq!(read(&packet, RTPFB, 15), Err(FeedbackError::Truncated));
    }

    #[test]
    fn what_is_longer_than_its_datagram_or_of_another_kind_is_refused() {
        let packet = [0x8f, RTPFB, 0, 2, 0, 0, 0, 7, 1, 2, 3, 4];
        assert_eq!(read(&packet[..11], RTPFB, 15), Err(FeedbackError::Truncated));
        assert_eq!(read(&packet[..3], RTPFB, 15), Err(FeedbackError::Truncated));
        assert_eq!(read(&packet, RTPFB, 11), Err(FeedbackError::Kind));
        assert_eq!(read(&packet, PSFB, 15), Err(FeedbackError::Kind));
        assert_eq!(read(&[0x4f, RTPFB, 0, 1, 0, 0, 0, 7], RTPFB, 15), Err(FeedbackError::Version));
    }
}
