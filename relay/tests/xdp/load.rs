//! What the kernel makes of the object.

use crate::place::with_bpf;

/// Instructions that the verifier may look at. (It gives up at a million.)
const VERIFIED_MAX: u32 = 250_000;

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
