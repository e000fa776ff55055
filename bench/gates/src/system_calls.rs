//! Counts the system calls of a worker: strace looks at this very program.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::figures::Table;
use crate::worker::{BackEnd, Counted, Direction};

/// The system call that brackets what is counted: no worker makes it.
const MARK: &str = "getppid(";

/// System calls and allocations of a packet, for each back end and direction.
///
/// # Errors
/// strace is missing or may not trace, or packets were lost.
pub fn count() -> Result<(Table, Table)> {
    let (mut calls, mut allocations) = (Table::new(), Table::new());
    for back_end in BackEnd::value_variants() {
        for direction in Direction::value_variants() {
            let (called, counted) = trace(*back_end, *direction)?;
            let packets = f64::from(counted.packets);
            calls.insert(name(*back_end, *direction), called as f64 / packets);
            allocations.insert(name(*back_end, *direction), counted.allocations as f64 / packets);
        }
    }
    Ok((calls, allocations))
}

fn name(back_end: BackEnd, direction: Direction) -> String {
    let back_end = match back_end {
        BackEnd::Uring => "io_uring",
        BackEnd::Mmsg => "recvmmsg and sendmmsg",
    };
    let direction = match direction {
        Direction::ToPeer => "ChannelData to peers",
        Direction::ToClient => "peers to ChannelData",
    };
    format!("worker on {back_end}: {direction}")
}

fn trace(back_end: BackEnd, direction: Direction) -> Result<(usize, Counted)> {
    let text = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| value().map(|v| v.get_name().to_owned());
    let output = Command::new("strace")
        .args(["--quiet=all", "--string-limit=0", "--signal=none"])
        .arg(std::env::current_exe()?)
        .arg("worker")
        .args(text(&|| back_end.to_possible_value()))
        .args(text(&|| direction.to_possible_value()))
        .output()
        .context("strace does not run: apt-get install strace")?;
    let traced = String::from_utf8_lossy(&output.stderr);
    let last = traced.lines().rev().take(5).collect::<Vec<_>>().join("\n");
    ensure!(output.status.success(), "under strace: {}\n{last}", output.status);
    let counted = serde_json::from_slice(&output.stdout).context("under strace")?;
    Ok((bracketed(&traced)?, counted))
}

/// Lines between marks.
fn bracketed(traced: &str) -> Result<usize> {
    let (mut inside, mut marks, mut count) = (false, 0, 0);
    for line in traced.lines() {
        if line.starts_with(MARK) {
            inside = !inside;
            marks += 1;
        } else if inside {
            count += 1;
        }
    }
    ensure!(marks > 0 && !inside, "strace saw {marks} marks, which is no whole number of brackets");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_between_marks_count() {
        let traced = "read(3) = 1\ngetppid() = 2\nrecvmmsg(4) = 1\nsendmmsg(4) = 1\ngetppid() = 2\nwrite(1) = 1\n";
        assert_eq!(bracketed(traced).unwrap(), 2);
        assert!(bracketed("getppid() = 2\n").is_err());
        assert!(bracketed("read(3) = 1\n").is_err());
    }
}
