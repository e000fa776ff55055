//! Every crate that Raceway links has a licence that deny.toml allows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PLATFORM: &str = "--filter-platform=x86_64-unknown-linux-gnu";

/// Whether an SPDX expression can be satisfied with what is allowed. `AND` binds closer than `OR`; the old `/` is `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (value, rest) = any_of(&words, allowed);
    value && rest.is_empty()
}

fn any_of<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut value, mut rest) = all_of(words, allowed);
    while let Some(("OR", more)) = rest.split_first().map(|(first, more)| (*first, more)) {
        let (next, after) = all_of(more, allowed);
        (value, rest) = (value | next, after);
    }
    (value, rest)
}

fn all_of<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut value, mut rest) = term(words, allowed);
    while let Some(("AND", more)) = rest.split_first().map(|(first, more)| (*first, more)) {
        let (next, after) = term(more, allowed);
        (value, rest) = (value & next, after);
    }
    (value, rest)
}

fn term<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => {
            let (value, rest) = any_of(inner, allowed);
            (value, rest.get(1..).unwrap_or_default())
        }
        [licence, "WITH", exception, rest @ ..] => (allowed.contains(&format!("{licence} WITH {exception}")), rest),
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => (false, &[]),
    }
}

fn allowed(root: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root.join("deny.toml")).expect("deny.toml is at the root");
    let list = text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list of licences").0;
    list.split(',').map(|licence| licence.trim().trim_matches('"').to_owned()).filter(|l| !l.is_empty()).collect()
}

#[test]
fn every_linked_crate_has_an_allowed_licence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("scripts/xtask is two below");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["metadata", "--format-version=1", "--locked", PLATFORM, "--manifest-path"];
    let output = Command::new(cargo).args(arguments).arg(root.join("Cargo.toml")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let allowed = allowed(root);
    for package in metadata["packages"].as_array().expect("a list") {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(satisfied(licence, &allowed), "{}: {licence} is not allowed by deny.toml", package["name"]);
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR MIT AND ISC", "MIT WITH LLVM-exception", "MIT ISC"] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}
