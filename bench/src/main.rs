//! Benchmarks of Raceway beside its peers, floors and ceilings; `scripts/bench` runs them.

mod forward;
mod record;
mod report;
mod scenario;
mod session;
mod sockets;
mod stand;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::scenario::{Bench, Place, Setup};
use crate::stand::frames::Load;
use crate::stand::topology::{Arms, Direction};
use crate::subject::Subject;

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
        options: scenario::Options,
        #[command(flatten)]
        documents: report::Documents,
    },
    /// Prints the tables of a file of results, or puts them into a document.
    Report {
        /// Results.
        file: PathBuf,
        #[command(flatten)]
        documents: report::Documents,
    },
    /// Sends at given rates through one subject, for developing.
    Once(Once),
    /// Prints what the kernel keeps for a socket that nothing comes to.
    Sockets,
    /// A bare forwarder itself (started by the others).
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
    flows: u32,
    /// Packets of one flow in a row.
    #[arg(long, default_value_t = 1)]
    train: u32,
    /// Octets of each RTP packet.
    #[arg(long, default_value_t = 172)]
    rtp_octets: u16,
    /// Packets handed to the device at once.
    #[arg(long, default_value_t = 16)]
    burst: u32,
    /// Calls are offered SRTP on the callee's side.
    #[arg(long)]
    srtp: bool,
    /// Arguments for the subject's program.
    #[arg(long, allow_hyphen_values = true)]
    extra: Vec<String>,
    #[command(flatten)]
    place: Place,
}

fn main() -> ExitCode {
    let Err(error) = carry_out() else { return ExitCode::SUCCESS };
    eprintln!("raceway-bench: {error:#}");
    ExitCode::FAILURE
}

fn carry_out() -> Result<()> {
    match Arguments::parse().command {
        Task::Sockets => {
            open_files();
            sockets::run()
        }
        Task::Forward(arguments) => forward::forward(arguments),
        Task::Once(once) => {
            let _preferred = prepare()?;
            once.place.keep_awake()?;
            run_once(&once)
        }
        Task::Run { options, documents } => {
            let _preferred = prepare()?;
            options.place.keep_awake()?;
            let file = scenario::run(&options)?;
            if options.is_whole() {
                return publish(&file, &documents);
            }
            eprintln!("documents are left as they are, since this was not everything");
            publish(&file, &report::Documents::default())
        }
        Task::Report { file, documents } => publish(&file, &documents),
    }
}

/// Files that a relay may have open: rtpengine takes four for each of ten thousand calls.
const OPEN_FILES: u64 = 65_536;

fn publish(file: &std::path::Path, documents: &report::Documents) -> Result<()> {
    let records = record::read(file)?;
    println!("{}", report::tables(&records)?);
    documents.write(&records)
}

/// Nothing is to be left behind; other processes of the machine are to disturb little; thousands of sockets are to be
/// open.
fn prepare() -> Result<Preferred> {
    stand::netns::isolate()?;
    // SAFETY: takes no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    open_files();
    Ok(Preferred::new())
}

/// Raises the limit of open files as far as this process may; answers with the limit.
fn open_files() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads and writes one rlimit, which lives here.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let raised =
            libc::rlimit { rlim_cur: OPEN_FILES.max(limit.rlim_max), rlim_max: OPEN_FILES.max(limit.rlim_max) };
        limit.rlim_cur = limit.rlim_max;
        // The first needs CAP_SYS_RESOURCE, which not every root has.
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            limit = raised;
        } else {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX)
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
    let load = Load { flows: once.flows, rtp_octets: once.rtp_octets, train: once.train, burst: once.burst };
    let (subject, arms, place) = (once.subject, once.arms, once.place);
    let call = if once.srtp { session::Call::ToSrtp } else { session::Call::Plain };
    let mut bench = Bench::start(&Setup { subject, extra: once.extra.clone(), arms, place, load, call })?;
    let mut generator = bench.generator(once.direction)?;
    let mut stand = bench.stand();
    let time = Duration::from_millis(once.ms);
    if once.search {
        let found = stand.search(&mut generator, once.rate[0], time, 12)?;
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    for rate in &once.rate {
        println!("{}", serde_json::to_string(&stand.trial(&mut generator, *rate, time)?)?);
    }
    Ok(())
}
