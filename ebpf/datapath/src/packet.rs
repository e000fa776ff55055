//! How a frame is read and written, whoever holds it.

/// A frame in a buffer with room before it.
///
/// Words are read and written in little-endian order of their octets. Offsets count from the first octet of
/// the frame. Every access is checked on its own, so that the verifier of BPF sees a check beside each of them.
pub trait Packet {
    /// Octets in the frame.
    fn octets(&self) -> usize;
    /// `N` words at `at`; nothing when they reach beyond the end.
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]>;
    /// 16 bits at `at`, as on the wire (big-endian); nothing when they reach beyond the end.
    fn field(&self, at: usize) -> Option<u16>;
    /// Writes words; nothing when they would reach beyond the end.
    fn put_words<const N: usize>(&mut self, at: usize, words: [u32; N]) -> Option<()>;
    /// Writes 16 bits as on the wire; nothing when they would reach beyond the end.
    fn put_field(&mut self, at: usize, field: u16) -> Option<()>;
    /// One's complement sum of `octets` octets at the even offset `at`, to be [folded](crate::checksum::fold);
    /// nothing when they reach beyond the end or whoever holds the frame cannot.
    fn sum(&self, at: usize, octets: usize) -> Option<u64>;
    /// Moves the first octet: forward takes octets away, backward adds octets with any content. False, and nothing
    /// done, when there is no room.
    fn move_start(&mut self, by: isize) -> bool;
}

/// A frame in ordinary memory.
#[derive(Debug)]
pub struct Frame<'a> {
    buffer: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> Frame<'a> {
    /// The frame `buffer[start..end]`; what is before it is room. Nothing when the range is not in the buffer.
    pub fn new(buffer: &'a mut [u8], start: usize, end: usize) -> Option<Self> {
        (start <= end && end <= buffer.len()).then_some(Self { buffer, start, end })
    }

    /// The frame as it is now.
    #[must_use]
    pub fn as_octets(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.as_octets().get(at..)?.first_chunk().copied()
    }

    fn at_mut(&mut self, at: usize, octets: usize) -> Option<&mut [u8]> {
        self.buffer[self.start..self.end].get_mut(at..)?.get_mut(..octets)
    }
}

impl Packet for Frame<'_> {
    fn octets(&self) -> usize {
        self.end - self.start
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            *word = u32::from_le_bytes(self.at(at + 4 * index)?);
        }
        Some(words)
    }

    fn field(&self, at: usize) -> Option<u16> {
        self.at(at).map(u16::from_be_bytes)
    }

    fn put_words<const N: usize>(&mut self, at: usize, words: [u32; N]) -> Option<()> {
        let place = self.at_mut(at, 4 * N)?;
        for (octets, word) in place.chunks_exact_mut(4).zip(words) {
            octets.copy_from_slice(&word.to_le_bytes());
        }
        Some(())
    }

    fn put_field(&mut self, at: usize, field: u16) -> Option<()> {
        self.at_mut(at, 2)?.copy_from_slice(&field.to_be_bytes());
        Some(())
    }

    fn sum(&self, at: usize, octets: usize) -> Option<u64> {
        self.as_octets().get(at..)?.get(..octets).map(crate::checksum::of_octets)
    }

    fn move_start(&mut self, by: isize) -> bool {
        match self.start.checked_add_signed(by) {
            Some(start) if start <= self.end => {
                self.start = start;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_fields_keep_to_the_frame() {
        let mut buffer = [0, 0, 1, 2, 3, 4, 5, 6, 0];
        let mut frame = Frame::new(&mut buffer, 2, 8).expect("inside");
        assert_eq!(frame.words::<1>(0), Some([0x0403_0201]));
        assert_eq!(frame.words::<1>(3), None);
        assert_eq!(frame.field(4), Some(0x0506));
        assert_eq!(frame.field(5), None);
        assert_eq!(frame.put_words(2, [0x0a09_0807]), Some(()));
        assert_eq!(frame.put_words(3, [0]), None);
        assert!(frame.move_start(-2));
        assert!(!frame.move_start(-1));
        assert_eq!(frame.as_octets(), [0, 0, 1, 2, 7, 8, 9, 10]);
        assert!(frame.move_start(8) && !frame.move_start(1));
    }
}
