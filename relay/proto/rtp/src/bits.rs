//! Bits of octets, the most significant first.

/// Reads bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// From bit `at` on.
    pub(crate) const fn from(octets: &'a [u8], at: usize) -> Self {
        Self { octets, at }
    }

    /// How many have been read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next `count` bits, 32 at most: `f(n)` of the AV1 specifications. Nothing if there are not so many.
    pub(crate) fn take(&mut self, count: usize) -> Option<u32> {
        debug_assert!(count <= 32);
        let end = self.at + count;
        if end > 8 * self.octets.len() {
            return None;
        }
        let mut value = 0_u64;
        let last = end.div_ceil(8);
        for octet in &self.octets[self.at / 8..last] {
            value = value << 8 | u64::from(*octet);
        }
        self.at = end;
        let mask = (1_u64 << count) - 1;
        Some((value >> (8 * last - end) & mask) as u32)
    }

    /// The next bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// A number below `count`: `ns(n)` (RTP Payload Format For AV1 appendix A.8.2).
    pub(crate) fn below(&mut self, count: u32) -> Option<u32> {
        let width = u32::BITS - count.leading_zeros();
        let short = (1_u32 << width) - count;
        let value = self.take(width.checked_sub(1)? as usize)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }
}

/// Writes bits; what does not fit is lost, and [`BitWriter::finish`] says so.
pub(crate) struct BitWriter<'a> {
    octets: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(octets: &'a mut [u8]) -> Self {
        octets.fill(0);
        Self { octets, at: 0 }
    }

    /// The low `count` bits of `value`, 32 at most.
    pub(crate) fn put(&mut self, count: usize, value: u32) {
        let mut left = count;
        while left > 0 {
            let room = 8 - self.at % 8;
            let now = room.min(left);
            let bits = (u64::from(value) >> (left - now)) & ((1 << now) - 1);
            if let Some(octet) = self.octets.get_mut(self.at / 8) {
                *octet |= (bits << (room - now)) as u8;
            }
            self.at += now;
            left -= now;
        }
    }

    /// Bits `from..to` of `octets`, as far as there are so many.
    pub(crate) fn copy(&mut self, octets: &[u8], from: usize, to: usize) {
        let mut bits = Bits::from(octets, from);
        while bits.position() < to {
            let count = (to - bits.position()).min(32);
            let Some(value) = bits.take(count) else { return };
            self.put(count, value);
        }
    }

    /// Octets that were written, the last one filled with zeros. Nothing if there was no room for them.
    pub(crate) fn finish(self) -> Option<usize> {
        let octets = self.at.div_ceil(8);
        (octets <= self.octets.len()).then_some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_five_are_as_the_table_of_the_specification_has_them() {
        let table = [(0b000, 0, 2), (0b010, 1, 2), (0b100, 2, 2), (0b110, 3, 3), (0b111, 4, 3)];
        for (code, value, length) in table {
            let octets = [code << 5];
            let mut bits = Bits::new(&octets);
            assert_eq!((bits.below(5), bits.position()), (Some(value), length));
        }
        assert_eq!(Bits::new(&[]).below(1), Some(0), "one value takes no bits");
        assert_eq!(Bits::new(&[]).below(0), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut octets = [0xff; 9];
        let mut writer = BitWriter::new(&mut octets);
        let values = [(3, 5), (1, 1), (32, 0xdead_beef), (7, 0x55), (16, 0x1234), (0, 0)];
        values.into_iter().for_each(|(count, value)| writer.put(count, value));
        assert_eq!(writer.finish(), Some(8));
        let mut copy = [0; 9];
        let mut copier = BitWriter::new(&mut copy);
        copier.put(2, 3);
        copier.copy(&octets, 0, 59);
        assert_eq!(copier.finish(), Some(8));
        for (from, octets) in [(0, octets), (2, copy)] {
            let mut bits = Bits::from(&octets, from);
            values.into_iter().for_each(|(count, value)| assert_eq!(bits.take(count), Some(value)));
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut octets = [0; 1];
        let mut writer = BitWriter::new(&mut octets);
        writer.put(9, 1);
        assert_eq!(writer.finish(), None);
        assert_eq!(Bits::new(&[0xff]).take(9), None);
    }
}
