//! Pins: what a restart finds, and what it refuses.

use crate::place::with_bpf;

#[test]
fn needs_bpf_x() {
    with_bpf("x", |place| {
        drop(place.open().unwrap_or_else(|error| panic!("{error:#}")));
        drop(place.open().unwrap_or_else(|error| panic!("{error:#}")));
    });
}
