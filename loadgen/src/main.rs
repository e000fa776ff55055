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
        Ok((_, finding)) => {
            println!("{:?}", finding.totals.all.sent);
            println!("{:?}", finding.totals.all.received);
            println!("{:?}", finding.totals.all.delay());
            println!("{:?}", finding.totals.all.lateness());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("raceway-loadgen: {error:#}");
            ExitCode::from(2)
        }
    }
}
