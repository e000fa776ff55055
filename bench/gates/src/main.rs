//! Gates of continuous integration: counts of what packets and requests cost, held to what was recorded.
//!
//! Counts do not depend on how busy a machine is, so a change is a change of the code. What they mean, and what they hold
//! for, stands in docs/BENCHMARKS.md.

mod callgrind;
mod compare;
mod cores;
mod figures;
mod held;
mod object;
mod packets;
mod system_calls;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use raceway_sys::allocations::Steady;

use crate::compare::Comparison;
use crate::figures::{Figures, Kind, Table};

#[global_allocator]
static ALLOCATOR: Steady = Steady;

/// Where figures are recorded.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figures.toml");
/// The compiler that made this program, and for what.
const COMPILER: &str = env!("COMPILER");
/// The profile that this program was built with, and must be.
const PROFILE: (&str, &str) = (env!("PROFILE_NAME"), "gates");

/// Measures counts and compares them with bench/gates/figures.toml. Fails when one has changed by more than 3 %.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Writes what was measured to bench/gates/figures.toml.
    #[arg(long)]
    record: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Parts that the program runs under a tool that looks at it.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Cores,
    #[command(hide = true)]
    Worker { back_end: worker::BackEnd, direction: worker::Direction },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match carry_out(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("raceway-gates: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.part {
        Some(Part::Cores) => cores::run(std::io::stdout().lock())?,
        Some(Part::Worker { back_end, direction }) => {
            println!("{}", serde_json::to_string(&worker::run(back_end, direction)?)?);
        }
        None => return gates(arguments.record),
    }
    Ok(ExitCode::SUCCESS)
}

/// What was measured, and what could not be: why.
struct Measured {
    figures: Figures,
    missing: BTreeMap<Kind, String>,
}

fn gates(record: bool) -> Result<ExitCode> {
    let (built, wanted) = PROFILE;
    ensure!(
        built == wanted,
        "figures are those of the profile {wanted}: cargo run --profile {wanted} -p raceway-gates"
    );
    let file = Path::new(FILE);
    let recorded = Figures::read(file)?;
    let measured = measure()?;
    if record {
        let text = recorded.updated_by(measured.figures).to_text();
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
        println!("recorded in {}", file.display());
        for (kind, why) in measured.missing {
            println!("kept as it was: {}: {why}", kind.title());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let must = std::env::var_os("RACEWAY_REQUIRE_BPF").is_some_and(|value| value == "1");
    let (mut failures, mut held) = (Vec::new(), 0);
    for kind in Kind::ALL {
        if let Some(why) = measured.missing.get(&kind).filter(|_| must) {
            failures.push(format!("{}: must be measured here, but {why}", kind.title()));
        } else if let Some(why) =
            measured.missing.get(&kind).cloned().or_else(|| recorded.foreign_to(&measured.figures, kind))
        {
            eprintln!("skipped: {}: {why}", kind.title());
        } else {
            let comparison = Comparison::new(kind, recorded.table(kind), measured.figures.table(kind));
            println!("{}", comparison.table());
            held += comparison.len();
            failures.extend(comparison.failures());
        }
    }
    Ok(verdict(held, &failures))
}

fn measure() -> Result<Measured> {
    let mut figures = Figures { compiler: COMPILER.to_owned(), kernel: kernel()?, ..Figures::default() };
    let mut missing = BTreeMap::new();
    let mut allocations = Table::new();
    match able("valgrind", &["--version"]).and_then(|()| callgrind::shows_the_usual_processor()) {
        Ok(()) => {
            let (instructions, counted) = callgrind::count()?;
            figures.tables.insert(Kind::Instructions, instructions);
            allocations.extend(counted);
        }
        Err(why) => missing.extend([(Kind::Instructions, why.clone()), (Kind::Allocations, why)]),
    }
    match able("strace", &["--quiet=all", "true"]) {
        Ok(()) => {
            let (calls, counted) = system_calls::count()?;
            figures.tables.insert(Kind::SystemCalls, calls);
            allocations.extend(counted);
        }
        Err(why) => missing.extend([(Kind::SystemCalls, why.clone()), (Kind::Allocations, why)]),
    }
    if !missing.contains_key(&Kind::Allocations) {
        figures.tables.insert(Kind::Allocations, allocations);
    }
    figures.tables.insert(Kind::Held, held::count()?);
    figures.tables.insert(Kind::Object, object::size()?);
    match object::able() {
        Ok(()) => drop(figures.tables.insert(Kind::Kernel, object::in_kernel()?)),
        Err(why) => drop(missing.insert(Kind::Kernel, why)),
    }
    Ok(Measured { figures, missing })
}

/// Whether a tool is there and works.
fn able(tool: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(_) => Err(format!("no {tool}: apt-get install {tool}")),
    }
}

/// `major.minor` of the kernel.
fn kernel() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.split('.').take(2).collect::<Vec<_>>().join("."))
}

/// Says what failed and what to do about it.
fn verdict(held: usize, failures: &[String]) -> ExitCode {
    if failures.is_empty() {
        println!("gates: {held} figures as recorded, within 3 %");
        return ExitCode::SUCCESS;
    }
    println!("gates: {} figures are not as recorded:", failures.len());
    for failure in failures {
        println!("  {failure}");
    }
    println!("Mend what costs more. If the change is meant, record it in the same commit, and say why there:");
    println!("  cargo run --profile gates --locked -p raceway-gates -- --record");
    ExitCode::FAILURE
}
