//! Page-aligned memory that the kernel writes into.

use std::io;
use std::ptr::NonNull;

/// Zeroed private pages; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    first: NonNull<u8>,
    octets: usize,
}

// SAFETY: a plain range of private memory, reached only through `&self` and `&mut self`.
unsafe impl Send for Pages {}

impl Pages {
    /// At least `octets` (more than zero) octets.
    pub(crate) fn new(octets: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a fresh mapping at an address of the kernel's choice cannot overlap memory of ours.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), octets, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { first, octets })
    }

    /// Where they start.
    pub(crate) fn start(&self) -> *mut u8 {
        self.first.as_ptr()
    }

    /// A part.
    pub(crate) fn slice_mut(&mut self, start: usize, octets: usize) -> &mut [u8] {
        assert!(start.checked_add(octets).is_some_and(|end| end <= self.octets), "a part of the pages");
        // SAFETY: inside the mapping by the assertion; initialised (zeroed by the kernel); `&mut self` makes it the only
        // reference of this process. The caller of `Uring` holds the buffer, so the kernel does not write to it.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr().add(start), octets) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` got; no borrow outlives `self`.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.octets) };
    }
}
