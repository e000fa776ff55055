//! `raceway-relay doctor`: what this machine offers, and what to do about the rest.
//!
//! Checks are functions of text that the kernel shows under /proc and /sys, so they are tested on text.

mod interfaces;
mod machine;
mod report;

use std::ops::RangeInclusive;
use std::path::PathBuf;

pub use report::{Check, Verdict};

/// What the checks are made for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Interfaces meant for XDP.
    pub interfaces: Vec<String>,
    /// Whether XDP is wanted at all.
    pub xdp_wanted: bool,
    /// Where maps are pinned.
    pub pin_dir: PathBuf,
    /// Ports of relayed transport addresses.
    pub relay_ports: RangeInclusive<u16>,
    /// Most flows.
    pub flows_max: u32,
}

/// Runs every check.
#[must_use]
pub fn examine(subject: &Subject) -> Vec<Check> {
    let mut checks = machine::checks(subject);
    checks.extend(subject.interfaces.iter().flat_map(|name| interfaces::checks(name, subject.xdp_wanted)));
    if subject.interfaces.is_empty() {
        checks.push(Check::advise(
            "interfaces",
            "none that is up, apart from loopback",
            "connect one, or name it in [relay] interfaces",
        ));
    }
    checks
}

/// Prints the checks; the exit code is 1 when one of them fails.
pub fn print(checks: &[Check], json: bool) -> i32 {
    let text = if json { report::json(checks) } else { report::table(checks) };
    println!("{text}");
    i32::from(checks.iter().any(|check| check.verdict == Verdict::Fail))
}

/// Trimmed contents of a small kernel file; `None` when it is not there.
fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
