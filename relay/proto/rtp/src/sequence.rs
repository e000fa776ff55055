//! Sequence numbers that begin again after 65,535 (RFC 3550 section 5.1).

/// Whether sequence number `number` comes after `other`: by less than half of all numbers.
#[inline]
#[must_use]
pub const fn is_newer(number: u16, other: u16) -> bool {
    number != other && number.wrapping_sub(other) < 0x8000
}

/// Makes numbers of 64 bits out of those of 16, each of which is taken for the one closest to the highest so far.
///
/// The first is 65,536 above its own value, so that those before it are positive too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// The number that `number` stands for; what is highest does not change.
    #[inline]
    #[must_use]
    pub const fn peek(&self, number: u16) -> u64 {
        let Some(highest) = self.highest else { return 0x1_0000 + number as u64 };
        let ahead = number.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(ahead as i64)
    }

    /// The number that `number` stands for.
    #[inline]
    pub const fn unwrap(&mut self, number: u16) -> u64 {
        let unwrapped = self.peek(number);
        match self.highest {
            Some(highest) if highest >= unwrapped => {}
            _ => self.highest = Some(unwrapped),
        }
        unwrapped
    }

    /// The highest number so far.
    #[inline]
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_past_their_end_and_back() {
        let mut numbers = Unwrapper::default();
        assert_eq!(numbers.unwrap(65_534), 0x1_0000 + 65_534);
        assert_eq!(numbers.unwrap(1), 0x2_0001);
        assert_eq!(numbers.unwrap(65_535), 0x1_ffff, "a late one");
        assert_eq!(numbers.highest(), Some(0x2_0001));
        assert_eq!(numbers.peek(0), 0x2_0000);
        assert_eq!(Unwrapper::default().unwrap(0), 0x1_0000);
    }

    #[test]
    fn half_of_all_numbers_are_newer() {
        assert!(is_newer(0, 65_535) && is_newer(0x7fff, 0) && !is_newer(0x8000, 0) && !is_newer(5, 5));
    }
}
