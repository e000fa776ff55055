//! Results, to whoever wants them.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use raceway_loadgen_core::report::Report;
use raceway_loadgen_report::{page, table};
use serde::Serialize;

use crate::capacity::Searched;
use crate::cli::Common;

/// Where a report goes.
#[derive(Debug)]
pub struct Output {
    json: bool,
    html: Option<(PathBuf, File)>,
}

impl Output {
    /// As the options have it. The page's file is made at once: an hour of load should not end at a missing folder.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn of(common: &Common) -> Result<Self> {
        let open = |path: &PathBuf| {
            let file = File::create(path).with_context(|| format!("--html {}: cannot be written", path.display()))?;
            Ok::<_, anyhow::Error>((path.clone(), file))
        };
        Ok(Self { json: common.json, html: common.html.as_ref().map(open).transpose()? })
    }

    /// Writes a report; whether it is a pass.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(self, report: &Report) -> Result<bool> {
        if self.json {
            print_json(report)?
        } else {
            print(&table(report))?
        }
        if let Some((path, mut file)) = self.html {
            let page = page(report).context("the page could not be made")?;
            file.write_all(page.as_bytes()).with_context(|| format!("--html {}", path.display()))?;
            if !self.json {
                print(&format!("Page: {}", path.display()))?;
            }
        }
        Ok(report.passed())
    }
}

/// Writes what a search for capacity came to; whether it is a pass.
///
/// # Errors
/// It cannot be written.
pub fn searched(result: &Searched, json: bool) -> Result<bool> {
    if json {
        print_json(result)?
    } else {
        print(&result.text())?
    }
    Ok(result.passed())
}

fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
