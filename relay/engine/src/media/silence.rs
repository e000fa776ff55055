//! What silence is in a codec's words.

use core::ops::Range;

use raceway_api::Codec;

use super::rtp::set_payload;

/// Opus: 20 ms of nothing, in a CELT frame (RFC 6716 section 3.1).
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Puts silence in the place of a payload; how long the packet is then. Nothing when the codec has no silence that could
/// be put there.
pub fn silence(codec: Codec, packet: &mut [u8], payload: &Range<usize>) -> Option<usize> {
    let filled = |octet: u8| core::iter::repeat_n(octet, payload.len());
    match codec {
        // G.711: the code of zero, positive.
        Codec::Pcmu => Some(set_payload(packet, payload, filled(0xff))),
        Codec::Pcma => Some(set_payload(packet, payload, filled(0xd5))),
        // G.722: the smallest step in both bands, which takes the step sizes down to nothing.
        Codec::G722 => Some(set_payload(packet, payload, filled(0xff))),
        // Shorter ones are pauses already.
        Codec::Opus => Some(set_payload(packet, payload, OPUS.into_iter())),
        Codec::ComfortNoise => Some(packet.len()),
        Codec::TelephoneEvent | Codec::G729 | Codec::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_has_the_length_that_its_codec_wants() {
        for (codec, octet, octets) in [(Codec::Pcmu, 0xff, 20), (Codec::Pcma, 0xd5, 20), (Codec::G722, 0xff, 20)] {
            let mut packet = [1; 32];
            assert_eq!(silence(codec, &mut packet, &(12..32)), Some(12 + octets));
            assert!(packet[12..].iter().all(|found| *found == octet) && packet[1..12] == [1; 11]);
        }
        let mut packet = [1; 32];
        assert_eq!(silence(Codec::Opus, &mut packet, &(12..32)), Some(15));
        assert_eq!(packet[12..15], OPUS);
        assert_eq!(silence(Codec::Opus, &mut packet, &(12..13)), Some(13));
        assert_eq!(silence(Codec::Other, &mut packet, &(12..32)), None);
    }
}
