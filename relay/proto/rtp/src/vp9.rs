//! The VP9 payload descriptor (RFC 9628 section 4.2).

use arrayvec::ArrayVec;

pub use crate::vp8::PictureId;

/// In the first octet.
const I: u8 = 0x80;
const P: u8 = 0x40;
const L: u8 = 0x20;
const F: u8 = 0x10;
const B: u8 = 0x08;
const E: u8 = 0x04;
const V: u8 = 0x02;
const Z: u8 = 0x01;
/// References of a picture in flexible mode, at most (section 4.2: P_DIFF, "up to three times").
pub const DIFFERENCES_MAX: usize = 3;

/// Pictures of a group that are read. Encoders of three temporal layers repeat four.
pub const GROUP_MAX: usize = 16;
/// For each picture of a group, how many pictures back those are that it needs; zeros behind the last.
pub type Group = ArrayVec<[u8; DIFFERENCES_MAX], GROUP_MAX>;

/// The descriptor of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vp9 {
    /// The first packet of a layer's frame (B).
    pub start: bool,
    /// The last packet of a layer's frame (E).
    pub end: bool,
    /// The frame needs frames of earlier pictures (P).
    pub inter_picture: bool,
    /// No frame of a higher spatial layer of this picture needs this one (Z).
    pub not_for_upper: bool,
    /// Number of the picture.
    pub picture: Option<PictureId>,
    /// Temporal layer (TID).
    pub temporal: u8,
    /// Later pictures of higher temporal layers need none of theirs before this one (U).
    pub switching_up: bool,
    /// Spatial layer (SID).
    pub spatial: u8,
    /// The frame needs the next lower spatial layer's of the same picture (D).
    pub inter_layer: bool,
    /// Number of the last picture of temporal layer 0 (TL0PICIDX), and where it is. Not in flexible mode.
    pub base: Option<(u8, u8)>,
    /// The descriptor says which pictures are needed (F).
    pub flexible: bool,
    /// In flexible mode: how many pictures back those are that this frame needs.
    pub differences: ArrayVec<u8, DIFFERENCES_MAX>,
    /// Spatial layers of the stream, where the packet says so.
    pub layers: Option<u8>,
    /// Pictures that repeat from this one on, with what they need, where the packet says so: always so, unless in flexible
    /// mode. Nothing if they are more than [`GROUP_MAX`].
    pub group: Option<Group>,
    /// Octets of the descriptor.
    pub length: u16,
}

impl Vp9 {
    /// Reads the beginning of a payload. Nothing if it is cut short, or has more references than there may be.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut at = 1;
        let mut picture = None;
        if first & I != 0 {
            let (number, next) = PictureId::read(payload, at)?;
            (picture, at) = (Some(number), next);
        }
        let (mut layer, mut base) = (0, None);
        if first & L != 0 {
            layer = *payload.get(at)?;
            at += 1;
            if first & F == 0 {
                base = Some((*payload.get(at)?, at as u8));
                at += 1;
            }
        }
        let mut differences = ArrayVec::new();
        if first & (P | F) == P | F {
            at = read_differences(payload, at, &mut differences)?;
        }
        let (mut layers, mut group) = (None, None);
        if first & V != 0 {
            layers = Some((*payload.get(at)? >> 5) + 1);
            (group, at) = read_structure(payload, at)?;
        }
        (at <= payload.len()).then_some(())?;
        Some(Self {
            start: first & B != 0,
            end: first & E != 0,
            inter_picture: first & P != 0,
            not_for_upper: first & Z != 0,
            picture,
            temporal: layer >> 5,
            switching_up: layer & 0x10 != 0,
            spatial: layer >> 1 & 0x07,
            inter_layer: layer & 0x01 != 0,
            base,
            flexible: first & F != 0,
            differences,
            layers,
            group,
            length: at as u16,
        })
    }

    /// The packet begins a key picture: it is the lowest layer's first, and needs nothing before.
    #[must_use]
    pub const fn is_key(&self) -> bool {
        self.start && !self.inter_picture && self.spatial == 0
    }
}

/// Differences of seven bits, the last of which says that no more follow.
fn read_differences(payload: &[u8], mut at: usize, differences: &mut ArrayVec<u8, DIFFERENCES_MAX>) -> Option<usize> {
    loop {
        let octet = *payload.get(at)?;
        differences.try_push(octet >> 1).ok()?;
        at += 1;
        if octet & 1 == 0 {
            return Some(at);
        }
    }
}

/// Sizes of layers, then pictures of a group with their references; and where that ends.
fn read_structure(payload: &[u8], mut at: usize) -> Option<(Option<Group>, usize)> {
    let head = *payload.get(at)?;
    at += 1;
    if head & 0x10 != 0 {
        at += 4 * (usize::from(head >> 5) + 1);
    }
    if head & 0x08 == 0 {
        return Some((None, at));
    }
    let pictures = usize::from(*payload.get(at)?);
    at += 1;
    let mut group = Group::new();
    for _ in 0..pictures {
        let count = usize::from(*payload.get(at)? >> 2 & 0x03);
        let differences = payload.get(at + 1..at + 1 + count)?;
        let mut picture = [0; DIFFERENCES_MAX];
        picture.iter_mut().zip(differences).for_each(|(place, back)| *place = *back);
        let _ = group.try_push(picture);
        at += 1 + count;
    }
    Some(((1..=GROUP_MAX).contains(&pictures).then_some(group), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_flexible_mode_says_what_it_needs() {
        let payload = [I | P | L | F | B | E | Z, 0x81, 0x00, 0x35, 0x03, 0x04, 9];
        let read = Vp9::read(&payload).expect("whole");
        assert_eq!(read.picture, Some(PictureId { at: 1, value: 0x100, wide: true }));
        assert_eq!((read.temporal, read.switching_up, read.spatial, read.inter_layer), (1, true, 2, true));
        assert_eq!((&read.differences[..], read.base, read.length), (&[1, 2][..], None, 6));
        assert!(read.start && read.end && read.not_for_upper && read.flexible && !read.is_key());
        assert!((0..6).all(|cut| Vp9::read(&payload[..cut]).is_none()));
    }

    #[test]
    fn a_key_picture_says_what_the_stream_is_like() {
        // Two layers with sizes, a group of two pictures: one of layer 0 that needs the one 2 back, one of layer 1.
        let structure = [0x38, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0x04, 2, 0x34, 1];
        let payload = [&[I | L | B | V, 0x05, 0x00, 0x07], &structure[..], &[9]].concat();
        let read = Vp9::read(&payload).expect("whole");
        assert!(read.is_key() && !read.flexible);
        assert_eq!((read.layers, read.base, read.length), (Some(2), Some((7, 3)), 18));
        assert_eq!(read.group.as_deref(), Some(&[[2, 0, 0], [1, 0, 0]][..]));
        assert!((0..18).all(|cut| Vp9::read(&payload[..cut]).is_none()));
    }

    #[test]
    fn more_references_than_there_may_be_are_refused() {
        assert!(Vp9::read(&[P | F, 3, 3, 2]).is_some());
        assert_eq!(Vp9::read(&[P | F, 3, 3, 3, 2]), None);
    }

    #[test]
    fn a_higher_layer_of_a_key_picture_begins_none() {
        assert!(!Vp9::read(&[L | B | F, 0x03]).expect("whole").is_key());
    }
}
