//! What is kept of messages, fragments and tokens, and what the fuzz entry makes of it.

use std::path::Path;

use proptest::prelude::*;
use raceway_rooms::fuzz;

fn kept() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(directory).expect("the corpus is committed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

#[test]
fn the_corpus_is_read_without_a_fault() {
    let kept = kept();
    assert_eq!(kept.len(), 9);
    kept.iter().for_each(|octets| fuzz(octets));
}

proptest! {
    #[test]
    fn what_is_kept_and_then_damaged_is_read_without_a_fault(
        which in 0..9_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut octets = kept().swap_remove(which);
        for (at, octet) in damage {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        octets.truncate(cut.index(octets.len()) + 1);
        fuzz(&octets);
    }
}
