//! `raceway-loadgen`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use raceway_loadgen::cli::{CapacityOf, Cli, Task};
use raceway_loadgen::session::Interrupt;
use raceway_loadgen::{call, capacity, replay, rtp, show, sink, turn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            show::tell(&format!("raceway-loadgen: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Does what was asked; whether it passed.
fn run(task: Task) -> Result<bool> {
    let interrupt = Interrupt::install()?;
    let (output, report) = match task {
        Task::Rtp(options) => (show::Output::of(&options.common)?, rtp::run(options, &interrupt)?),
        Task::Sink(options) => (show::Output::of(&options.common)?, sink::run(options, &interrupt)?),
        Task::Turn(options) => (show::Output::of(&options.common)?, turn::run(options, &interrupt)?),
        Task::Call(options) => (show::Output::of(&options.common)?, call::run(options, &interrupt)?),
        Task::Report(options) => return show::again(&options),
        Task::Replay(options) => (show::Output::of(&options.common)?, replay::run(options, &interrupt)?),
        Task::Capacity(options) => {
            let json = match &options.of {
                CapacityOf::Rtp { trial, .. } => trial.common.json,
                CapacityOf::Generator { trial, .. } => trial.common.json,
                CapacityOf::Turn { trial, .. } => trial.common.json,
                CapacityOf::Call { trial, .. } => trial.common.json,
            };
            return show::searched(&capacity::run(options, &interrupt)?, json);
        }
    };
    output.write(&report)
}
