//! The integers that shared records are made of.
//!
//! Everywhere but in the XDP object these are the atomics of `core`. LLVM's BPF back end cannot select relaxed
//! atomic loads and stores (they are plain moves on that machine too), and the BPF target has no atomics
//! narrower than 64 bits, so there they are cells of the same size and alignment. Additions that must not be lost
//! are made by the object itself, with the one atomic instruction that BPF has for it.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
pub use plain::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
mod plain {
    use core::cell::Cell;
    use core::sync::atomic::Ordering;

    macro_rules! plain {
        ($($name:ident $integer:ident),*) => {$(
            /// An integer in memory that others write too.
            #[repr(transparent)]
            #[derive(Debug, Default)]
            pub struct $name(Cell<$integer>);

            impl $name {
                /// Reads it.
                #[inline(always)]
                pub fn load(&self, _: Ordering) -> $integer {
                    self.0.get()
                }

                /// Writes it.
                #[inline(always)]
                pub fn store(&self, value: $integer, _: Ordering) {
                    self.0.set(value);
                }

                /// Where it is.
                #[inline(always)]
                pub const fn as_ptr(&self) -> *mut $integer {
                    self.0.as_ptr()
                }
            }
        )*};
    }

    plain!(AtomicU8 u8, AtomicU16 u16, AtomicU32 u32, AtomicU64 u64);
}
