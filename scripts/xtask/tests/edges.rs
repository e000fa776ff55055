//! The table of crates in docs/ARCHITECTURE.md says who may depend on whom. This holds it against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A row of the table.
struct Rule {
    path: String,
    rule: String,
    may: BTreeSet<String>,
}

/// A package as its manifest has it.
struct Package {
    path: String,
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("scripts/xtask is two below").to_owned()
}

fn full(name: &str) -> String {
    if name == "xtask" { name.to_owned() } else { format!("raceway-{name}") }
}

/// The rules, by package, as the table reads them: `-` is none, `all of the above` the rows before it.
fn rules() -> BTreeMap<String, Rule> {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the map is in docs");
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    let mut above = BTreeSet::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, path, rule, may] = cells[..] else { panic!("not four cells: {row}") };
        let may = match may {
            "-" => BTreeSet::new(),
            "all of the above" => above.clone(),
            "anything" => BTreeSet::from(["*".to_owned()]),
            list => list.split(", ").map(full).collect(),
        };
        above.insert(name.to_owned());
        rules.insert(name.to_owned(), Rule { path: path.to_owned(), rule: rule.to_owned(), may });
    }
    assert!(rules.len() > 10, "the table was not found");
    rules
}

fn metadata(manifest: &Path) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"];
    let output = Command::new(cargo).args(arguments).arg(manifest).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Packages of the workspace and of the XDP program's own, with what they are built from (tests aside).
fn packages() -> BTreeMap<String, Package> {
    let root = root();
    let manifests = ["Cargo.toml", "ebpf/prog/Cargo.toml"].map(|manifest| root.join(manifest));
    let mut packages = BTreeMap::new();
    for manifest in manifests.iter().filter(|manifest| manifest.exists()) {
        let metadata = metadata(manifest);
        for package in metadata["packages"].as_array().expect("a list") {
            let (name, package) = read_package(&root, package);
            packages.insert(name, package);
        }
    }
    packages
}

fn read_package(root: &Path, package: &Value) -> (String, Package) {
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    let directory = manifest.parent().expect("a manifest is in a directory");
    let path = directory.strip_prefix(root).expect("below the root").to_str().expect("our paths are ASCII").to_owned();
    let dependencies = package["dependencies"].as_array().expect("a list").iter();
    let dependencies = dependencies.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
    let (ours, others): (Vec<_>, Vec<_>) = dependencies.partition(|dependency| dependency["path"].is_string());
    let names = |list: Vec<&Value>| list.iter().map(|d| d["name"].as_str().expect("a name").to_owned()).collect();
    (package["name"].as_str().expect("a name").to_owned(), Package { path, ours: names(ours), others: names(others) })
}

#[test]
fn the_table_lists_every_crate_where_it_is() {
    let rules = rules();
    let packages = packages();
    for (name, package) in &packages {
        let rule = rules.get(name).unwrap_or_else(|| panic!("{name} is not in the table of docs/ARCHITECTURE.md"));
        assert_eq!(rule.path, package.path, "{name}");
    }
    let gone: Vec<_> = rules.keys().filter(|name| !packages.contains_key(*name)).collect();
    assert!(gone.iter().all(|name| !root().join(&rules[*name].path).exists()), "in the table only: {gone:?}");
}

#[test]
fn no_crate_depends_on_more_of_ours_than_its_rule_allows() {
    let rules = rules();
    for (name, package) in packages() {
        let may = &rules[&name].may;
        let beyond: Vec<_> = package.ours.difference(may).collect();
        assert!(may.contains("*") || beyond.is_empty(), "{name} may not depend on {beyond:?}");
    }
}

#[test]
fn pure_crates_use_nothing_that_does_input_or_output() {
    const SHELLS: [&str; 14] = [
        "aya",
        "axum",
        "core_affinity",
        "crossbeam",
        "getrandom",
        "io-uring",
        "libc",
        "mimalloc",
        "nix",
        "rustix",
        "signal-hook",
        "socket2",
        "tokio",
        "tracing-subscriber",
    ];
    let packages = packages();
    for name in rules().iter().filter(|(_, rule)| rule.rule.contains("pure")).map(|(name, _)| name) {
        let used: Vec<_> = SHELLS.iter().filter(|shell| packages[name].others.contains(**shell)).collect();
        assert!(used.is_empty(), "{name} is pure and depends on {used:?}");
    }
}

#[test]
fn crates_without_std_say_so() {
    for (name, rule) in rules().iter().filter(|(_, rule)| rule.rule.contains("no_std")) {
        let source = root().join(&rule.path).join("src/lib.rs");
        let text = std::fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        assert!(text.contains("#![no_std]"), "{name} must be no_std");
    }
}

#[test]
fn unsafe_code_is_allowed_only_where_the_table_says() {
    for (name, package) in packages() {
        let rules = rules();
        if rules[&name].rule.contains("unsafe") && !rules[&name].rule.contains("no unsafe") {
            continue;
        }
        let manifest =
            std::fs::read_to_string(root().join(&package.path).join("Cargo.toml")).expect("it was just read");
        let forbids = manifest.contains("[lints]\nworkspace = true") || manifest.contains("unsafe_code = \"forbid\"");
        assert!(forbids, "{name} must take the workspace's lints, which forbid unsafe code");
    }
}
