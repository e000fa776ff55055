//! Packet indexes: which one a packet has, and which were seen (RFC 3711 section 3.3.1 and 3.3.2).

use crate::error::SrtpError;
use crate::limits::REPLAY_WINDOW;

/// Indexes seen in one stream: the highest and the [`REPLAY_WINDOW`] before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplayList {
    /// The highest index that was seen; while none was, its upper bits are the rollover counter to begin with.
    highest: u64,
    /// Bit n: `highest - n` was seen. Zero before the first.
    seen: u128,
}

impl ReplayList {
    /// Of a stream of which nothing was seen yet, with this rollover counter.
    pub fn new(roc: u32) -> Self {
        Self { highest: u64::from(roc) << 16, seen: 0 }
    }

    /// Of a stream that has come to this index elsewhere: it and all before count as seen.
    pub fn resumed(index: u64) -> Self {
        Self { highest: index, seen: u128::MAX }
    }

    /// The highest index seen, if any was.
    pub fn highest(&self) -> Option<u64> {
        (self.seen != 0).then_some(self.highest)
    }

    /// The upper 32 bits of the index.
    pub fn roc(&self) -> u32 {
        (self.highest >> 16) as u32
    }

    /// The index that a packet with this sequence number most likely has (RFC 3711 appendix A). It may be past the end
    /// of all indexes.
    ///
    /// Before the first rollover there is no lower counter to guess: 0 is taken, where the appendix would have 2^32 - 1.
    pub fn estimate(&self, sequence: u16) -> u64 {
        let sequence = u64::from(sequence);
        let (epoch, last) = (self.highest & !0xffff, self.highest & 0xffff);
        let guess = epoch | sequence;
        if self.seen == 0 {
            guess
        } else if last < 0x8000 && sequence > last + 0x8000 && epoch > 0 {
            guess - 0x1_0000
        } else if last >= 0x8000 && sequence < last - 0x8000 {
            guess + 0x1_0000
        } else {
            guess
        }
    }

    /// # Errors
    /// The index was seen, or is too old to tell.
    pub fn check(&self, index: u64) -> Result<(), SrtpError> {
        if self.seen == 0 || index > self.highest {
            return Ok(());
        }
        let behind = self.highest - index;
        if behind >= REPLAY_WINDOW {
            Err(SrtpError::Old)
        } else if self.seen >> behind & 1 == 1 {
            Err(SrtpError::Replayed)
        } else {
            Ok(())
        }
    }

    /// Takes an index in that [`Self::check`] let pass.
    pub fn accept(&mut self, index: u64) {
        if self.seen == 0 {
            (self.highest, self.seen) = (index, 1);
        } else if index > self.highest {
            let ahead = index - self.highest;
            let moved = if ahead < REPLAY_WINDOW { self.seen << ahead } else { 0 };
            (self.highest, self.seen) = (index, moved | 1);
        } else {
            self.seen |= 1 << (self.highest - index);
        }
    }

    /// Begins anew at an index, whatever was seen before.
    pub fn restart(&mut self, index: u64) {
        (self.highest, self.seen) = (index, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> ReplayList {
        let mut list = ReplayList::new(0);
        list.accept(index);
        list
    }

    #[test]
    fn the_nearest_rollover_counter_is_taken() {
        assert_eq!(ReplayList::new(0).estimate(65_535), 65_535);
        assert_eq!(ReplayList::new(3).estimate(65_535), 0x3_ffff);
        assert_eq!(at(65_535).estimate(0), 0x1_0000, "it wrapped");
        assert_eq!(at(0x1_0000).estimate(65_535), 0xffff, "late from before the wrap");
        assert_eq!(at(0x1_0005).estimate(7), 0x1_0007);
        assert_eq!(at(5).estimate(65_535), 65_535, "there is nothing before the first counter");
        // The edges of appendix A.
        assert_eq!(at(0x1_7fff).estimate(0xffff), 0x1_ffff);
        assert_eq!(at(0x1_7ffe).estimate(0xffff), 0xffff);
        assert_eq!(at(0x1_8000).estimate(0), 0x1_0000);
        assert_eq!(at(0x1_8001).estimate(0), 0x2_0000);
        assert_eq!(at(0xffff_ffff_ffff).estimate(0), 1 << 48, "past the end");
    }

    #[test]
    fn an_index_passes_once() {
        let mut list = ReplayList::new(0);
        for index in [500, 501, 499, 500 - 126, 628] {
            assert_eq!(list.check(index), Ok(()), "{index}");
            list.accept(index);
            assert_eq!(list.check(index), Err(SrtpError::Replayed), "{index}");
        }
        assert_eq!(list.check(501), Err(SrtpError::Replayed), "the last that the list reaches");
        assert_eq!(list.check(500), Err(SrtpError::Old));
        list.accept(10_000);
        assert_eq!(list.check(10_000 - 127), Ok(()));
        assert_eq!(list.check(10_000 - 128), Err(SrtpError::Old));
    }

    #[test]
    fn a_list_agrees_with_a_set() {
        let mut state = 12_345_u64;
        let (mut list, mut seen, mut highest) = (ReplayList::new(0), std::collections::BTreeSet::new(), 0);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let index = (highest + 200_u64).saturating_sub((state >> 33) % 400);
            let expected = if seen.is_empty() || index > highest {
                Ok(())
            } else if highest - index >= REPLAY_WINDOW {
                Err(SrtpError::Old)
            } else if seen.contains(&index) {
                Err(SrtpError::Replayed)
            } else {
                Ok(())
            };
            assert_eq!(list.check(index), expected);
            if expected.is_ok() {
                list.accept(index);
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    #[test]
    fn what_was_seen_elsewhere_is_not_taken_again() {
        let list = ReplayList::resumed(0x2_0005);
        assert_eq!(list.estimate(6), 0x2_0006);
        assert_eq!(list.check(0x2_0006), Ok(()));
        assert_eq!(list.check(0x2_0005), Err(SrtpError::Replayed));
        assert_eq!(list.check(0x1_0000), Err(SrtpError::Old));
    }
}
