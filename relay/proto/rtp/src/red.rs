//! Redundant audio (RFC 2198 section 3).

use crate::limits::RED_BLOCKS_MAX;
use crate::span::Span;

/// In the first octet of a block's header: another header follows.
const FOLLOWS: u8 = 0x80;

/// A block of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its payload type.
    pub payload_type: u8,
    /// How much earlier than the packet's its timestamp is; zero for the primary block.
    pub earlier: u16,
    /// Where it is in the payload.
    pub data: Span,
}

/// Blocks of a payload, the primary one last. Nothing if lengths do not fit, or there are more than [`RED_BLOCKS_MAX`].
pub fn blocks(payload: &[u8]) -> Option<impl Iterator<Item = Block> + '_> {
    let mut headers = 0;
    let (mut at, mut redundant) = (0, 0);
    while payload.get(at)? & FOLLOWS != 0 {
        let &[_, _, high, low] = payload.get(at..)?.first_chunk()?;
        redundant += usize::from(u16::from_be_bytes([high, low]) & 0x3ff);
        (at, headers) = (at + 4, headers + 1);
    }
    let mut start = at + 1;
    if start + redundant > payload.len() || headers >= RED_BLOCKS_MAX {
        return None;
    }
    Some((0..=headers).map(move |number| {
        let header = &payload[4 * number..];
        let payload_type = header[0] & !FOLLOWS;
        if number == headers {
            return Block { payload_type, earlier: 0, data: Span::new(start, payload.len()) };
        }
        let offset = u16::from_be_bytes([header[1], header[2]]) >> 2;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]) & 0x3ff);
        let data = Span::new(start, start + length);
        start += length;
        Block { payload_type, earlier: offset, data }
    }))
}

/// The primary block: what the packet is about.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<Block> {
    blocks(payload)?.last()
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn blocks_are_read_in_their_order_the_primary_one_last() {
        // 960 units earlier, three octets.
        let payload = [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2, 3, 9, 9];
        let read: Vec<_> = blocks(&payload).expect("whole").collect();
        let redundant = Block { payload_type: 111, earlier: 960, data: Span::new(5, 8) };
        let last = Block { payload_type: 111, earlier: 0, data: Span::new(8, 10) };
        assert_eq!(read, [redundant, last]);
        assert_eq!(primary(&payload), Some(last));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert!(blocks(&[0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2]).is_none());
        assert!(blocks(&[0x80 | 111, 0x0f, 0x00]).is_none());
        assert!(blocks(&[]).is_none());
        let many = [&[0x80, 0, 0, 0].repeat(RED_BLOCKS_MAX)[..], &[0]].concat();
        assert!(blocks(&many).is_none() && blocks(&many[4..]).is_some());
    }
}
