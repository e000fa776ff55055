//! The document's tables and plots, out of the records of a run.

mod headline;
mod plots;
mod rates;
mod sections;
mod service;
mod table;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::record::{Record, Setting};
use crate::stand::topology::Direction;
use rates::Rates;

/// The tables as Markdown.
pub fn tables(records: &[Record]) -> Result<String> {
    let setting = &records.first().context("no records")?.setting;
    let rates = Rates::of(records);
    let mut about = about(setting);
    if let (Some(foreign), Some(stolen)) = (rates.foreign(), rates.stolen()) {
        about += &format!(
            "Others took {:.0} % of the relay's core meanwhile (median of trials), the hypervisor {:.1} % of one core's \
             time (mean).\n",
            foreign * 100.0,
            stolen * 100.0
        );
    }
    let sections = [
        Some(about),
        targets::targets(&rates),
        targets::calls(&rates, records),
        sections::rate(&rates, Direction::ToPeer),
        sections::rate(&rates, Direction::ToClient),
        sections::calls(&rates),
        sections::flows(&rates),
        service::delay(records),
        service::sessions(records),
        service::offers(records),
        service::interruption(records),
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

/// Documents that a run is put into.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Documents {
    /// Document whose tables are replaced; plots go to the directory `bench` beside it.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Document whose few figures are replaced.
    #[arg(long)]
    readme: Option<PathBuf>,
}

impl Documents {
    /// Puts a run into them.
    pub fn write(&self, records: &[Record]) -> Result<()> {
        if let Some(document) = &self.document {
            replace(document, "tables", &tables(records)?)?;
            plots::draw(records, &document.with_file_name("bench"))?;
        }
        if let Some(readme) = &self.readme {
            let setting = &records.first().context("no records")?.setting;
            let figures = format!("{}\n{}", headline::headline(records, &Rates::of(records)), about(setting));
            replace(readme, "figures", &figures)?;
        }
        Ok(())
    }
}

/// Puts a text between the marks of a name in a document, in the place of what was there.
fn replace(document: &Path, name: &str, with: &str) -> Result<()> {
    let (begin, end) = (format!("<!-- {name}: begin (written by scripts/bench) -->"), format!("<!-- {name}: end -->"));
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let (head, rest) = text.split_once(&begin).with_context(|| format!("no line {begin:?}"))?;
    let (_, tail) = rest.split_once(&end).with_context(|| format!("no line {end:?}"))?;
    Ok(fs::write(document, format!("{head}{begin}\n{with}{end}{tail}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced() {
        let path = std::env::temp_dir().join(format!("raceway-bench-{}.md", std::process::id()));
        let marked = |text: &str| {
            format!("a\n<!-- tables: begin (written by scripts/bench) -->\n{text}<!-- tables: end -->\nb\n")
        };
        fs::write(&path, marked("old\n")).expect("writable");
        replace(&path, "tables", "new\n").expect("it has marks");
        assert_eq!(fs::read_to_string(&path).expect("there"), marked("new\n"));
        assert!(replace(&path, "figures", "new\n").is_err());
        fs::remove_file(&path).expect("ours");
    }
}
