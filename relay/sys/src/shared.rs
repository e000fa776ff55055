//! Arrays in memory that others see too: BPF array maps, or anonymous pages in their place.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use raceway_abi::{Flow, Policer, Settings};

/// A type that may be read and written by several processes and by XDP at the same time, and for which any bit
/// pattern, all zero included, is a value.
///
/// # Safety
///
/// Every octet of the type belongs to an atomic integer or is padding that nobody reads; its size is a multiple
/// of 8, the stride of a BPF array.
pub unsafe trait AllAtomic: Sync {}

// SAFETY: made of `AtomicU8`..`AtomicU64` only; 256 octets.
unsafe impl AllAtomic for Flow {}
// SAFETY: three `AtomicU64`.
unsafe impl AllAtomic for Policer {}
// SAFETY: made of `AtomicU16`..`AtomicU64` only; 48 octets.
unsafe impl AllAtomic for Settings {}
// SAFETY: an atomic of 8 octets.
unsafe impl AllAtomic for AtomicU64 {}

/// A fixed array of `T` in mapped memory; dereferences to a slice. Unmapped when dropped.
#[derive(Debug)]
pub struct SharedArray<T: AllAtomic> {
    first: NonNull<T>,
    len: usize,
    mapped_octets: usize,
}

// SAFETY: the only access to the memory is through `&[T]`, and `T: AllAtomic` is `Sync`.
unsafe impl<T: AllAtomic> Send for SharedArray<T> {}
// SAFETY: as above.
unsafe impl<T: AllAtomic> Sync for SharedArray<T> {}

impl<T: AllAtomic> SharedArray<T> {
    /// Maps a BPF array map (made with `BPF_F_MMAPABLE`) of `len` values of type `T`. The caller has checked
    /// the map's value size and entries against them.
    ///
    /// # Errors
    ///
    /// What mmap(2) says: the map is smaller, not mmapable, or memory is short.
    pub fn from_map(map: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(libc::MAP_SHARED, map.as_raw_fd(), len)
    }

    /// Zeroed pages of this process alone (shared with its children).
    ///
    /// # Errors
    ///
    /// What mmap(2) says: memory is short.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, len)
    }

    fn map(flags: libc::c_int, fd: libc::c_int, len: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8) && size_of::<T>() > 0 && align_of::<T>() <= 4096) };
        let octets = size_of::<T>().checked_mul(len).filter(|&octets| octets > 0).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice cannot overlap memory of ours.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), octets, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { first, len, mapped_octets: octets })
    }
}

impl<T: AllAtomic> Deref for SharedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `first` points at `len` values (page aligned, mapped for the life of `self`); any bit pattern
        // is a `T`, and concurrent writes go through atomics by `T: AllAtomic`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T: AllAtomic> Drop for SharedArray<T> {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` got; every borrow of it ended with the borrow of `self`.
        // A failure would leave the pages mapped, which harms nobody.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.mapped_octets) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn anonymous_memory_starts_zeroed_and_keeps_what_is_stored() {
        let array = SharedArray::<Flow>::anonymous(3).expect("a page");
        assert_eq!(array.len(), 3);
        assert_eq!(array[2].measured.packets.load(Relaxed), 0);
        array[2].measured.packets.store(7, Relaxed);
        assert_eq!(array[2].measured.packets.load(Relaxed), 7);
        assert_eq!(array[1].measured.packets.load(Relaxed), 0);
    }

    #[test]
    fn an_empty_array_is_refused() {
        assert!(SharedArray::<AtomicU64>::anonymous(0).is_err());
    }
}
