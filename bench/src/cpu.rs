//! What a stretch of time cost the relay's core.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Of `/proc/stat`, in the order of its columns.
const COLUMNS: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// USER_HZ.
const NS_PER_TICK: u64 = 10_000_000;

/// A reading of every counter at one moment.
pub struct Reading {
    at: Instant,
    core: [u64; 8],
    threads: BTreeMap<i32, (String, u64)>,
}

/// The difference of two readings, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Time that the core was not idle, by `/proc/stat`: whoever used it.
    pub core_ns: u64,
    /// The same by kind, where it is not zero. Sampled by the kernel at ticks, so coarse.
    pub core_by_kind_ns: BTreeMap<String, u64>,
    /// Time that the relay's threads and its side's NAPI threads ran (`/proc/PID/schedstat`), soft interrupts on
    /// their account included: exact, and free of other processes.
    pub threads_ns: u64,
    /// The same by thread name.
    pub by_thread_ns: BTreeMap<String, u64>,
    /// Length of the stretch.
    pub wall_ns: u64,
}

impl Cost {
    /// Share of the time that the core worked for others than the relay.
    #[must_use]
    pub fn foreign(&self) -> f64 {
        self.core_ns.saturating_sub(self.threads_ns) as f64 / self.wall_ns.max(1) as f64
    }
}

/// Reads the core's and the threads' counters. Threads of a process are found anew each time.
pub fn read(core: usize, pids: &[i32], napi: &[i32]) -> Result<Reading> {
    let mut threads = BTreeMap::new();
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("a process of the relay is gone")?;
        for task in tasks {
            let name = task?.file_name();
            if let Some(tid) = name.to_str().and_then(|name| name.parse().ok()) {
                insert(&mut threads, tid);
            }
        }
    }
    for tid in napi {
        insert(&mut threads, *tid);
    }
    Ok(Reading { at: Instant::now(), core: core_times(core)?, threads })
}

fn insert(threads: &mut BTreeMap<i32, (String, u64)>, tid: i32) {
    let Ok(stat) = fs::read_to_string(format!("/proc/{tid}/schedstat")) else { return };
    let Some(ran) = stat.split(' ').next().and_then(|field| field.parse().ok()) else { return };
    let name = fs::read_to_string(format!("/proc/{tid}/comm")).unwrap_or_default();
    let name = name.trim();
    // napi/r123-45 of every run is the same thing.
    let name = if name.starts_with("napi/") { "napi" } else { name };
    threads.insert(tid, (name.to_owned(), ran));
}

fn core_times(core: usize) -> Result<[u64; 8]> {
    let stat = fs::read_to_string("/proc/stat")?;
    let label = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&label)).context("no such core")?;
    let mut times = [0; 8];
    for (time, field) in times.iter_mut().zip(line.split_whitespace()) {
        *time = field.parse::<u64>()? * NS_PER_TICK;
    }
    Ok(times)
}

/// What happened between two readings.
#[must_use]
pub fn between(before: &Reading, after: &Reading) -> Cost {
    let mut cost = Cost { wall_ns: (after.at - before.at).as_nanos() as u64, ..Cost::default() };
    let mut idle = 0;
    for (column, name) in COLUMNS.iter().enumerate() {
        let spent = after.core[column].saturating_sub(before.core[column]);
        if matches!(*name, "idle" | "iowait") {
            idle += spent;
        } else if spent > 0 {
            cost.core_by_kind_ns.insert((*name).to_owned(), spent);
        }
    }
    cost.core_ns = cost.wall_ns.saturating_sub(idle);
    for (tid, (name, ran)) in &after.threads {
        let spent = ran - before.threads.get(tid).map_or(0, |(_, ran)| *ran);
        cost.threads_ns += spent;
        *cost.by_thread_ns.entry(name.clone()).or_default() += spent;
    }
    cost
}

/// Resident memory of processes, in octets.
pub fn resident(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a process of the relay is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        sum += line.split_whitespace().next().context("no figure in VmRSS")?.parse::<u64>()? * 1024;
    }
    Ok(sum)
}
