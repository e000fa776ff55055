//! The document's tables and plots, out of the records of a run.

mod plots;
mod rates;
mod sections;
mod table;
mod targets;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::record::{Record, Setting};
use crate::stand::topology::Direction;
use rates::Rates;

/// Between these lines of docs/BENCHMARKS.md the tables stand.
const BEGIN: &str = "<!-- tables: begin (written by scripts/bench) -->";
const END: &str = "<!-- tables: end -->";

/// The tables as Markdown.
pub fn tables(records: &[Record]) -> Result<String> {
    let setting = &records.first().context("no records")?.setting;
    let rates = Rates::of(records);
    let mut about = about(setting);
    if let Some(foreign) = rates.foreign() {
        about += &format!("Others took {:.0} % of the relay's core meanwhile (median of trials).\n", foreign * 100.0);
    }
    let sections = [
        Some(about),
        targets::targets(&rates),
        sections::rate(&rates, Direction::ToPeer),
        sections::rate(&rates, Direction::ToClient),
        sections::flows(&rates),
        sections::delay(records),
        sections::sessions(records),
        sections::interruption(records),
        sections::io(&rates),
        sections::program(&rates),
        sections::link(records),
    ];
    Ok(sections.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

fn about(setting: &Setting) -> String {
    let machine = if setting.virtual_machine { "virtual machine" } else { "machine" };
    let versions: Vec<String> = setting.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "Measured at commit {} on a {machine} with {} cores ({}), kernel {}: {}.\n",
        setting.commit,
        setting.cores,
        setting.processor,
        setting.kernel,
        versions.join(", "),
    )
}

/// Puts the tables into a document, in the place of those before, and plots beside it.
pub fn write(document: &Path, records: &[Record]) -> Result<()> {
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    fs::write(document, format!("{head}{BEGIN}\n{}{END}{tail}", tables(records)?))?;
    plots::draw(records, &document.with_file_name("bench"))
}
