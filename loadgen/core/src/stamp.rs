//! What the generator writes into each payload: who sent it, when it was due, and octets that can be checked.
//!
//! A payload is `prefix | pattern | stamp`. The prefix belongs to the codec (a payload descriptor, which a forwarder may
//! rewrite) and is not checked. The pattern is a stretch of a fixed sequence, from a place that the packet's number
//! chooses. The stamp is the last [`STAMP`] octets, so a receiver finds it without knowing the codec:
//!
//! ```text
//!  0      4     8        12      16              24       25       28       32
//!  | magic | run | stream | clock | due (ns)      | prefix | number | check  |   big endian
//! ```
//!
//! The number is the sender's own count of the stream's packets, stamped or not. A forwarder that writes RTP's sequence
//! numbers anew (RFC 7667 section 3.7) leaves it as it was.
//!
//! A payload shorter than a stamp (comfort noise, telephone events) carries none: it is counted, not timed.

use raceway_units::Instant;

/// Octets of a stamp.
pub const STAMP: usize = 32;
/// Octets after which the pattern repeats; a power of two.
pub const PATTERN_PERIOD: usize = 1024;
/// Longest payload of a datagram, and so of a pattern.
const PAYLOAD_MAX: usize = 65_536;
const MAGIC: u32 = 0x5257_4c32;
/// Bits of a packet's number; after its highest comes zero.
pub const NUMBER_BITS: u32 = 24;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;

/// The pattern, long enough for any payload from any place in the period.
static PATTERN: [u8; PATTERN_PERIOD + PAYLOAD_MAX] = make_pattern();

const fn make_pattern() -> [u8; PATTERN_PERIOD + PAYLOAD_MAX] {
    let mut octets = [0; PATTERN_PERIOD + PAYLOAD_MAX];
    let mut state = 0x9e37_79b9u32;
    let mut at = 0;
    while at < octets.len() {
        if at < PATTERN_PERIOD {
            // xorshift32: neither all zeros nor a ramp, so a swapped or shifted octet shows.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            octets[at] = (state >> 24) as u8;
        } else {
            octets[at] = octets[at - PATTERN_PERIOD];
        }
        at += 1;
    }
    octets
}

/// Which clock `due` was read from: receivers subtract only times of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(pub u32);

impl Clock {
    /// The wall clock of hosts that the operator keeps synchronised.
    pub const SYNCHRONISED: Self = Self(0);
}

/// Who sent a packet and when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the run: packets of an earlier one are not counted.
    pub run: u32,
    /// Number of the stream within the run.
    pub stream: u32,
    /// The clock of `due`.
    pub clock: Clock,
    /// When the packet was to be sent, whether or not it was sent then.
    pub due: Instant,
    /// Number of the packet within the stream, [`NUMBER_BITS`] of it: that of the first is its RTP sequence number.
    pub number: u32,
    /// Octets of the codec's prefix, which are not checked.
    pub prefix: u8,
}

/// Why a payload is not one that [`fill`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampError {
    /// No stamp: too short for one, or of somebody else.
    Unstamped,
    /// A stamp whose own check fails, or a pattern that differs: octets were changed on the way.
    Corrupted,
}

/// Writes pattern and stamp into `payload`, behind `stamp.prefix` octets that are left as they are.
///
/// False, and nothing written, if they do not fit.
#[must_use]
pub fn fill(payload: &mut [u8], stamp: Stamp) -> bool {
    let prefix = usize::from(stamp.prefix);
    let Some(end) = payload.len().checked_sub(STAMP).filter(|end| *end >= prefix) else { return false };
    let (body, tail) = payload.split_at_mut(end);
    let body = &mut body[prefix..];
    body.copy_from_slice(stretch(stamp.number, body.len()));
    tail.copy_from_slice(&encode(stamp));
    true
}

/// Reads the stamp of a payload and checks every octet behind the prefix.
///
/// # Errors
/// [`StampError`].
pub fn check(payload: &[u8]) -> Result<Stamp, StampError> {
    let end = payload.len().checked_sub(STAMP).ok_or(StampError::Unstamped)?;
    let (body, tail) = payload.split_at(end);
    let stamp = decode(tail.try_into().expect("split off at this length"))?;
    let body = body.get(usize::from(stamp.prefix)..).ok_or(StampError::Corrupted)?;
    if body == stretch(stamp.number, body.len()) { Ok(stamp) } else { Err(StampError::Corrupted) }
}

/// The first octets of the pattern, for a sender that writes it by other means; at most what a payload takes.
#[must_use]
pub fn pattern(length: usize) -> &'static [u8] {
    &PATTERN[..length]
}

fn stretch(number: u32, length: usize) -> &'static [u8] {
    // An odd step visits every place of the period.
    let from = number.wrapping_mul(37) as usize % PATTERN_PERIOD;
    &PATTERN[from..from + length]
}

fn encode(stamp: Stamp) -> [u8; STAMP] {
    let mut octets = [0; STAMP];
    octets[..4].copy_from_slice(&MAGIC.to_be_bytes());
    octets[4..8].copy_from_slice(&stamp.run.to_be_bytes());
    octets[8..12].copy_from_slice(&stamp.stream.to_be_bytes());
    octets[12..16].copy_from_slice(&stamp.clock.0.to_be_bytes());
    octets[16..24].copy_from_slice(&stamp.due.as_ns().to_be_bytes());
    octets[24..28].copy_from_slice(&(stamp.number & NUMBER_MASK).to_be_bytes());
    octets[24] = stamp.prefix;
    let check = sum(&octets);
    octets[28..].copy_from_slice(&check.to_be_bytes());
    octets
}

fn decode(octets: &[u8; STAMP]) -> Result<Stamp, StampError> {
    let word = |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    if word(0) != MAGIC {
        return Err(StampError::Unstamped);
    }
    if word(28) != sum(octets) {
        return Err(StampError::Corrupted);
    }
    let due = u64::from(word(16)) << 32 | u64::from(word(20));
    Ok(Stamp {
        run: word(4),
        stream: word(8),
        clock: Clock(word(12)),
        due: Instant::from_ns(due),
        number: word(24) & NUMBER_MASK,
        prefix: octets[24],
    })
}

/// A 32-bit sum of all octets but the last four, in which their order counts (FNV-1a over words).
fn sum(octets: &[u8; STAMP]) -> u32 {
    octets[..STAMP - 4].chunks_exact(4).fold(0x811c_9dc5, |sum, word| {
        let word = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
        (sum ^ word).wrapping_mul(0x0100_0193).rotate_left(5)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(prefix: u8) -> Stamp {
        Stamp { run: 7, stream: 3, clock: Clock(9), due: Instant::from_ns(0x1234_5678_9abc), number: 77, prefix }
    }

    #[test]
    fn a_payload_too_short_for_a_stamp_is_left_alone() {
        let mut payload = [0xd5; STAMP - 1];
        assert!(!fill(&mut payload, stamp(0)));
        assert_eq!(payload, [0xd5; STAMP - 1]);
        assert!(!fill(&mut [0; STAMP + 2], stamp(3)));
    }

    #[test]
    fn payloads_of_others_are_unstamped_and_not_corrupted() {
        assert_eq!(check(&[0xd5; 160]), Err(StampError::Unstamped));
        assert_eq!(check(&[]), Err(StampError::Unstamped));
    }

    proptest! {
        #[test]
        fn what_was_filled_in_is_read_back(length in STAMP..2000usize, number in 0..=NUMBER_MASK, prefix in 0..12u8) {
            let mut payload = vec![0xaa; length + usize::from(prefix)];
            let stamp = Stamp { number, ..stamp(prefix) };
            prop_assert!(fill(&mut payload, stamp));
            prop_assert_eq!(check(&payload), Ok(stamp));
            prop_assert!(payload[..usize::from(prefix)].iter().all(|octet| *octet == 0xaa));
        }

        #[test]
        fn a_changed_octet_behind_the_prefix_shows(length in STAMP..400usize, at: prop::sample::Index, flip in 1..=255u8) {
            let mut payload = vec![0; length + 2];
            prop_assert!(fill(&mut payload, stamp(2)));
            payload[2 + at.index(length)] ^= flip;
            prop_assert!(check(&payload).is_err());
        }

        #[test]
        fn the_prefix_may_be_rewritten_by_a_forwarder(first: u8, second: u8) {
            let mut payload = [0; 100];
            prop_assert!(fill(&mut payload, stamp(2)));
            payload[..2].copy_from_slice(&[first, second]);
            prop_assert_eq!(check(&payload), Ok(stamp(2)));
        }

        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _ = check(&payload);
        }
    }
}
