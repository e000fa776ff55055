//! HMAC-SHA1 (RFC 2104) of many short messages.
//!
//! One message after the other with the `sha1` crate, which uses the processor's SHA extensions; or sixteen side by side
//! ([`Lanes`]), which where there is AVX-512 is more than twice as fast. The results are the same.

mod lanes;
#[cfg(test)]
mod tests;

pub use lanes::Lanes;

use sha1::block_api::compress;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets of a block.
const BLOCK: usize = 64;

/// A hash in the making.
type State = [u32; 5];

const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// Octets of a whole tag, before it is truncated.
pub(crate) const TAG: usize = 20;

/// A key, as far as it can be hashed beforehand: 40 octets.
pub(crate) struct HmacKey {
    inner: State,
    outer: State,
}

/// A message to be authenticated.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub key: &'a HmacKey,
    pub octets: &'a [u8],
}

impl HmacKey {
    pub fn new(key: &[u8; TAG]) -> Self {
        let hashed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
            let mut state = INITIAL;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: hashed(0x36), outer: hashed(0x5c) }
    }

    /// The tag of one message.
    pub fn tag(&self, octets: &[u8]) -> [u8; TAG] {
        self.finish(self.inner, octets, octets.len())
    }

    /// The tag of a message of which only `rest` is not in `state` yet.
    fn finish(&self, mut state: State, rest: &[u8], octets: usize) -> [u8; TAG] {
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        compress(&mut state, blocks);
        let mut last = [[0; BLOCK]; 2];
        let count = pad(&mut last, rest, octets);
        compress(&mut state, &last[..count]);
        self.outer(&state)
    }

    /// The outer hash of an inner one.
    fn outer(&self, inner: &State) -> [u8; TAG] {
        let mut state = self.outer;
        compress(&mut state, &[outer_block(inner)]);
        octets_of(&state)
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl ZeroizeOnDrop for HmacKey {}

/// Writes the last one or two blocks of a message's inner hash, and says how many: what is left of it, the end mark, and the
/// length, which counts the block of the key.
fn pad(blocks: &mut [[u8; BLOCK]; 2], rest: &[u8], octets: usize) -> usize {
    debug_assert!(rest.len() < BLOCK);
    *blocks = [[0; BLOCK]; 2];
    blocks[0][..rest.len()].copy_from_slice(rest);
    blocks[0][rest.len()] = 0x80;
    let count = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    blocks[count - 1][BLOCK - 8..].copy_from_slice(&((BLOCK + octets) as u64 * 8).to_be_bytes());
    count
}

/// The only block of the outer hash after that of the key.
fn outer_block(inner: &State) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..TAG].copy_from_slice(&octets_of(inner));
    block[TAG] = 0x80;
    block[BLOCK - 8..].copy_from_slice(&((BLOCK + TAG) as u64 * 8).to_be_bytes());
    block
}

fn octets_of(state: &State) -> [u8; TAG] {
    let mut octets = [0; TAG];
    for (octets, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *octets = word.to_be_bytes();
    }
    octets
}
