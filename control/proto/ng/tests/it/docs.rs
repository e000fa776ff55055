//! docs/ng.md says what the tables say.

use raceway_ng::{NOT_SUPPORTED, Verb, table};

const DOCUMENT: &str = include_str!("../../../../../docs/ng.md");

#[test]
fn the_table_of_the_document_is_the_one_that_is_followed() {
    let (_, rest) = DOCUMENT.split_once("<!-- table -->\n").expect("the document has a place for it");
    let (table, _) = rest.split_once("<!-- end of table -->").expect("the document has an end for it");
    assert!(
        table == table::markdown(),
        "docs/ng.md differs from the tables; put in what `cargo run -p raceway-ng --example table` prints"
    );
}

#[test]
fn every_command_is_in_the_document() {
    let known = Verb::ALL.iter().filter(|verb| **verb != Verb::Other).map(|verb| verb.as_str());
    for command in known.chain(NOT_SUPPORTED.iter().map(|(command, _)| *command)) {
        assert!(DOCUMENT.contains(&format!("| `{command}` |")), "{command}");
    }
}
