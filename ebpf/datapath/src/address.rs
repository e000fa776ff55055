//! Addresses and keys as machine words.

use raceway_abi::FlowKey;

/// An IP address, IPv4 in mapped form, as two words read from its octets in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub [u64; 2]);

/// The second word of `::ffff:0.0.0.0` without its last four octets.
const MAPPED: u64 = 0xffff_0000;

impl Address {
    /// From the form of keys and records.
    #[inline(always)]
    #[must_use]
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self([u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])])
    }

    /// From two words in the machine's own octet order.
    #[inline(always)]
    #[must_use]
    pub const fn from_native([low, high]: [u64; 2]) -> Self {
        Self([low.to_le(), high.to_le()])
    }

    /// From the four octets of an IPv4 address, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, (word as u64) << 32 | MAPPED])
    }

    /// From the 16 octets of an IPv6 address, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        Self([a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32])
    }

    /// The form of keys and records.
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.0[0].to_le_bytes();
        let [i, j, k, l, m, n, o, p] = self.0[1].to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Whether it is an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.0[0] == 0 && self.0[1] & 0xffff_ffff == MAPPED
    }

    /// The four octets of an IPv4 address, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn v4_word(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    /// The 16 octets, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        let [a, b] = self.0;
        [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32]
    }
}

/// A [`FlowKey`] as words, in the same octets: what the table of the XDP program is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub [u64; 5]);

impl Key {
    /// The key of a datagram; ports and channel number in host order.
    #[inline(always)]
    #[must_use]
    pub const fn new(remote: Address, local: Address, remote_port: u16, local_port: u16, channel: u16) -> Self {
        Self([
            u64::from_le(remote.0[0]),
            u64::from_le(remote.0[1]),
            u64::from_le(local.0[0]),
            u64::from_le(local.0[1]),
            ports(remote_port, local_port, channel),
        ])
    }

    /// The permission that would cover it; see [`FlowKey::any_port`].
    #[inline(always)]
    #[must_use]
    pub const fn any_port(self) -> Self {
        let [a, b, c, d, last] = self.0;
        Self([a, b, c, d, only_local_port(last)])
    }

    /// The relayed transport address that it reached; see [`FlowKey::any_remote`].
    #[inline(always)]
    #[must_use]
    pub const fn any_remote(self) -> Self {
        let [_, _, c, d, last] = self.0;
        Self([0, 0, c, d, only_local_port(last)])
    }
}

/// Four 16-bit fields side by side in memory.
#[inline(always)]
const fn ports(remote: u16, local: u16, channel: u16) -> u64 {
    if cfg!(target_endian = "little") {
        remote as u64 | (local as u64) << 16 | (channel as u64) << 32
    } else {
        (remote as u64) << 48 | (local as u64) << 32 | (channel as u64) << 16
    }
}

#[inline(always)]
const fn only_local_port(last: u64) -> u64 {
    last & if cfg!(target_endian = "little") { 0xffff_0000 } else { 0xffff << 32 }
}

impl From<Key> for FlowKey {
    fn from(key: Key) -> Self {
        let [a, b, c, d, last] = key.0.map(u64::to_ne_bytes);
        let join = |low: [u8; 8], high: [u8; 8]| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&low);
            octets[8..].copy_from_slice(&high);
            octets
        };
        let [r0, r1, l0, l1, c0, c1, ..] = last;
        Self {
            remote: join(a, b),
            local: join(c, d),
            remote_port: u16::from_ne_bytes([r0, r1]),
            local_port: u16::from_ne_bytes([l0, l1]),
            channel: u16::from_ne_bytes([c0, c1]),
            reserved: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raceway_abi::mapped;

    #[test]
    fn the_words_of_a_key_are_its_fields() {
        let remote = mapped([192, 0, 2, 1]);
        let local = *b"\x20\x01\x0d\xb8abcdefghijkl";
        let key = Key::new(Address::from_octets(remote), Address::from_octets(local), 1, 2, 0x4003);
        let fields = FlowKey { remote, local, remote_port: 1, local_port: 2, channel: 0x4003, reserved: 0 };
        assert_eq!(FlowKey::from(key), fields);
        assert_eq!(FlowKey::from(key.any_port()), fields.any_port());
        assert_eq!(FlowKey::from(key.any_remote()), fields.any_remote());
    }

    #[test]
    fn an_address_keeps_its_octets_and_family() {
        let v4 = Address::from_octets(mapped([192, 0, 2, 1]));
        assert!(v4.is_v4());
        assert_eq!(v4.v4_word().to_le_bytes(), [192, 0, 2, 1]);
        assert_eq!(Address::from_v4_word(v4.v4_word()), v4);
        let v6 = Address::from_octets(*b"\x20\x01\x0d\xb8abcdefghijkl");
        assert!(!v6.is_v4());
        assert_eq!(Address::from_words(v6.words()), v6);
        assert_eq!(v6.octets(), *b"\x20\x01\x0d\xb8abcdefghijkl");
    }
}
