//! Randomness from the shell.

use zeroize::Zeroizing;

/// Fills a buffer with unpredictable octets.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// Octets that are asked for at once: the source may be a system call.
const BLOCK: usize = 256;

/// Draws from a [`RandomSource`].
pub struct Random {
    source: RandomSource,
    block: Zeroizing<[u8; BLOCK]>,
    used: usize,
}

impl Random {
    /// Asks the source when it is drawn from.
    #[must_use]
    pub fn new(source: RandomSource) -> Self {
        Self { source, block: Zeroizing::new([0; BLOCK]), used: BLOCK }
    }

    /// 64 bits.
    pub fn u64(&mut self) -> u64 {
        if self.used == BLOCK {
            (self.source)(&mut self.block[..]);
            self.used = 0;
        }
        let octets = std::array::from_fn(|at| self.block[self.used + at]);
        self.used += 8;
        u64::from_ne_bytes(octets)
    }

    /// Octets for keys: not from the block that is kept.
    pub fn fill(&mut self, octets: &mut [u8]) {
        (self.source)(octets);
    }

    /// Below `bound`, each value as likely as any other up to 2^-40: `bound` is at most 2^24 here.
    pub fn below(&mut self, bound: usize) -> usize {
        debug_assert!(0 < bound && bound <= 1 << 24);
        (self.u64() % bound as u64) as usize
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

const _: () = assert!(BLOCK.is_multiple_of(8));
