//! Counting what a thread allocates, for tests of code that must not.

mod steady;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub use steady::Steady;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting. To be the global allocator of a test.
#[derive(Debug)]
pub struct Counting;

/// Allocations and reallocations of the calling thread so far; zero if neither [`Counting`] nor
/// [`Steady`] is the global allocator.
#[must_use]
pub fn of_this_thread() -> u64 {
    COUNT.with(Cell::get)
}

fn count() {
    // A thread that is being torn down counts for nobody.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to `System` unchanged, which keeps the contract; counting does not allocate (the thread
// local is constant-initialised and needs no destructor).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, octets: usize) -> *mut u8 {
        count();
        // SAFETY: as above; the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, octets) }
    }
}
