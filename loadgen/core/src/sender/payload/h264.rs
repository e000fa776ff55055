//! H.264 (RFC 6184), packetization mode 1: frames of one NAL unit, whole or as FU-A, parameter sets as STAP-A.

use super::bits::Bits;
use super::{Dimensions, Fragment};

/// NAL unit types (ITU-T H.264 table 7-1) with the importance that encoders give them (RFC 6184 section 5.3): none where no
/// other frame needs it.
const SLICE: u8 = 0x41;
const DISCARDABLE_SLICE: u8 = 0x01;
const KEY_SLICE: u8 = 0x65;
const SEQUENCE: u8 = 0x67;
const PICTURE: u8 = 0x68;
const IMPORTANCE: u8 = 0x60;
const TYPE: u8 = 0x1f;
/// RFC 6184 table 1.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START: u8 = 0x80;
const END: u8 = 0x40;
/// Octets that a sequence parameter set is at most: no start code occurs in what is written.
const SEQUENCE_MAX: usize = 16;
/// A picture parameter set: identifier 0 of sequence 0, CAVLC, one reference, nothing else.
const PICTURE_SET: [u8; 4] = [PICTURE, 0xce, 0x3c, 0x80];
/// Picture elements of a macroblock's side.
const MACROBLOCK: u32 = 16;

pub(super) fn write(payload: &mut [u8], fragment: &Fragment) -> usize {
    let unit = match fragment.place.discardable {
        _ if fragment.key => KEY_SLICE,
        true => DISCARDABLE_SLICE,
        false => SLICE,
    };
    if fragment.first && fragment.last {
        payload[0] = unit;
        return 1;
    }
    let (start, end) = (if fragment.first { START } else { 0 }, if fragment.last { END } else { 0 });
    payload[..2].copy_from_slice(&[(unit & IMPORTANCE) | FU_A, start | end | (unit & TYPE)]);
    2
}

pub(super) fn write_parameter_sets(payload: &mut [u8], dimensions: Dimensions) -> usize {
    payload[0] = IMPORTANCE | STAP_A;
    let sequence = write_sequence(&mut payload[3..3 + SEQUENCE_MAX], dimensions);
    payload[1..3].copy_from_slice(&(sequence as u16).to_be_bytes());
    let picture = 3 + sequence;
    payload[picture..picture + 2].copy_from_slice(&(PICTURE_SET.len() as u16).to_be_bytes());
    payload[picture + 2..picture + 2 + PICTURE_SET.len()].copy_from_slice(&PICTURE_SET);
    picture + 2 + PICTURE_SET.len()
}

/// A sequence parameter set (ITU-T H.264 section 7.3.2.1.1): constrained baseline, level 3.1.
fn write_sequence(octets: &mut [u8], dimensions: Dimensions) -> usize {
    let (width, height) = (u32::from(dimensions.width), u32::from(dimensions.height));
    let (columns, rows) = (width.div_ceil(MACROBLOCK), height.div_ceil(MACROBLOCK));
    octets[..4].copy_from_slice(&[SEQUENCE, 0x42, 0xe0, 0x1f]);
    let mut bits = Bits::new(&mut octets[4..]);
    // Identifier, frame numbers of 4 bits, order of output as decoded, one reference frame, no gaps.
    [0, 0, 2, 1].into_iter().for_each(|value| bits.put_ue(value));
    bits.put(1, 0);
    bits.put_ue(columns - 1);
    bits.put_ue(rows - 1);
    // Frames only, direct inference.
    bits.put(2, 0b11);
    let (right, bottom) = (columns * MACROBLOCK - width, rows * MACROBLOCK - height);
    bits.put(1, u32::from(right + bottom > 0));
    if right + bottom > 0 {
        // In units of two picture elements: left, right, top, bottom.
        [0, right / 2, 0, bottom / 2].into_iter().for_each(|value| bits.put_ue(value));
    }
    // No usability information.
    bits.put(1, 0);
    4 + bits.finish()
}
