//! An allocator for counts of instructions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// Smallest block, and the alignment of all: how many instructions a copy takes depends on where it begins.
const BLOCK_MIN: usize = 64;
/// Blocks of 64 octets, 128, and so on to 64 KiB.
const SIZES: usize = 11;
const BLOCK_MAX: usize = BLOCK_MIN << (SIZES - 1);
/// Octets that are asked of the system at a time.
const CHUNK: usize = 1 << 20;

thread_local! {
    /// The first free block of each size; each holds the next one's address.
    static FREE: [Cell<*mut u8>; SIZES] = const { [const { Cell::new(ptr::null_mut()) }; SIZES] };
    /// Rest of the last chunk: where it begins, and octets.
    static REST: Cell<(*mut u8, usize)> = const { Cell::new((ptr::null_mut(), 0)) };
}

/// A counting allocator that takes the same instructions for the same requests, whatever was allocated before and
/// whichever C library there is. To be the global allocator of a program whose instructions are counted.
///
/// A block is a power of two of octets and, once freed, is the next one of its size in the thread that freed it. Memory
/// never goes back to the system.
#[derive(Debug)]
pub struct Steady;

/// Which size of blocks a layout takes; none if it is for the system.
const fn size_of_block(layout: Layout) -> Option<usize> {
    let (octets, align) = (layout.size(), layout.align());
    if octets > BLOCK_MAX || align > BLOCK_MIN {
        return None;
    }
    let wanted = if octets < BLOCK_MIN { BLOCK_MIN } else { octets.next_power_of_two() };
    Some((wanted / BLOCK_MIN).trailing_zeros() as usize)
}

/// A block of a size that has no free one; null when the system has no more.
#[cold]
fn fresh(size: usize) -> *mut u8 {
    let octets = BLOCK_MIN << size;
    let (mut start, mut rest) = REST.get();
    if rest < octets {
        const LAYOUT: Layout = match Layout::from_size_align(CHUNK, BLOCK_MIN) {
            Ok(layout) => layout,
            Err(_) => panic!("the alignment is a power of two"),
        };
        // SAFETY: the layout has octets.
        (start, rest) = (unsafe { System.alloc(LAYOUT) }, CHUNK);
        if start.is_null() {
            return start;
        }
    }
    // No block is longer than a chunk, so what is left begins inside the chunk or at its end.
    REST.set((start.wrapping_add(octets), rest - octets));
    start
}

// SAFETY: a block is as long as the layout wants and, as all blocks and chunks begin at multiples of `BLOCK_MIN`, aligned
// as it wants; it is cut from a chunk once, and after that is either with its holder or in one thread's list. What is no
// block goes to `System` under the same layout each time. Nothing here allocates by itself or unwinds: the thread locals
// are constant-initialised and need no destructor, so they are there for as long as their thread.
unsafe impl GlobalAlloc for Steady {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        super::count();
        super::hold(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        let Some(size) = size_of_block(layout) else { return unsafe { System.alloc(layout) } };
        FREE.with(|free| {
            let block = free[size].get();
            if block.is_null() {
                return fresh(size);
            }
            // SAFETY: a block in the list is nobody's, aligned, and holds an address that `dealloc` wrote.
            free[size].set(unsafe { block.cast::<*mut u8>().read() });
            block
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        super::let_go(layout.size());
        // SAFETY: the layout is that of the allocation, so the pointer came from `System`.
        let Some(size) = size_of_block(layout) else { return unsafe { System.dealloc(pointer, layout) } };
        FREE.with(|free| {
            // SAFETY: the layout is that of the allocation, so this is a block, aligned, and its holder gives it up.
            unsafe { pointer.cast::<*mut u8>().write(free[size].get()) };
            free[size].set(pointer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_long_enough_aligned_and_used_again() {
        for octets in [1, 63, 64, 65, 4096, BLOCK_MAX, BLOCK_MAX + 1] {
            let layout = Layout::from_size_align(octets, 16).unwrap();
            // SAFETY: the layouts have octets; blocks are written within them and freed once, under their layout.
            unsafe {
                let (first, second) = (Steady.alloc(layout), Steady.alloc(layout));
                assert_ne!(first, second);
                first.write_bytes(1, octets);
                second.write_bytes(2, octets);
                assert_eq!((*first, *first.add(octets - 1)), (1, 1));
                if octets <= BLOCK_MAX {
                    assert_eq!((first as usize % BLOCK_MIN, second as usize % BLOCK_MIN), (0, 0));
                    Steady.dealloc(first, layout);
                    assert_eq!(Steady.alloc(layout), first);
                }
                Steady.dealloc(first, layout);
                Steady.dealloc(second, layout);
            }
        }
    }

    #[test]
    fn what_wants_more_alignment_gets_it() {
        let layout = Layout::from_size_align(100, 4096).unwrap();
        // SAFETY: the layout has octets; the memory is freed once, under its layout.
        unsafe {
            let pointer = Steady.alloc(layout);
            assert_eq!(pointer as usize % 4096, 0);
            Steady.dealloc(pointer, layout);
        }
    }
}
