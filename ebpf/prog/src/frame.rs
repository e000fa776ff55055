//! A frame in the driver's buffer, in the shape that the verifier can follow.

use aya_ebpf::bindings::{__be32, xdp_md};
use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_load_bytes};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::XdpContext;
use raceway_datapath::Packet;

/// Octets that `bpf_csum_diff` takes at once (kernels before 6.13).
const CHUNK: usize = 512;
/// Chunks of the longest payload that is summed.
const CHUNKS: usize = 4;

/// Where a payload is copied to be summed, and one word of padding.
#[map]
static SCRATCH: PerCpuArray<[u32; CHUNK / 4 + 1]> = PerCpuArray::with_max_entries(1, 0);

/// The frame of a run of the program.
///
/// Start and end are read from the context each time: the compiler keeps them between helper calls, and after one
/// the verifier forgets what was compared with what, so that ways that differed before are one again.
pub struct DriverFrame {
    context: *mut xdp_md,
}

impl DriverFrame {
    /// The frame of this run.
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        Self { context: context.ctx }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the context is the one of this run.
        unsafe { (*self.context).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: the context is the one of this run.
        unsafe { (*self.context).data_end as usize }
    }

    /// A pointer to `octets` octets at `at`, if they are inside.
    #[inline(always)]
    fn at(&self, at: usize, octets: usize) -> Option<*mut u8> {
        let place = self.start() + at;
        (place + octets <= self.end()).then_some(place as *mut u8)
    }
}

impl Packet for DriverFrame {
    #[inline(always)]
    fn octets(&self) -> usize {
        self.end() - self.start()
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let place = self.at(at, 4 * N)?;
        // SAFETY: `at` just compared the place with the end of the frame, which the kernel keeps in place for
        // this run; the read wants no alignment.
        Some(unsafe { place.cast::<[u32; N]>().read_unaligned() })
    }

    #[inline(always)]
    fn field(&self, at: usize) -> Option<u16> {
        let place = self.at(at, 2)?;
        // SAFETY: as in `words`.
        Some(u16::from_be(unsafe { place.cast::<u16>().read_unaligned() }))
    }

    #[inline(always)]
    fn put_words<const N: usize>(&mut self, at: usize, words: [u32; N]) -> Option<()> {
        let place = self.at(at, 4 * N)?;
        for (index, word) in words.into_iter().enumerate() {
            // SAFETY: as in `words`; nothing else refers to the frame.
            unsafe { place.cast::<u32>().add(index).write_unaligned(word) };
        }
        Some(())
    }

    #[inline(always)]
    fn put_field(&mut self, at: usize, field: u16) -> Option<()> {
        let place = self.at(at, 2)?;
        // SAFETY: as in `put_words`.
        unsafe { place.cast::<u16>().write_unaligned(field.to_be()) };
        Some(())
    }

    #[inline(always)]
    fn sum(&self, at: usize, octets: usize) -> Option<u64> {
        if octets > CHUNK * CHUNKS {
            return None;
        }
        sum(self.context, at as u32, octets as u32)
    }

    #[inline(always)]
    fn move_start(&mut self, by: isize) -> bool {
        // SAFETY: the context is the one of this run, and no pointer into the frame is kept from before.
        unsafe { bpf_xdp_adjust_head(self.context, by as i32) == 0 }
    }
}

/// Copies the payload to the scratch map, piece by piece, and sums it there.
#[inline(never)]
fn sum(context: *mut xdp_md, at: u32, octets: u32) -> Option<u64> {
    let scratch = SCRATCH.get_ptr_mut(0)?.cast::<u8>();
    let mut sum = 0;
    let mut done = 0;
    for _ in 0..CHUNKS {
        // By way of the scratch: the compiler must not know the value, or it proves the comparison below true and
        // leaves it out, and the verifier, who cannot follow the proof, misses it; and the verifier must not know
        // it either, or it tells every length from every other from the first header on.
        // SAFETY: the scratch is this CPU's alone while the program runs.
        let left = unsafe {
            scratch.cast::<u32>().write_volatile(octets.wrapping_sub(done));
            scratch.cast::<u32>().read_volatile()
        };
        if left == 0 {
            break;
        }
        let chunk = if left >= CHUNK as u32 { CHUNK as u32 } else { left };
        // SAFETY: the scratch has room for a chunk and one word, and is this CPU's alone while the program runs.
        unsafe {
            scratch.add(chunk as usize).cast::<u32>().write_unaligned(0);
            if bpf_xdp_load_bytes(context, at + done, scratch.cast(), chunk) != 0 {
                return None;
            }
            sum = bpf_csum_diff(core::ptr::null_mut(), 0, scratch.cast::<__be32>(), (chunk + 3) & !3, sum as u32);
        }
        done += chunk;
    }
    Some(sum as u64 & 0xffff_ffff)
}
