//! The Internet checksum (RFC 1071) over words read in little-endian order.
//!
//! The one's complement sum does not care in which order the octets of a word are read, as long as the result
//! is written in the same order (RFC 1071 section 2 (B)), so nothing here is swapped.

use crate::Address;

/// A sum of 16-bit words, not yet folded.
#[inline(always)]
#[must_use]
pub const fn of_words<const N: usize>(words: [u32; N]) -> u64 {
    let mut sum = 0;
    let mut at = 0;
    while at < N {
        sum += words[at] as u64;
        at += 1;
    }
    sum
}

/// Sum of an address. The mapped prefix of IPv4 adds 0xffff, which is zero in one's complement, so it is the
/// same whether the address is looked at as IPv4 or as mapped IPv6.
#[inline(always)]
#[must_use]
pub const fn of_address(address: Address) -> u64 {
    of_words(address.words())
}

/// Brings a sum to 16 bits. Of a sum that is not zero it is never zero.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum field for data with this sum, as UDP writes it: never zero, which would say "none" (RFC 768).
#[inline(always)]
#[must_use]
pub const fn of_udp(sum: u64) -> u16 {
    match !fold(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// The UDP checksum after `removed` left the data and `added` came (RFC 1624 equation 3). Wrong stays wrong.
#[inline(always)]
#[must_use]
pub const fn changed(checksum: u16, removed: u64, added: u64) -> u16 {
    of_udp(!checksum as u64 + !fold(removed) as u64 + added)
}

/// Sum of octets at an even place.
#[must_use]
pub fn of_octets(octets: &[u8]) -> u64 {
    let mut chunks = octets.chunks_exact(2);
    let whole: u64 = chunks.by_ref().map(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]]))).sum();
    whole + chunks.remainder().first().map_or(0, |&last| u64::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 section 3.
    #[test]
    fn the_sum_of_rfc_1071_section_3() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(of_octets(&octets)).to_le_bytes(), [0xdd, 0xf2]);
        assert_eq!(fold(of_words([0x03f2_0100, 0xf7f6_f5f4])).to_le_bytes(), [0xdd, 0xf2]);
    }

    /// The example of RFC 1624 section 4: the equation of RFC 1141 gives 0xffff here.
    #[test]
    fn the_corner_of_rfc_1624_section_4() {
        let checksum =
            changed(u16::from_le_bytes([0xdd, 0x2f]), 0x5555_u16.swap_bytes().into(), 0x3285_u16.swap_bytes().into());
        // Zero by the RFC; UDP writes it as all ones.
        assert_eq!(checksum, 0xffff);
    }

    #[test]
    fn large_sums_fold_without_loss() {
        assert_eq!(fold(0xffff), 0xffff);
        assert_eq!(fold(0x1_0000), 1);
        assert_eq!(fold(0xffff_ffff_ffff_ffff), 0xffff);
        assert_eq!(fold(0), 0);
    }
}
