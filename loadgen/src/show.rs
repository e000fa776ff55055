//! Results, to whoever wants them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use raceway_loadgen_core::report::{FORMAT, Report};
use raceway_loadgen_report::{page, table};
use serde::Serialize;

use crate::capacity::Searched;
use crate::cli::{Common, Shown};

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
        Self::new(common.json, common.html.as_ref())
    }

    fn new(json: bool, html: Option<&PathBuf>) -> Result<Self> {
        let open = |path: &PathBuf| {
            let file = File::create(path).with_context(|| format!("--html {}: cannot be written", path.display()))?;
            Ok::<_, anyhow::Error>((path.clone(), file))
        };
        Ok(Self { json, html: html.map(open).transpose()? })
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

/// Shows a report that was written before; whether it is a pass.
///
/// # Errors
/// It cannot be read, is of another version, or is no report.
pub fn again(options: &Shown) -> Result<bool> {
    let name = options.file.display();
    let text = match options.file.as_os_str().to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(&options.file),
    };
    let text = text.with_context(|| format!("{name}: cannot be read"))?;
    let mut report: Report = serde_json::from_str(&text).with_context(|| format!("{name}: not a report of --json"))?;
    ensure!(report.format == FORMAT, "{name}: a report of format {}, this program reads {FORMAT}", report.format);
    if let Some(expectations) = &options.expect {
        report.expectations = expectations.evaluate(&report);
    }
    Output::new(options.json, options.html.as_ref())?.write(&report)
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

/// A line on standard error. Nobody reading it (`2>&1 | head`) is no reason to end.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
