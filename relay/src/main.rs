//! Raceway data plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use raceway_config::{Config, Xdp};
use raceway_relay::crew::BackEnd;
use raceway_relay::{doctor, log, start, xdp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays packets as raceway-control tells it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file; without it the defaults hold.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What workers receive and send through.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    io: BackEnd,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Relays until SIGTERM or SIGINT (what happens without a command). Flows in XDP outlive it.
    Run,
    /// Says what this machine offers, and what to do about the rest.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes the XDP program and its maps: flows in XDP end.
    Detach,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = configuration(arguments.config.as_deref())
        .and_then(|config| carry_out(arguments.command.unwrap_or(Command::Run), arguments.io, &config));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("raceway-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command, back_end: BackEnd, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run => {
            let level = log::start(&config.log);
            start::run(config, back_end, level)?;
        }
        Command::Doctor { json } => {
            let code = doctor::print(&doctor::examine(&subject(config)), json);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        Command::Detach => xdp::detach(&config.relay.pin_dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn subject(config: &Config) -> doctor::Subject {
    doctor::Subject {
        interfaces: start::interfaces(config),
        xdp_wanted: config.relay.xdp != Xdp::Off,
        pin_dir: config.relay.pin_dir.clone(),
        relay_ports: config.turn.port_range.first..=config.turn.port_range.last,
        flows_max: config.relay.flows_max,
    }
}

fn configuration(file: Option<&Path>) -> anyhow::Result<Config> {
    let (name, text) = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            (file.display().to_string(), text)
        }
        None => (String::new(), String::new()),
    };
    raceway_config::parse(&name, &text).map_err(|problems| anyhow::anyhow!("{problems}"))
}
