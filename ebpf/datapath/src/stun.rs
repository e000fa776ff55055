//! The budget of STUN requests for each source prefix.
//!
//! XDP asks it of short requests: who floods a TURN port with requests that bear no credentials is stopped before one
//! costs a socket buffer, a worker and an answer. Requests that do bear them are longer; workers ask, of these too,
//! before one costs control an answer.

use raceway_abi::AtomicU64;
use raceway_abi::limits::STUN_BUDGET_CELLS;

use crate::Address;
use crate::police::takes;

/// How far a prefix may run ahead of its budget.
pub const REQUEST_BURST_NS: u64 = 2_000_000_000;

/// What a request costs its prefix; zero (no budget) for zero.
#[must_use]
pub const fn request_cost_ns(per_second: u32) -> u64 {
    match 1_000_000_000_u64.checked_div(per_second as u64) {
        Some(ns) => ns,
        None => 0,
    }
}

/// Takes a request from the budget in a cell. False, and nothing taken, when that is too much.
#[inline(always)]
#[must_use]
pub fn request_conforms(cell: &AtomicU64, cost_ns: u64, burst_ns: u64, now_ns: u64) -> bool {
    cost_ns == 0 || takes(cell, cost_ns, burst_ns, now_ns)
}

/// A STUN request shorter than this bears no user name, realm, nonce and integrity: each of the four takes a
/// header of 4 octets, and the digest (20) and the STUN header (20) alone leave 76 for the three texts.
pub const SHORT_REQUEST_OCTETS: usize = 132;

/// Whether a UDP payload on a TURN port is a short request, by its first word read in little-endian order
/// (RFC 8489 section 5: the class is in two bits of the type, both zero in a request).
#[inline(always)]
#[must_use]
pub const fn is_short_request(first_word: u32, payload_octets: usize) -> bool {
    const CLASS: u32 = 0x1001;
    payload_octets < SHORT_REQUEST_OCTETS && first_word & CLASS == 0
}

/// The cell of the budget that a source falls into: its /24 or /56, hashed with a seed that an outsider does not
/// know.
#[inline(always)]
#[must_use]
pub const fn budget_cell(source: Address, seed: u64) -> u32 {
    let prefix = if source.is_v4() {
        (source.v4_word() & 0x00ff_ffff) as u64
    } else {
        source.0[0] & 0x00ff_ffff_ffff_ffff | 1 << 63
    };
    (hash(prefix, seed) as u32) & (STUN_BUDGET_CELLS - 1)
}

/// splitmix64's finaliser over value and seed.
#[inline(always)]
const fn hash(value: u64, seed: u64) -> u64 {
    let mut x = value ^ seed;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raceway_abi::mapped;

    fn first_word(message_type: u16) -> u32 {
        u32::from(message_type.swap_bytes())
    }

    #[test]
    fn requests_are_told_from_indications_and_responses() {
        let binding = 0x0001;
        let allocate = 0x0003;
        for request in [binding, allocate] {
            assert!(is_short_request(first_word(request), 20));
            assert!(!is_short_request(first_word(request), SHORT_REQUEST_OCTETS));
            for class in [0x0010, 0x0100, 0x0110] {
                assert!(!is_short_request(first_word(request | class), 20));
            }
        }
    }

    #[test]
    fn a_prefix_shares_a_cell() {
        let cell = |last: u8| budget_cell(Address::from_octets(mapped([192, 0, 2, last])), 7);
        assert_eq!(cell(1), cell(200));
        let other = budget_cell(Address::from_octets(mapped([192, 0, 3, 1])), 7);
        assert_ne!(cell(1), other);
        let v6 = |octet: usize| {
            let mut octets = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0";
            octets[octet] = 1;
            budget_cell(Address::from_octets(octets), 7)
        };
        assert_eq!(v6(7), v6(15));
        assert_ne!(v6(6), v6(15));
    }

    #[test]
    fn the_seed_moves_the_cells() {
        let address = Address::from_octets(mapped([192, 0, 2, 1]));
        assert!((0..16).any(|seed| budget_cell(address, seed) != budget_cell(address, 99)));
    }
}
