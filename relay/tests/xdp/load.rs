//! What the kernel makes of the object.

use crate::place::with_bpf;

/// Instructions that the verifier may look at. (It gives up at a million.)
const VERIFIED_MAX: u32 = 300_000;

#[test]
fn needs_bpf_the_verifier_accepts_the_program_within_its_bound() {
    with_bpf("verifier", |place| {
        let mut xdp = place.open().unwrap_or_else(|error| panic!("{error:#}"));
        let info = xdp.program().expect("loaded").info().expect("loaded");
        let verified = info.verified_instruction_count().expect("kernel 5.16 or later");
        let translated = info.size_translated().expect("root") / 8;
        println!("verifier: {verified} instructions looked at, {translated} in the program");
        assert!(verified <= VERIFIED_MAX, "{verified}");
    });
}

/// Octets of kernel memory that all maps may take with the default number of flows (`abi::limits`).
const MAPS_MAX: u64 = 26 << 20;

#[test]
fn needs_bpf_the_maps_keep_to_their_memory_bound() {
    with_bpf("memory", |place| {
        place.options.flows_max = raceway_abi::limits::FLOWS_DEFAULT;
        let xdp = place.open().expect("opens");
        let directory = place.options.pin_dir.join(format!("v{}", raceway_abi::ABI_VERSION));
        let mut total = 0;
        for entry in std::fs::read_dir(directory).expect("pinned") {
            let path = entry.expect("pinned").path();
            let octets = memory_of(&path);
            println!("{}: {octets} octets", path.display());
            total += octets;
        }
        assert_eq!(xdp.flows().len(), 65_536);
        assert_eq!(xdp.policers().len(), 65_536);
        assert!((20 << 20..=MAPS_MAX).contains(&total), "{total}");
    });
}

/// What the kernel says a pinned map takes.
fn memory_of(path: &std::path::Path) -> u64 {
    use std::os::fd::AsRawFd;
    let map = raceway_sys::bpf::open_pinned(path).expect("pinned");
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd())).expect("ours");
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:")).expect("a map");
    line.trim().parse().expect("a number")
}
