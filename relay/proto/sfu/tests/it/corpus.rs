//! The committed corpus through the fuzz entry, and mutations of it.

use proptest::prelude::*;
use raceway_sfu::fuzz;

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn every_file_of_the_corpus_and_every_cut_of_it_is_survived() {
    let corpus = corpus();
    assert!(corpus.len() >= 10, "the corpus is there");
    for data in corpus {
        (0..=data.len()).step_by(7).for_each(|cut| fuzz(&data[..cut]));
        fuzz(&data);
    }
}

proptest! {
    #[test]
    fn changed_octets_of_the_corpus_are_survived(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let corpus = corpus();
        let mut data = file.get(&corpus).clone();
        for (at, octet) in changes {
            let at = at.index(data.len());
            data[at] = octet;
        }
        fuzz(&data);
    }

    #[test]
    fn any_octets_are_survived(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&data);
    }
}
