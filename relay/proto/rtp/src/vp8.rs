//! The VP8 payload descriptor (RFC 7741 section 4.2) and the beginning of a frame (section 4.3).

/// In the first octet: more follow, no frame needs this one, a partition begins, its number.
const X: u8 = 0x80;
const N: u8 = 0x20;
const S: u8 = 0x10;
const PARTITION: u8 = 0x07;
/// In the second.
const I: u8 = 0x80;
const L: u8 = 0x40;
const T: u8 = 0x20;
const K: u8 = 0x10;
/// A picture number of 15 bits.
const M: u8 = 0x80;
/// Layer synchronisation, beside the temporal layer.
const Y: u8 = 0x20;
/// The frame is an inter frame.
const INTER: u8 = 0x01;

/// A picture number, and where it is in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Where its first octet is.
    pub at: u8,
    /// 7 or 15 bits.
    pub value: u16,
    /// It has 15 bits.
    pub wide: bool,
}

impl PictureId {
    /// Reads the one at `at`.
    pub(crate) fn read(payload: &[u8], at: usize) -> Option<(Self, usize)> {
        let high = *payload.get(at)?;
        if high & M == 0 {
            return Some((Self { at: at as u8, value: high.into(), wide: false }, at + 1));
        }
        let value = u16::from_be_bytes([high & !M, *payload.get(at + 1)?]);
        Some((Self { at: at as u8, value, wide: true }, at + 2))
    }

    /// Puts another number, as far as its bits go, in its place.
    #[inline]
    pub fn write(self, payload: &mut [u8], value: u16) {
        let at = usize::from(self.at);
        if self.wide {
            if let Some(place) = payload.get_mut(at..at + 2) {
                place.copy_from_slice(&(value | 0x8000).to_be_bytes());
            }
        } else if let Some(place) = payload.get_mut(at) {
            *place = value as u8 & !M;
        }
    }

    /// `value` with as many bits as this one has.
    #[inline]
    #[must_use]
    pub const fn fit(self, value: u16) -> u16 {
        value & if self.wide { 0x7fff } else { 0x7f }
    }
}

/// The descriptor of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8 {
    /// The first packet of a frame: partition 0 begins.
    pub start: bool,
    /// No other frame needs this one (N).
    pub discardable: bool,
    /// The packet begins a key frame. Only the first of a frame says so.
    pub key: bool,
    /// Number of the frame.
    pub picture: Option<PictureId>,
    /// Number of the last frame of temporal layer 0 (TL0PICIDX), and where it is.
    pub base: Option<(u8, u8)>,
    /// Temporal layer (TID), and whether the frame needs layer 0 alone (Y).
    pub layer: Option<(u8, bool)>,
    /// The octet with temporal layer and key frame number, and where it is, if the latter (KEYIDX) is there.
    pub key_index: Option<(u8, u8)>,
    /// Octets of the descriptor.
    pub length: u8,
}

impl Vp8 {
    /// Bits of the key frame number.
    pub const KEY_INDEX: u8 = 0x1f;

    /// Reads the beginning of a payload. Nothing if it is cut short.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let flags = if first & X == 0 { 0 } else { *payload.get(1)? };
        let mut at = if first & X == 0 { 1 } else { 2 };
        let mut picture = None;
        if flags & I != 0 {
            let (number, next) = PictureId::read(payload, at)?;
            (picture, at) = (Some(number), next);
        }
        let mut base = None;
        if flags & L != 0 {
            base = Some((*payload.get(at)?, at as u8));
            at += 1;
        }
        let (mut layer, mut key_index) = (None, None);
        if flags & (T | K) != 0 {
            let octet = *payload.get(at)?;
            layer = (flags & T != 0).then_some((octet >> 6, octet & Y != 0));
            key_index = (flags & K != 0).then_some((octet, at as u8));
            at += 1;
        }
        let start = first & S != 0 && first & PARTITION == 0;
        let frame = *payload.get(at)?;
        Some(Self {
            start,
            discardable: first & N != 0,
            key: start && frame & INTER == 0,
            picture,
            base,
            layer,
            key_index,
            length: at as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_are_read_with_their_places() {
        let payload = [0xb0, 0xf0, 0x92, 0x34, 0x07, 0xa3, 0x10];
        let read = Vp8::read(&payload).expect("whole");
        let expected = Vp8 {
            start: true,
            discardable: true,
            key: true,
            picture: Some(PictureId { at: 2, value: 0x1234, wide: true }),
            base: Some((7, 4)),
            layer: Some((2, true)),
            key_index: Some((0xa3, 5)),
            length: 6,
        };
        assert_eq!(read, expected);
        assert!((0..payload.len()).all(|cut| Vp8::read(&payload[..cut]).is_none()));
    }

    #[test]
    fn a_descriptor_may_be_one_octet() {
        let read = Vp8::read(&[0x10, 0x01]).expect("whole");
        assert_eq!((read.start, read.key, read.picture, read.length), (true, false, None, 1));
    }

    #[test]
    fn a_short_picture_number_stays_short() {
        let mut payload = [0x80, 0x80, 0x7f, 0x01];
        let picture = Vp8::read(&payload).and_then(|vp8| vp8.picture).expect("there");
        assert_eq!((picture.value, picture.wide, picture.fit(0x80)), (0x7f, false, 0));
        picture.write(&mut payload, 0x81);
        assert_eq!(payload, [0x80, 0x80, 0x01, 0x01]);
    }

    #[test]
    fn only_the_first_packet_of_partition_0_says_that_a_frame_is_a_key_frame() {
        assert!(Vp8::read(&[0x10, 0x00]).expect("whole").key);
        assert!(!Vp8::read(&[0x00, 0x00]).expect("whole").key, "not the first");
        assert!(!Vp8::read(&[0x11, 0x00]).expect("whole").start, "another partition");
    }
}
