//! The committed XDP object is the one that its sources make.

#[test]
fn the_prebuilt_object_was_made_from_these_sources() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).expect("scripts/xtask is two below the root");
    if let Err(error) = xtask::check(root) {
        panic!("{error:#}");
    }
}
