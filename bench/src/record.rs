//! What a run leaves behind: one JSON object a line, each of them whole by itself.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::scenario::interruption::Event;
use crate::scenario::rate::ProgramTime;
use crate::stand::cpu::{Cost, Memory};
use crate::stand::delay::Delays;
use crate::stand::frames::Load;
use crate::stand::netns::said;
use crate::stand::topology::{Arms, Direction};
use crate::stand::trial::Trial;
use crate::subject::Subject;

/// Where and with what a run was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Seconds since 1970 when the run began.
    pub began_s: u64,
    /// Commit of this repository, `+` behind it if files were changed.
    pub commit: String,
    /// Processor model.
    pub processor: String,
    /// Cores of the machine.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Whether it runs under a hypervisor.
    pub virtual_machine: bool,
    /// Versions of what was measured.
    pub versions: BTreeMap<String, String>,
}

impl Setting {
    /// Of this machine, now.
    pub fn read() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1)).unwrap_or("")
        };
        let changed = !said("git", &["status", "--porcelain", "-uno"]).is_empty();
        let commit = said("git", &["rev-parse", "--short=12", "HEAD"]) + if changed { "+" } else { "" };
        let coturn = said("turnserver", &["--version"]).lines().last().unwrap_or("").to_owned();
        let rtpengine = said("rtpengine", &["--version"]).trim_start_matches("Version: ").to_owned();
        Ok(Self {
            began_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
            commit,
            processor: field("model name").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            virtual_machine: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            versions: BTreeMap::from([
                ("coturn".to_owned(), coturn),
                ("rtpengine".to_owned(), rtpengine),
                ("raceway".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ]),
        })
    }
}

/// One result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Media through the relay.
    Forwarding {
        /// What relayed.
        subject: Subject,
        /// Arguments that it got beyond the usual ones.
        variant: String,
        /// Which way.
        direction: Direction,
        /// Over which links.
        arms: Arms,
        /// What was sent.
        load: Load,
        /// The highest rate without loss.
        loss_free: Option<Box<Trial>>,
        /// That rate was the generator's limit, or its core's.
        limited: bool,
        /// As fast as the generator goes, for subjects that shed load before they spend time on it (XDP).
        flat_out: Option<Box<Trial>>,
        /// At the rate that all subjects are measured at.
        common: Box<Trial>,
        /// Time inside the XDP program, for subjects that have one.
        program: Option<ProgramTime>,
    },
    /// How late packets arrive.
    Delay {
        /// What relayed.
        subject: Subject,
        /// Arguments, or calls, beyond the usual ones.
        #[serde(default)]
        variant: String,
        /// What was sent.
        load: Load,
        /// Share of its rate without loss.
        share: f64,
        /// That rate.
        capacity_pps: f64,
        /// Through the subject.
        with: Box<Trial>,
        /// Through the bare XDP reflector in its place.
        without: Box<Trial>,
    },
    /// What a link costs, by how its far end is polled.
    Link {
        /// What relayed.
        subject: Subject,
        /// Microseconds between polls of the far end; 0: woken by each transmit.
        far_us: u64,
        /// Frames came from a packet socket, as socket buffers, and not from XDP.
        socket_buffers: bool,
        /// At the rate that all subjects are measured at.
        common: Box<Trial>,
        /// As fast as the generator goes, in XDP.
        flat_out: Option<Box<Trial>>,
    },
    /// Allocations, or calls, made and held.
    Sessions {
        /// The server.
        subject: Subject,
        /// How many as fast as it went.
        made: usize,
        /// Wall time for those.
        seconds: f64,
        /// CPU time of the server and of its side's NAPI threads for those.
        cost: Cost,
        /// How long each took when they were begun at a pace.
        took: Delays,
        /// Memory of each without a channel.
        idle: Memory,
        /// Memory of each with a channel (on rtpengine there is no difference).
        active: Memory,
    },
    /// Calls set up and deleted.
    Offers {
        /// The server.
        subject: Subject,
        /// Calls that were offered, answered and deleted.
        answered: u64,
        /// How many a second.
        per_second: f64,
        /// Milliseconds from an offer to the answer's answer: median and 99th percentile.
        took_ms: [f64; 2],
        /// CPU time of the server and of its side's NAPI threads.
        cost: Cost,
    },
    /// What something that happened in the middle of calls did to them.
    Interruption {
        /// The relay.
        subject: Subject,
        /// What happened.
        event: Event,
        /// While it happened.
        during: Box<Trial>,
        /// Afterwards.
        after: Box<Trial>,
    },
}

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Where and with what.
    pub setting: Setting,
    /// What came out.
    pub outcome: Outcome,
}

/// Appends to a file of its own for each run.
pub struct Recorder {
    setting: Setting,
    file: File,
    /// The file.
    pub path: PathBuf,
}

impl Recorder {
    /// Opens `DIRECTORY/SECONDS-COMMIT.jsonl`.
    pub fn open(directory: &Path) -> Result<Self> {
        let setting = Setting::read()?;
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}-{}.jsonl", setting.began_s, setting.commit.replace('+', "-changed")));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { setting, file, path })
    }

    /// Writes one line.
    pub fn write(&mut self, outcome: Outcome) -> Result<()> {
        let line = serde_json::to_string(&Record { setting: self.setting.clone(), outcome })?;
        Ok(writeln!(self.file, "{line}")?)
    }
}

/// Every record of a file.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate();
    lines
        .map(|(n, line)| serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), n + 1)))
        .collect()
}
