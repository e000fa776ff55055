//! `raceway-loadgen`.

use std::process::ExitCode;

use clap::Parser;
use raceway_loadgen::cli::{Cli, Task};
use raceway_loadgen::{rtp, sink, turn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Rtp(options) => rtp::run(options),
        Task::Sink(options) => sink::run(options),
        Task::Turn(options) => turn::run(options),
    };
    match result {
        Ok(report) => {
            println!("{}", serde_json::to_string_pretty(&report).expect("a report is JSON"));
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("raceway-loadgen: {error:#}");
            ExitCode::from(2)
        }
    }
}
