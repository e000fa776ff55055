//! What of a header SRTP needs to know.

use crate::error::SrtpError;

/// Octets of RTCP that are never encrypted: the first header and the sender's SSRC (RFC 3711 section 3.4).
pub(crate) const RTCP_CLEAR: usize = 8;

/// The header of an RTP packet (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    pub ssrc: u32,
    pub sequence: u16,
    /// Octets up to the payload, CSRCs and extension included.
    pub octets: usize,
}

/// # Errors
/// It is not RTP, or runs past the end.
pub(crate) fn rtp(packet: &[u8]) -> Result<RtpHeader, SrtpError> {
    let fixed = packet.first_chunk::<12>().ok_or(SrtpError::Truncated)?;
    if fixed[0] >> 6 != 2 {
        return Err(SrtpError::Version);
    }
    let mut octets = 12 + 4 * usize::from(fixed[0] & 0xf);
    if fixed[0] & 0x10 != 0 {
        let extension = packet.get(octets..octets + 4).ok_or(SrtpError::Header)?;
        octets += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    if octets > packet.len() {
        return Err(SrtpError::Header);
    }
    let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
    Ok(RtpHeader { ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]), sequence, octets })
}

/// The SSRC of an RTCP packet's sender.
///
/// # Errors
/// It is not RTCP.
pub(crate) fn rtcp(packet: &[u8]) -> Result<u32, SrtpError> {
    let clear = packet.first_chunk::<RTCP_CLEAR>().ok_or(SrtpError::Truncated)?;
    if clear[0] >> 6 != 2 {
        return Err(SrtpError::Version);
    }
    Ok(u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrcs_and_extension_belong_to_the_header() {
        let mut packet = vec![0x92, 0, 1, 2, 0, 0, 0, 0, 9, 8, 7, 6];
        packet.extend([0; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        assert_eq!(rtp(&packet), Ok(RtpHeader { ssrc: 0x0908_0706, sequence: 0x0102, octets: 28 }));
        for cut in 12..28 {
            assert_eq!(rtp(&packet[..cut]), Err(SrtpError::Header), "{cut}");
        }
        for cut in 0..12 {
            assert_eq!(rtp(&packet[..cut]), Err(SrtpError::Truncated), "{cut}");
        }
        packet[0] = 0x52;
        assert_eq!(rtp(&packet), Err(SrtpError::Version));
    }

    #[test]
    fn rtcp_has_a_sender() {
        assert_eq!(rtcp(&[0x80, 201, 0, 1, 1, 2, 3, 4]), Ok(0x0102_0304));
        assert_eq!(rtcp(&[0x80, 201, 0, 1, 1, 2, 3]), Err(SrtpError::Truncated));
        assert_eq!(rtcp(&[0x40, 201, 0, 1, 1, 2, 3, 4]), Err(SrtpError::Version));
    }
}
