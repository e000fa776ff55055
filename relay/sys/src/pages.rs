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

/// Parts of pages, each to be given out once.
pub(crate) struct Parts<'a> {
    pages: &'a mut Pages,
    stride: usize,
}

impl Pages {
    /// The pages as parts of `stride` octets.
    pub(crate) fn parts(&mut self, stride: usize) -> Parts<'_> {
        Parts { pages: self, stride }
    }
}

impl<'a> Parts<'a> {
    /// The part with this number.
    ///
    /// # Safety
    /// No part is asked for twice.
    pub(crate) unsafe fn part(&mut self, number: usize) -> &'a mut [u8] {
        let part: *mut [u8] = self.pages.slice_mut(number * self.stride, self.stride);
        // SAFETY: `slice_mut` saw that it is inside the pages, which are borrowed for 'a by this alone; parts of different
        // numbers do not overlap, and by the caller's promise this number comes once.
        unsafe { &mut *part }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` got; no borrow outlives `self`.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.octets) };
    }
}
