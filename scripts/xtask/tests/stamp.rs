//! The committed BPF objects are those that their sources make.

#[test]
fn every_prebuilt_object_was_made_from_these_sources() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).expect("scripts/xtask is two below the root");
    for object in xtask::OBJECTS {
        if let Err(error) = object.check(root) {
            panic!("{error:#}");
        }
    }
}
