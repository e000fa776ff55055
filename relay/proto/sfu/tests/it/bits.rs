//! Bits written for dependency descriptors, on its own: tests must not trust what they test.

#[derive(Default)]
pub struct Bits(Vec<bool>);

impl Bits {
    pub fn put(mut self, count: u32, value: u32) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub fn octets(&self) -> Vec<u8> {
        let octet = |bits: &[bool]| (0..8).fold(0, |octet, at| octet << 1 | u8::from(bits.get(at) == Some(&true)));
        self.0.chunks(8).map(octet).collect()
    }
}
