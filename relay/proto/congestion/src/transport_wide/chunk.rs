//! Packet status chunks (sections 3.1.2 to 3.1.4): a symbol and how often, 14 symbols of one bit, or 7 of two.

use super::delta_octets;
use crate::rtcp::FeedbackError;

/// The packet did not arrive.
pub(super) const MISSING: u16 = 0;
/// It did, 0 to 255 ticks after the one before.
pub(super) const SMALL: u16 = 1;
/// It did, at another distance.
pub(super) const LARGE: u16 = 2;

const RUN_MAX: u16 = 0x1fff;
const ONE_BIT: u16 = 14;
const TWO_BIT: u16 = 7;

/// A chunk as it is on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk(pub u16);

impl Chunk {
    /// How many packets it speaks of.
    pub const fn packets(self) -> u16 {
        match self.0 >> 14 {
            0b00 | 0b01 => self.0 & RUN_MAX,
            0b10 => ONE_BIT,
            _ => TWO_BIT,
        }
    }

    /// Status of one of its packets.
    pub const fn symbol(self, index: u16) -> u16 {
        match self.0 >> 14 {
            0b00 | 0b01 => self.0 >> 13,
            0b10 => self.0 >> (ONE_BIT - 1 - index) & 1,
            _ => self.0 >> (2 * (TWO_BIT - 1 - index)) & 3,
        }
    }

    /// Octets of the deltas of its first so many packets.
    pub fn delta_octets(self, packets: u16) -> Result<usize, FeedbackError> {
        if self.0 >> 15 == 0 {
            let symbol = self.symbol(0);
            return if symbol > LARGE {
                Err(FeedbackError::Reserved)
            } else {
                Ok(usize::from(packets) * delta_octets(symbol))
            };
        }
        (0..packets).try_fold(0, |octets, index| match self.symbol(index) {
            symbol @ MISSING..=LARGE => Ok(octets + delta_octets(symbol)),
            _ => Err(FeedbackError::Reserved),
        })
    }
}

/// Symbols that are not written yet: as many as any chunk can still take.
#[derive(Debug, Default)]
pub(super) struct Pending {
    symbols: [u16; ONE_BIT as usize],
    packets: u16,
    large: bool,
    mixed: bool,
}

impl Pending {
    /// Takes a symbol; gives the chunk that had to be closed for it.
    pub fn push(&mut self, symbol: u16) -> Option<Chunk> {
        let closed = (!self.takes(symbol)).then(|| self.close());
        if self.packets < ONE_BIT {
            self.symbols[usize::from(self.packets)] = symbol;
        }
        self.packets += 1;
        self.large |= symbol == LARGE;
        self.mixed |= symbol != self.symbols[0];
        closed
    }

    fn takes(&self, symbol: u16) -> bool {
        let alike = !self.mixed && symbol == self.symbols[0];
        self.packets < TWO_BIT
            || (alike && self.packets < RUN_MAX)
            || (self.packets < ONE_BIT && !self.large && symbol != LARGE)
    }

    /// The best chunk of what is there; what does not fit into it stays.
    fn close(&mut self) -> Chunk {
        if !self.mixed || self.packets == ONE_BIT && !self.large {
            return self.finish().unwrap_or(Chunk(0));
        }
        let chunk = two_bit(&self.symbols[..usize::from(TWO_BIT)]);
        let rest = self.symbols;
        let kept = usize::from(TWO_BIT)..usize::from(self.packets);
        *self = Self::default();
        for symbol in &rest[kept] {
            // Fewer than fill a chunk: none is closed.
            self.push(*symbol);
        }
        chunk
    }

    /// The last chunk, none if nothing is left. Speaks of more packets than there are, as section 3.1.2 allows.
    pub fn finish(&mut self) -> Option<Chunk> {
        let Self { symbols, packets, large, mixed } = core::mem::take(self);
        let symbols = &symbols[..usize::from(packets.min(ONE_BIT))];
        match (packets, mixed) {
            (0, _) => None,
            (_, false) => Some(Chunk(symbols[0] << 13 | packets)),
            (1..=TWO_BIT, true) => Some(two_bit(symbols)),
            _ => {
                debug_assert!(!large, "takes() let no large delta among more than seven");
                Some(one_bit(symbols))
            }
        }
    }
}

fn one_bit(symbols: &[u16]) -> Chunk {
    let bits = symbols.iter().zip((0..ONE_BIT).rev()).fold(0, |bits, (symbol, shift)| bits | symbol << shift);
    Chunk(0x8000 | bits)
}

fn two_bit(symbols: &[u16]) -> Chunk {
    let bits = symbols.iter().zip((0..TWO_BIT).rev()).fold(0, |bits, (symbol, shift)| bits | symbol << (2 * shift));
    Chunk(0xc000 | bits)
}
