//! Counting what a thread allocates, for tests of code that must not, and what it holds.

mod steady;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub use steady::Steady;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
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

/// Octets that the calling thread has asked for and not given back, as far as either is its own doing; zero if neither
/// [`Counting`] nor [`Steady`] is the global allocator.
#[must_use]
pub fn held_by_this_thread() -> i64 {
    HELD.with(Cell::get)
}

fn count() {
    // A thread that is being torn down counts for nobody.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

fn hold(octets: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(octets as i64)));
}

fn let_go(octets: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(octets as i64)));
}

// SAFETY: every call goes to `System` unchanged, which keeps the contract; counting does not allocate (the thread
// local is constant-initialised and needs no destructor).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let_go(layout.size());
        // SAFETY: as above; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, octets: usize) -> *mut u8 {
        count();
        let_go(layout.size());
        hold(octets);
        // SAFETY: as above; the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, octets) }
    }
}
