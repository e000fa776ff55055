//! Benchmarks of Raceway beside its peers, floors and ceilings; `scripts/bench` runs them.

mod cpu;
mod forward;
mod frames;
mod kernel;
mod netns;
mod packets;
mod paths;
mod record;
mod report;
mod stun;
mod subject;
mod suite;
mod topology;
mod trial;
mod turn;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::subject::Subject;
use crate::suite::{Bench, Place};
use crate::topology::Arms;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every subject and writes the results down.
    Run {
        #[command(flatten)]
        options: suite::Options,
        /// Document whose tables are replaced.
        #[arg(long)]
        document: Option<PathBuf>,
    },
    /// Prints the tables of a file of results, or puts them into a document.
    Report {
        /// Results.
        file: PathBuf,
        /// Document whose tables are replaced.
        #[arg(long)]
        document: Option<PathBuf>,
    },
    /// Sends at given rates through one subject, for developing.
    Once(Once),
    /// The bare forwarder itself (started by the others).
    Forward(forward::Arguments),
}

#[derive(clap::Args)]
struct Once {
    /// What to measure.
    subject: Subject,
    /// Direction.
    #[arg(long, value_enum, default_value_t = Direction::ToPeer)]
    direction: Direction,
    /// Links.
    #[arg(long, value_enum, default_value_t = Arms::One)]
    arms: Arms,
    /// Packets a second; 0: as fast as it goes. Several: one after the other.
    #[arg(long, value_delimiter = ',', default_value = "100000")]
    rate: Vec<u64>,
    /// Search for the highest rate without loss instead, from the first rate.
    #[arg(long)]
    search: bool,
    /// Milliseconds for each rate.
    #[arg(long, default_value_t = 1000)]
    ms: u64,
    /// Flows.
    #[arg(long, default_value_t = 200)]
    flows: u16,
    /// Send from a packet socket instead of from XDP.
    #[arg(long)]
    socket_buffers: bool,
    #[command(flatten)]
    place: Place,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    ToPeer,
    ToClient,
}

fn main() -> ExitCode {
    let Err(error) = carry_out() else { return ExitCode::SUCCESS };
    eprintln!("raceway-bench: {error:#}");
    ExitCode::FAILURE
}

fn carry_out() -> Result<()> {
    match Arguments::parse().command {
        Task::Forward(arguments) => forward::forward(arguments),
        Task::Once(once) => {
            let _preferred = prepare();
            run_once(&once)
        }
        Task::Run { options, document } => {
            let _preferred = prepare();
            let file = suite::run(&options)?;
            println!("{}", file.display());
            publish(&file, document)
        }
        Task::Report { file, document } => publish(&file, document),
    }
}

fn publish(file: &std::path::Path, document: Option<PathBuf>) -> Result<()> {
    let tables = report::tables(&record::read(file)?)?;
    println!("{tables}");
    document.map_or(Ok(()), |document| report::write(&document, &tables))
}

/// Other processes of the machine are to disturb little; thousands of sockets are to be open.
fn prepare() -> Preferred {
    // SAFETY: the first takes no pointers; the others read and write one rlimit, which lives here.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    Preferred::new()
}

/// Preference of this session over others while it lives: where the scheduler groups processes by session, a process'
/// own priority counts inside its session only.
struct Preferred;

impl Preferred {
    fn new() -> Self {
        // Best effort: the kernel has session groups or it has not.
        let _ = std::fs::write("/proc/self/autogroup", "-20");
        Self
    }
}

impl Drop for Preferred {
    fn drop(&mut self) {
        let _ = std::fs::write("/proc/self/autogroup", "0");
    }
}

fn run_once(once: &Once) -> Result<()> {
    let bench = Bench::start(once.subject, once.arms, once.place, once.flows)?;
    let paths = paths::prepare(once.subject, &bench.topology, once.flows)?;
    let (link, sends) = match once.direction {
        Direction::ToPeer => (&bench.topology.links[0], &paths.to_peer),
        Direction::ToClient => (bench.topology.peer_link(), &paths.to_client),
    };
    let mut sender = suite::sender(link, sends, once.socket_buffers)?;
    let stand = bench.stand();
    let time = Duration::from_millis(once.ms);
    if once.search {
        let found = stand.search(sender.as_mut(), once.rate[0], time, 12)?;
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    for rate in &once.rate {
        println!("{}", serde_json::to_string(&stand.trial(sender.as_mut(), *rate, time)?)?);
    }
    Ok(())
}
