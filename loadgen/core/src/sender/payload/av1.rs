//! AV1 (RTP Payload Format For AV1 version 1.0.0): one frame OBU, before a key frame a sequence header OBU.

use super::bits::Bits;
use super::{Dimensions, Fragment};

/// Bits of the aggregation header (section 4.4).
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const ONE_ELEMENT: u8 = 0x10;
const TWO_ELEMENTS: u8 = 0x20;
const NEW_SEQUENCE: u8 = 0x08;
/// OBU headers without a size (AV1 section 5.3.2).
const SEQUENCE: u8 = 1 << 3;
const FRAME: u8 = 6 << 3;
/// An extension with the temporal layer follows the OBU header (AV1 section 5.3.3).
const EXTENSION: u8 = 1 << 2;
/// The beginning of a frame header: shown, and key or inter (AV1 section 5.9.2).
const KEY: u8 = 0x10;
const INTER: u8 = 0x30;
/// Octets of the sequence header.
const SEQUENCE_HEADER: usize = 12;

pub(super) fn write(payload: &mut [u8], fragment: &Fragment) -> usize {
    let continued = if fragment.last { 0 } else { CONTINUED };
    if !fragment.first {
        payload[0] = CONTINUES | continued | ONE_ELEMENT;
        return 1;
    }
    if !fragment.key {
        payload[0] = continued | ONE_ELEMENT;
        return 1 + write_frame(&mut payload[1..], fragment);
    }
    let frame = 3 + SEQUENCE_HEADER;
    payload[..3].copy_from_slice(&[continued | TWO_ELEMENTS | NEW_SEQUENCE, 1 + SEQUENCE_HEADER as u8, SEQUENCE]);
    write_sequence(&mut payload[3..frame], fragment.dimensions);
    frame + write_frame(&mut payload[frame..], fragment)
}

/// The beginning of a frame OBU.
fn write_frame(payload: &mut [u8], fragment: &Fragment) -> usize {
    let kind = if fragment.key { KEY } else { INTER };
    if fragment.layered {
        payload[..3].copy_from_slice(&[FRAME | EXTENSION, fragment.place.layer << 5, kind]);
        return 3;
    }
    payload[..2].copy_from_slice(&[FRAME, kind]);
    2
}

/// A sequence header (AV1 section 5.5): main profile, level 3.1, 8 bits, no tools that need more to be said.
fn write_sequence(octets: &mut [u8], dimensions: Dimensions) {
    let mut bits = Bits::new(octets);
    // Profile, still pictures, timing, display delay, operating points: none.
    bits.put(3 + 1 + 1 + 1 + 1 + 5 + 12, 0);
    bits.put(5, 5);
    // Width and height have 16 bits each.
    bits.put(8, 0xff);
    bits.put(16, u32::from(dimensions.width) - 1);
    bits.put(16, u32::from(dimensions.height) - 1);
    // Frame numbers, large blocks, intra and inter tools, order hints: none.
    bits.put(1 + 1 + 2 + 4 + 1, 0);
    // Screen content tools and integer vectors are chosen by the frame.
    bits.put(2, 0b11);
    // Scaling, filters, colours beyond the usual, film grain: none.
    bits.put(3 + 1 + 1 + 1 + 1 + 2 + 1 + 1, 0);
    let written = bits.finish();
    debug_assert_eq!(written, SEQUENCE_HEADER);
}
