//! What a run leaves behind: one JSON object a line, each of them whole by itself.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::Direction;
use crate::subject::Subject;
use crate::topology::Arms;
use crate::trial::Trial;

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
        Ok(Self {
            began_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
            commit,
            processor: field("model name").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            virtual_machine: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            versions: BTreeMap::from([
                ("coturn".to_owned(), coturn),
                ("raceway".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ]),
        })
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}

/// One result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Media through the relay.
    Forwarding {
        /// What relayed.
        subject: Subject,
        /// Which way.
        direction: Direction,
        /// Over which links.
        arms: Arms,
        /// Streams cycled over.
        flows: u16,
        /// Octets of RTP in each.
        rtp_octets: usize,
        /// The highest rate without loss.
        loss_free: Option<Box<Trial>>,
        /// That rate was the generator's limit, or its core's.
        limited: bool,
        /// As fast as the generator goes, for subjects that shed load before they spend time on it (XDP).
        flat_out: Option<Box<Trial>>,
        /// At the rate that all subjects are measured at.
        common: Box<Trial>,
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
    /// Allocations made and held.
    Allocation {
        /// The server.
        subject: Subject,
        /// How many.
        allocations: u32,
        /// Wall time for all of them.
        seconds: f64,
        /// CPU time of the server and of its side's NAPI threads, each.
        threads_ns_each: f64,
        /// The same by thread.
        by_thread_ns_each: BTreeMap<String, f64>,
        /// Growth of its processes' resident memory, each, in octets.
        resident_octets_each: f64,
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
