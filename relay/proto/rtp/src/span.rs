//! Where something is in a packet.

/// A range of octets of a packet. Empty where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// From `start` up to `end`, which are within a packet ([`crate::limits::PACKET_MAX`]). Empty if `end` is not behind `start`.
    #[inline]
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= u16::MAX as usize && end <= u16::MAX as usize);
        Self { start: start as u16, end: if end < start { start as u16 } else { end as u16 } }
    }

    /// Its first octet.
    #[inline]
    #[must_use]
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// The octet behind its last.
    #[inline]
    #[must_use]
    pub const fn end(self) -> usize {
        self.end as usize
    }

    /// Octets in it.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end == self.start
    }

    /// What is there; nothing if `packet` is shorter than the one that was read.
    #[inline]
    #[must_use]
    pub fn of(self, packet: &[u8]) -> &[u8] {
        packet.get(self.start()..self.end()).unwrap_or_default()
    }
}
