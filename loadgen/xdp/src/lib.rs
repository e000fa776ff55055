//! The half of the generator that runs in the kernel, and its loader.
//!
//! A [`Generator`] is an XDP program that BPF_PROG_TEST_RUN runs on frames which go out of an interface; a [`Sink`] is one
//! on an interface, which counts and times what comes back and passes everything else up. Both are in loadgen/xdp/prog.

mod error;
mod frame;
mod generator;
pub mod layout;
mod sink;

pub use error::XdpError;
pub use frame::{Endpoints, Frames, PACKET_MAX, Shape};
pub use generator::{Generator, Order, Running};
pub use sink::{Heard, Known, Sink, Stranger, Strangers, Tally};

use aya::maps::MapData;
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use layout::BUCKETS;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../prebuilt/loadgen.bpf.o");

/// Loads the object for so many streams, and one of its programs into the kernel.
fn load(program: &'static str, streams: u32) -> Result<Ebpf, XdpError> {
    // The other programs' tables stay as small as they can be.
    let table = match program {
        generator::PROGRAM => "STREAMS",
        sink::EXPECTING => "HEARD",
        _ => "STRANGERS",
    };
    let mut object = EbpfLoader::new().map_max_entries(table, streams).load(OBJECT)?;
    xdp(&mut object, program)?.load().map_err(XdpError::from)?;
    Ok(object)
}

fn xdp<'a>(object: &'a mut Ebpf, program: &'static str) -> Result<&'a mut Xdp, XdpError> {
    object.program_mut(program).ok_or(XdpError::Object(program))?.try_into().map_err(XdpError::from)
}

fn map(object: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, XdpError> {
    object.take_map(name).ok_or(XdpError::Object(name))
}

type Array<V> = aya::maps::Array<MapData, V>;
type HashMap<K, V> = aya::maps::HashMap<MapData, K, V>;
type PerCpuArray<V> = aya::maps::PerCpuArray<MapData, V>;

/// How often each delay was counted: its nanoseconds (the middle of a bucket, less than 1 % off) and the number, for
/// those that have changed since `before`, which is brought up to date.
fn grown(counts: &[u64], before: &mut [u64]) -> Vec<(u64, u64)> {
    let mut grown = Vec::new();
    for (bucket, (count, before)) in (0..).zip(counts.iter().zip(before)) {
        let more = count.saturating_sub(*before);
        if more != 0 {
            grown.push((middle(bucket), more));
            *before = *count;
        }
    }
    grown
}

/// The middle of a bucket, ns.
const fn middle(bucket: u64) -> u64 {
    let exponent = bucket / layout::STEPS;
    if exponent == 0 {
        return bucket;
    }
    let width = 1 << (exponent - 1);
    (layout::STEPS + bucket % layout::STEPS) * width + width / 2
}

const _: () = assert!(size_of::<layout::Stream>() == 96 && size_of::<layout::Heard>() == 120);
const _: () = assert!(size_of::<layout::Listening>() == 48 && size_of::<layout::Origin>() == 24);
const _: () = assert!(size_of::<layout::Stranger>() == 160);
const _: () = assert!(BUCKETS.is_multiple_of(layout::STEPS as usize));

// SAFETY: integers in the order of their sizes, without padding (asserted above where it is not plain to see).
unsafe impl aya::Pod for layout::Stream {}
// SAFETY: as above; 3072 octets, then words of two.
unsafe impl aya::Pod for layout::Pattern {}
// SAFETY: as above; words of eight, then an even number of words of four.
unsafe impl aya::Pod for layout::State {}
// SAFETY: as above.
unsafe impl aya::Pod for layout::Expected {}
// SAFETY: as above; words of eight, four of four, two of two, one of four.
unsafe impl aya::Pod for layout::Listening {}
// SAFETY: as above; five words of four, two of two.
unsafe impl aya::Pod for layout::Origin {}
// SAFETY: as above; words of eight, four of four, one of eight, two of four.
unsafe impl aya::Pod for layout::Stranger {}
// SAFETY: as above; words of eight alone.
unsafe impl aya::Pod for layout::Counts {}
// SAFETY: as above; words of eight, then an even number of words of four.
unsafe impl aya::Pod for layout::Heard {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::bucket;

    #[test]
    fn the_middle_of_a_bucket_is_close_to_all_its_delays() {
        for ns in (0..200).chain([999, 1_000, 4_095, 4_096, 123_456, 9_999_999, 77_777_777_777]) {
            assert!(middle(bucket(ns) as u64).abs_diff(ns) <= ns / 100, "{ns}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn only_what_has_grown_is_told_and_once() {
        let mut before = vec![0; BUCKETS];
        let mut counts = vec![0; BUCKETS];
        counts[5] = 3;
        assert_eq!(grown(&counts, &mut before), [(5, 3)]);
        assert_eq!(grown(&counts, &mut before), []);
    }

    #[test]
    fn steps_never_drift() {
        let mut steps = layout::Steps::new(20_000_000, 300_007);
        let sum: u64 = (0..300_007).map(|_| steps.next()).sum();
        assert_eq!(sum, 20_000_000);
    }
}
