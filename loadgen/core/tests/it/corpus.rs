//! The committed corpora through their fuzz entries, and mutations of them.

use std::path::Path;

use proptest::prelude::*;

type Fuzz = fn(&[u8]);

/// A folder of `corpus` and what reads it.
const PARSERS: [(&str, Fuzz); 4] = [
    ("call", raceway_loadgen_core::call::fuzz),
    ("rtp", raceway_loadgen_core::rtp::fuzz),
    ("rtcp", raceway_loadgen_core::rtcp::fuzz),
    ("replay", raceway_loadgen_core::replay::fuzz),
];

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn every_file_of_a_corpus_and_every_cut_of_it_is_survived() {
    for (folder, fuzz) in PARSERS {
        let corpus = corpus(folder);
        assert!(corpus.len() >= 10, "the corpus {folder} is there");
        for data in corpus {
            (0..=data.len()).for_each(|cut| fuzz(&data[..cut]));
        }
    }
}

proptest! {
    #[test]
    fn changed_octets_of_a_corpus_are_survived(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (folder, fuzz) in PARSERS {
            let corpus = corpus(folder);
            let mut data = file.get(&corpus).clone();
            for (at, octet) in &changes {
                let at = at.index(data.len());
                data[at] = *octet;
            }
            fuzz(&data);
        }
    }
}
