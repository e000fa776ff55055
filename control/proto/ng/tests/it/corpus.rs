//! Messages that are kept, and what the fuzz entry makes of them.

use std::path::Path;

use raceway_ng::fuzz;

/// Messages in the corpus.
pub(crate) const COUNT: usize = 20;

/// All of them: files as they are, and the exchange of Kamailio message by message.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(directory).expect("the corpus is committed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let mut messages = Vec::new();
    for path in paths {
        let octets = std::fs::read(&path).expect("readable");
        if path.extension().is_some_and(|extension| extension == "json") {
            let exchange: Vec<serde_json::Value> = serde_json::from_slice(&octets).expect("JSON");
            messages.extend(exchange.iter().map(|m| m["raw"].as_str().expect("a string").as_bytes().to_vec()));
        } else {
            messages.push(octets);
        }
    }
    messages
}

#[test]
fn the_corpus_is_read_without_a_fault() {
    let messages = messages();
    assert_eq!(messages.len(), COUNT);
    messages.iter().for_each(|message| fuzz(message));
}
