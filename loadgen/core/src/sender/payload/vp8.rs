//! VP8 (RFC 7741), with a long picture number, temporal layer and its index.

use super::{Fragment, Place};

/// Octets of the payload descriptor (section 4.2).
pub(super) const DESCRIPTOR: usize = 6;

pub(super) fn write(payload: &mut [u8], fragment: &Fragment) -> usize {
    let Fragment { first, picture, base, place: Place { layer, sync, discardable, .. }, .. } = *fragment;
    // X, N where no other frame needs this one, and S where partition 0 begins.
    payload[0] = 0x80 | u8::from(discardable) << 5 | u8::from(first) << 4;
    // I, L and T.
    payload[1] = 0xe0;
    payload[2..4].copy_from_slice(&(picture | 0x8000).to_be_bytes());
    payload[4] = base;
    payload[5] = layer << 6 | u8::from(sync) << 5;
    DESCRIPTOR + if first { header(&mut payload[DESCRIPTOR..], fragment) } else { 0 }
}

/// The beginning of the frame (section 4.3; RFC 6386 section 9.1): whether it is a key frame, and how large.
fn header(payload: &mut [u8], fragment: &Fragment) -> usize {
    // 19 bits of size of the first partition, then show_frame, version 0, and zero for a key frame.
    let partition = (fragment.frame / 2).min(0x7_ffff);
    let tag = (partition << 5) | 0x10 | u32::from(!fragment.key);
    payload[..3].copy_from_slice(&tag.to_le_bytes()[..3]);
    if !fragment.key {
        return 3;
    }
    payload[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
    payload[6..8].copy_from_slice(&fragment.dimensions.width.to_le_bytes());
    payload[8..10].copy_from_slice(&fragment.dimensions.height.to_le_bytes());
    10
}
