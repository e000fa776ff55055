//! Legs in little memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::Leg;
use crate::limits;

/// A leg in as little memory as it takes to keep it, to compare it, and to give it back. Zeroed when dropped, since there may
/// be keys in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedLeg(Zeroizing<Box<[u8]>>);

impl PackedLeg {
    /// Packs a leg.
    #[must_use]
    pub fn new(leg: &Leg<'_>) -> Self {
        // Of a buffer that grew, or is cut to size, octets would stay behind.
        let room = Vec::with_capacity(limits::LEG_OCTETS_MAX);
        let octets = postcard::to_extend(leg, room).expect("legs have an encoding");
        Self(Zeroizing::new(Zeroizing::new(octets)[..].into()))
    }

    /// The leg.
    #[must_use]
    pub fn leg(&self) -> Leg<'static> {
        postcard::from_bytes::<Leg<'_>>(&self.0).expect("it was packed just so").into_owned()
    }
}

impl fmt::Debug for PackedLeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leg().fmt(f)
    }
}
