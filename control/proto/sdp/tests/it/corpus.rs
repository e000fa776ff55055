//! The committed corpus through the fuzz entry, and mutations of it.

use proptest::prelude::*;
use raceway_sdp::{Sdp, fuzz};

pub fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn every_body_of_the_corpus_comes_back_octet_for_octet() {
    let corpus = corpus();
    assert!(corpus.len() >= 11, "the corpus is there");
    for body in corpus {
        assert_eq!(Sdp::parse(&body).unwrap().encode(), body);
        fuzz(&body);
    }
}

#[test]
fn every_cut_of_the_corpus_is_survived() {
    for body in corpus() {
        (0..body.len()).for_each(|cut| fuzz(&body[..cut]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn changed_octets_of_the_corpus_are_survived(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let corpus = corpus();
        let mut body = file.get(&corpus).clone();
        for (at, octet) in changes {
            let at = at.index(body.len());
            body[at] = octet;
        }
        fuzz(&body);
    }

    #[test]
    fn lines_of_the_corpus_in_any_order_are_survived(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..60),
        lf in any::<bool>(),
    ) {
        let corpus = corpus();
        let mut body = b"v=0\r\n".to_vec();
        for (file, line) in picks {
            let lines: Vec<&[u8]> = file.get(&corpus).split_inclusive(|octet| *octet == b'\n').collect();
            body.extend_from_slice(lines[line.index(lines.len())]);
        }
        if lf {
            body.retain(|octet| *octet != b'\r');
        }
        fuzz(&body);
    }

    #[test]
    fn any_octets_are_survived(body in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz(&body);
    }
}
