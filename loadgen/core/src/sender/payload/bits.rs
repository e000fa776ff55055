//! Bits into octets, the most significant first.

/// Writes bits into a slice that is long enough.
pub(super) struct Bits<'a> {
    octets: &'a mut [u8],
    length: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(octets: &'a mut [u8]) -> Self {
        octets.fill(0);
        Self { octets, length: 0 }
    }

    /// The low `count` bits of `value`.
    pub(super) const fn put(&mut self, count: u32, value: u32) {
        let mut left = count;
        while left > 0 {
            left -= 1;
            self.octets[self.length / 8] |= (((value >> left) & 1) as u8) << (7 - self.length % 8);
            self.length += 1;
        }
    }

    /// An unsigned Exp-Golomb number (ITU-T H.264 section 9.1).
    pub(super) const fn put_ue(&mut self, value: u32) {
        let bits = u32::BITS - (value + 1).leading_zeros();
        self.put(bits - 1, 0);
        self.put(bits, value + 1);
    }

    /// A number below `count`, in as few bits as that takes (AV1 section 4.10.7).
    pub(super) const fn put_ns(&mut self, count: u32, value: u32) {
        let bits = u32::BITS - count.leading_zeros();
        let short = (1 << bits) - count;
        if value < short {
            self.put(bits - 1, value);
        } else {
            self.put(bits, value + short);
        }
    }

    /// Octets that have been begun.
    pub(super) const fn octets(&self) -> usize {
        self.length.div_ceil(8)
    }

    /// Ends with a one and zeros, as H.264 and AV1 do; octets written.
    pub(super) const fn finish(mut self) -> usize {
        self.put(1, 1);
        self.octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_as_in_table_9_2_of_h264() {
        let mut octets = [0xff; 4];
        let mut bits = Bits::new(&mut octets);
        // 1, 010, 011, 00100, 0001000
        [0, 1, 2, 3, 7].into_iter().for_each(|value| bits.put_ue(value));
        assert_eq!(bits.finish(), 3);
        assert_eq!(octets, [0b1010_0110, 0b0100_0001, 0b0001_0000, 0]);
    }

    #[test]
    fn numbers_of_a_range_take_the_bits_of_av1() {
        // Of five: 00, 01, 10, 110, 111; of one: nothing.
        let mut octets = [0xff; 2];
        let mut bits = Bits::new(&mut octets);
        (0..5).for_each(|value| bits.put_ns(5, value));
        bits.put_ns(1, 0);
        assert_eq!(bits.octets(), 2);
        assert_eq!(octets, [0b0001_1011, 0b0111_0000]);
    }
}
