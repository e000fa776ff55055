//! Receiver estimated maximum bit rate (draft-alvestrand-rmcat-remb-03 section 2.2): for who only has that.

use crate::BitRate;
use crate::limits::REMB_SSRCS;
use crate::rtcp::{self, FeedbackError};

/// FMT of application layer feedback (RFC 4585 section 6.4).
const FORMAT: u8 = 15;
const NAME: [u8; 4] = *b"REMB";
/// Octets of the body before the SSRCs: media SSRC (zero), name, count, exponent and mantissa.
const FIXED: usize = 12;
const MANTISSA_BITS: u32 = 18;

/// A message, checked: its SSRCs are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Who says so.
    pub sender: u32,
    /// How much all the streams together may be.
    pub rate: BitRate,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    /// Reads an RTCP packet, one of a compound packet. A rate beyond 64 bits is the highest.
    ///
    /// # Errors
    /// It is not REMB, or not whole.
    pub fn read(packet: &'a [u8]) -> Result<Self, FeedbackError> {
        let (sender, body) = rtcp::read(packet, rtcp::PSFB, FORMAT)?;
        let fixed = body.get(..FIXED).ok_or(FeedbackError::Truncated)?;
        if fixed[4..8] != NAME {
            return Err(FeedbackError::Kind);
        }
        let packed = rtcp::u32_at(body, 8)?;
        let (count, exponent) = ((packed >> 24) as usize, packed >> MANTISSA_BITS & 0x3f);
        let rate = u128::from(packed & 0x3_ffff) << exponent;
        let ssrcs = body.get(FIXED..FIXED + count * 4).ok_or(FeedbackError::Count)?;
        Ok(Self { sender, rate: BitRate::from_bps(u64::try_from(rate).unwrap_or(u64::MAX)), ssrcs })
    }

    /// Streams that the rate is for.
    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.ssrcs.chunks_exact(4).map(|octets| u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]))
    }
}

/// Writes a message and says how many octets it has; none if there is no room, or there are too many streams. The rate is
/// rounded down to 18 bits.
#[must_use]
pub fn write(out: &mut [u8], sender: u32, rate: BitRate, ssrcs: &[u32]) -> Option<usize> {
    let octets = rtcp::HEADER + FIXED + ssrcs.len() * 4;
    if ssrcs.len() > REMB_SSRCS || out.len() < octets {
        return None;
    }
    rtcp::write_header(out, rtcp::PSFB, FORMAT, octets, sender);
    let body = &mut out[rtcp::HEADER..octets];
    body[..4].fill(0);
    body[4..8].copy_from_slice(&NAME);
    let exponent = (u64::BITS - rate.as_bps().leading_zeros()).saturating_sub(MANTISSA_BITS);
    let packed = (ssrcs.len() as u32) << 24 | exponent << MANTISSA_BITS | (rate.as_bps() >> exponent) as u32;
    body[8..12].copy_from_slice(&packed.to_be_bytes());
    for (octets, ssrc) in body[FIXED..].chunks_exact_mut(4).zip(ssrcs) {
        octets.copy_from_slice(&ssrc.to_be_bytes());
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_of_section_2_2_is_read() {
        // Exponent 1, mantissa 0x3ffff.
        let packet = [0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x07, 0xff, 0xff, 0, 0, 0, 9];
        let remb = Remb::read(&packet).unwrap();
        assert_eq!((remb.sender, remb.rate), (1, BitRate::from_bps(0x3_ffff << 1)));
        assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn other_application_feedback_and_missing_streams_are_refused() {
        let mut packet = [0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 2, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(Remb::read(&packet), Err(FeedbackError::Count));
        packet[12] = b'r';
        assert_eq!(Remb::read(&packet), Err(FeedbackError::Kind));
        assert_eq!(Remb::read(&[0x8f, 206, 0, 1, 0, 0, 0, 1]), Err(FeedbackError::Truncated));
    }

    #[test]
    fn a_rate_beyond_64_bits_is_the_highest() {
        let packet = [0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0, 0xff, 0xff, 0xff];
        assert_eq!(Remb::read(&packet).unwrap().rate, BitRate::from_bps(u64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bps: u64, ssrcs in prop::collection::vec(any::<u32>(), 0..20)) {
            let mut out = [0; 200];
            let octets = write(&mut out, 5, BitRate::from_bps(bps), &ssrcs).unwrap();
            let remb = Remb::read(&out[..octets]).unwrap();
            prop_assert_eq!(remb.ssrcs().collect::<Vec<_>>(), ssrcs);
            prop_assert!(remb.rate.as_bps() <= bps && remb.rate.as_bps() >= bps - (bps >> 17), "rounded down by little");
        }
    }
}
