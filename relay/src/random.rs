//! Randomness.

/// A random number of the kernel's.
#[must_use]
pub fn random() -> u64 {
    getrandom::u64().expect("the kernel has random numbers")
}
