//! Counts the instructions of the cores' operations: valgrind's callgrind looks at this very program.
//!
//! Callgrind collects inside one function alone and writes a file each time that it returns, so one run counts all
//! operations. What it counts is what a processor would retire, whatever the machine: it shows programs always the same
//! processor (one with AVX2), lays memory out in the same way, and knows no time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::figures::Table;

/// The function, as symbols name it.
const FUNCTION: &str = "raceway_gates::cores::measured";

/// What the program itself says of an operation.
#[derive(Debug, Deserialize, Serialize)]
pub struct Counted {
    /// Operation; that without a name is nothing but the counting.
    pub name: String,
    /// How often it ran.
    pub repeats: u32,
    /// Allocations of all runs.
    pub allocations: u64,
}

/// Whether counts of this machine are those of others.
///
/// # Errors
/// Why not, for people.
pub fn shows_the_usual_processor() -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    if !std::arch::is_x86_feature_detected!("avx2") {
        return Err(
            "without AVX2 callgrind shows another processor, for which glibc copies memory otherwise".to_owned()
        );
    }
    Ok(())
}

/// Instructions and allocations of each operation.
///
/// # Errors
/// Valgrind is missing or does not understand the program.
pub fn count() -> Result<(Table, Table)> {
    let directory = Directory::new()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={FUNCTION}"))
        .arg(format!("--dump-after={FUNCTION}"))
        .arg(format!("--callgrind-out-file={}", directory.0.join("out").display()))
        .arg(std::env::current_exe()?)
        .arg("cores")
        .output()
        .context("valgrind does not run: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "under valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let counted = said.lines().map(serde_json::from_str).collect::<Result<Vec<Counted>, _>>()?;
    let totals = totals(&directory.0, counted.len())?;
    let nothing = *totals.first().context("nothing was counted")? as f64;
    let named = || counted.iter().zip(&totals).filter(|(counted, _)| !counted.name.is_empty());
    let each = |sum: f64, counted: &Counted| (counted.name.clone(), sum / f64::from(counted.repeats));
    let instructions = named().map(|(counted, total)| each(*total as f64 - nothing, counted)).collect();
    let allocations = named().map(|(counted, _)| each(counted.allocations as f64, counted)).collect();
    Ok((instructions, allocations))
}

/// The sums of the files that callgrind wrote, in the order in which it wrote them.
fn totals(directory: &Path, count: usize) -> Result<Vec<u64>> {
    let file = |number: usize| directory.join(format!("out.{number}"));
    ensure!(file(count).exists() && !file(count + 1).exists(), "callgrind did not find {FUNCTION} {count} times");
    (1..=count).map(|number| total(&fs::read_to_string(file(number))?)).collect()
}

/// The sum that a file of callgrind's ends with.
fn total(text: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("no totals in callgrind's file")?;
    line.trim().parse().with_context(|| format!("totals: {line}"))
}

/// A directory that goes away.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("raceway-gates-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_file_is_read() {
        assert_eq!(total("version: 1\nsummary: 7\n\nfn=(1) main\n1 7\n\ntotals: 816\n").unwrap(), 816);
        assert!(total("version: 1\n").is_err());
    }
}
