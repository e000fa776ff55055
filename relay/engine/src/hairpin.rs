//! Which addresses are ours, and how the world sees them.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::limits::OWN_ADDRESSES_MAX;

/// Addresses of this appliance: those of listeners and relayed transport addresses, each with the address that the
/// world sees (1:1 NAT, ports unchanged). A datagram to one of them must hit a live relayed transport address.
///
/// Grows only: an address that was ours once stays one until the relay restarts, and sends to it stay refused.
pub struct OwnAddresses {
    pairs: Box<[Pair]>,
    used: AtomicUsize,
}

#[derive(Default)]
struct Pair {
    internal: [AtomicU64; 2],
    external: [AtomicU64; 2],
}

/// [`OWN_ADDRESSES_MAX`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddressesFull;

impl Default for OwnAddresses {
    fn default() -> Self {
        Self { pairs: (0..OWN_ADDRESSES_MAX).map(|_| Pair::default()).collect(), used: AtomicUsize::new(0) }
    }
}

fn words(address: [u8; 16]) -> [u64; 2] {
    let both = u128::from_be_bytes(address);
    [(both >> 64) as u64, both as u64]
}

fn load(words: &[AtomicU64; 2]) -> [u64; 2] {
    [words[0].load(Ordering::Relaxed), words[1].load(Ordering::Relaxed)]
}

fn octets(words: [u64; 2]) -> [u8; 16] {
    (u128::from(words[0]) << 64 | u128::from(words[1])).to_be_bytes()
}

impl OwnAddresses {
    /// Adds an address; nothing if it is there. Only for the one writer of the flow table.
    ///
    /// # Errors
    /// [`OwnAddressesFull`].
    pub fn add(&self, internal: [u8; 16], external: [u8; 16]) -> Result<(), OwnAddressesFull> {
        let (internal, external) = (words(internal), words(external));
        if self.pairs().any(|pair| load(&pair.internal) == internal && load(&pair.external) == external) {
            return Ok(());
        }
        let used = self.used.load(Ordering::Relaxed);
        let pair = self.pairs.get(used).ok_or(OwnAddressesFull)?;
        for (place, value) in pair.internal.iter().zip(internal).chain(pair.external.iter().zip(external)) {
            place.store(value, Ordering::Relaxed);
        }
        self.used.store(used + 1, Ordering::Release);
        Ok(())
    }

    /// The internal form of an address that the world (or a careless peer) names; `None` if it is not ours.
    #[must_use]
    pub fn internal(&self, named: [u8; 16]) -> Option<[u8; 16]> {
        let named = words(named);
        let external = self.pairs().find(|pair| load(&pair.external) == named);
        let found = external.or_else(|| self.pairs().find(|pair| load(&pair.internal) == named))?;
        Some(octets(load(&found.internal)))
    }

    /// Whether `address` is ours on this side of the NAT.
    #[must_use]
    pub fn is_internal(&self, address: [u8; 16]) -> bool {
        let address = words(address);
        self.pairs().any(|pair| load(&pair.internal) == address)
    }

    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().take(self.used.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_address_leads_to_its_internal_one() {
        let own = OwnAddresses::default();
        own.add([1; 16], [2; 16]).unwrap();
        own.add([3; 16], [3; 16]).unwrap();
        assert_eq!(own.internal([2; 16]), Some([1; 16]));
        assert_eq!(own.internal([1; 16]), Some([1; 16]));
        assert_eq!(own.internal([3; 16]), Some([3; 16]));
        assert_eq!(own.internal([4; 16]), None);
        assert!(own.is_internal([1; 16]) && !own.is_internal([2; 16]));
    }

    #[test]
    fn the_same_pair_takes_one_place_and_the_limit_holds() {
        let own = OwnAddresses::default();
        for n in 0..OWN_ADDRESSES_MAX {
            let address = (n as u128).to_be_bytes();
            own.add(address, address).unwrap();
            own.add(address, address).unwrap();
        }
        assert_eq!(own.add([9; 16], [9; 16]), Err(OwnAddressesFull));
    }
}
