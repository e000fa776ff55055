//! Retransmission payloads (RFC 4588 section 4): the original sequence number, then the original payload.

use crate::header::{FIXED, Header, edit};

/// Octets of the original sequence number.
pub const ORIGINAL: usize = 2;

/// Makes the packet that `packet` repeats out of it, in place: it begins at [`ORIGINAL`] then. The media stream's `ssrc` and
/// `payload_type` come from signalling (section 8).
///
/// Header extensions stay: they are those of the repetition. Nothing if there is no payload, as of packets that probe.
pub fn unwrap(packet: &mut [u8], ssrc: u32, payload_type: u8) -> Option<usize> {
    let header = Header::read(packet)?;
    let &[high, low] = header.payload.of(packet).first_chunk()?;
    // The header moves over the sequence number, which is shorter than moving the payload.
    packet.copy_within(..header.payload.start(), ORIGINAL);
    let original = &mut packet[ORIGINAL..];
    edit::sequence(original, u16::from_be_bytes([high, low]));
    edit::ssrc(original, ssrc);
    edit::payload_type(original, payload_type);
    Some(ORIGINAL)
}

/// Makes a repetition of the packet of `length` octets that begins at [`ORIGINAL`] in `buffer`: it begins at 0 then, and is
/// [`ORIGINAL`] longer. Nothing if it is no packet.
pub fn wrap(buffer: &mut [u8], length: usize, ssrc: u32, payload_type: u8, sequence: u16) -> Option<usize> {
    let packet = buffer.get(ORIGINAL..ORIGINAL + length)?;
    let header = Header::read(packet)?;
    let payload = header.payload.start();
    debug_assert!(payload >= FIXED);
    buffer.copy_within(ORIGINAL..ORIGINAL + payload, 0);
    buffer[payload..payload + ORIGINAL].copy_from_slice(&header.sequence.to_be_bytes());
    edit::sequence(buffer, sequence);
    edit::ssrc(buffer, ssrc);
    edit::payload_type(buffer, payload_type);
    Some(length + ORIGINAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: [u8; 24] =
        [0x90, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 9, 0, 0, 1, 2, 3, 4];

    #[test]
    fn what_was_wrapped_is_unwrapped() {
        let mut buffer = [0; 26];
        buffer[ORIGINAL..].copy_from_slice(&MEDIA);
        assert_eq!(wrap(&mut buffer, MEDIA.len(), 7, 97, 0xfffe), Some(26));
        let header = Header::read(&buffer).expect("RTP");
        assert_eq!((header.ssrc, header.payload_type, header.sequence), (7, 97, 0xfffe));
        assert_eq!((header.timestamp, header.marker), (2, true));
        assert_eq!(header.payload.of(&buffer), [0x12, 0x34, 1, 2, 3, 4]);
        assert_eq!(unwrap(&mut buffer, 3, 96), Some(ORIGINAL));
        assert_eq!(buffer[ORIGINAL..], MEDIA);
    }

    #[test]
    fn a_packet_without_an_original_repeats_none() {
        let mut probe = [0x80, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 5];
        assert_eq!(unwrap(&mut probe, 3, 96), None);
        assert_eq!(unwrap(&mut [0; 5], 3, 96), None);
        assert_eq!(wrap(&mut [0; 14], 12, 7, 97, 1), None, "not RTP");
        assert_eq!(wrap(&mut [0; 4], 12, 7, 97, 1), None, "no room");
    }
}
