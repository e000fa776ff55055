//! What a stretch of time cost the relay's core.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::awake;

/// Of `/proc/stat`, in the order of its columns.
const COLUMNS: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// USER_HZ.
const NS_PER_TICK: u64 = 10_000_000;

/// A reading of every counter at one moment.
pub struct Reading {
    at: Instant,
    core: [u64; 8],
    stolen_ns: u64,
    /// Of the core's time: to keep it from halting.
    awake_ns: u64,
    threads: BTreeMap<i32, Thread>,
}

/// A thread at one moment.
struct Thread {
    name: String,
    ran_ns: u64,
    /// Ticks in user space and in the kernel, as the kernel shares out `ran_ns`.
    ticks: [u64; 2],
    /// It is the kernel's and takes packets from a device.
    napi: bool,
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
    /// Of `threads_ns`: in user space.
    pub user_ns: u64,
    /// Of `threads_ns`: in system calls of the relay, sending included.
    pub system_ns: u64,
    /// Of `threads_ns`: in NAPI threads, which do what soft interrupts do without them.
    pub soft_ns: u64,
    /// Time that a hypervisor kept the relay's core, and the far one, from running when they had something to do. Absent in
    /// records from before it was read.
    pub stolen_ns: Option<u64>,
    /// Length of the stretch.
    pub wall_ns: u64,
}

impl Cost {
    /// Share of the time that the core worked for others than the relay.
    #[must_use]
    pub fn foreign(&self) -> f64 {
        self.core_ns.saturating_sub(self.threads_ns) as f64 / self.wall_ns.max(1) as f64
    }

    /// Share of the time that a hypervisor took away, of either core.
    #[must_use]
    pub fn stolen(&self) -> f64 {
        let of_the_core = self.core_by_kind_ns.get("steal").copied();
        self.stolen_ns.or(of_the_core).unwrap_or(0) as f64 / self.wall_ns.max(1) as f64
    }
}

/// Reads the relay's core's and the threads' counters, and what was stolen of it and of the far core. Threads of a process
/// are found anew each time.
pub fn read(core: usize, far_core: usize, pids: &[i32], napi: &[i32]) -> Result<Reading> {
    let mut threads = BTreeMap::new();
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("a process of the relay is gone")?;
        for task in tasks {
            let name = task?.file_name();
            if let Some(tid) = name.to_str().and_then(|name| name.parse().ok()) {
                insert(&mut threads, tid, false);
            }
        }
    }
    for tid in napi {
        insert(&mut threads, *tid, true);
    }
    let awake_ns = awake::ran_ns(core);
    let (at, core, [.., stolen_far]) = (Instant::now(), core_times(core)?, core_times(far_core)?);
    let [.., stolen] = core;
    Ok(Reading { at, core, stolen_ns: stolen + stolen_far, awake_ns, threads })
}

fn insert(threads: &mut BTreeMap<i32, Thread>, tid: i32, napi: bool) {
    let Ok(schedstat) = fs::read_to_string(format!("/proc/{tid}/schedstat")) else { return };
    let Some(ran_ns) = schedstat.split(' ').next().and_then(|field| field.parse().ok()) else { return };
    // NAME in brackets may hold anything, so fields are counted from behind it: utime and stime are 14th and 15th.
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    let (head, fields) = stat.rsplit_once(") ").unwrap_or_default();
    let field = |n: usize| fields.split(' ').nth(n - 3).and_then(|field| field.parse().ok()).unwrap_or(0);
    let name = head.split_once('(').map_or("", |(_, name)| name);
    // napi/r123-45 of every run is the same thing.
    let name = if napi { "napi" } else { name };
    threads.insert(tid, Thread { name: name.to_owned(), ran_ns, ticks: [field(14), field(15)], napi });
}

/// Nanoseconds of a core by column of `/proc/stat`.
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
    let stolen_ns = Some(after.stolen_ns.saturating_sub(before.stolen_ns));
    let mut cost = Cost { wall_ns: (after.at - before.at).as_nanos() as u64, stolen_ns, ..Cost::default() };
    let mut idle = 0;
    for (column, name) in COLUMNS.iter().enumerate() {
        let spent = after.core[column].saturating_sub(before.core[column]);
        if matches!(*name, "idle" | "iowait") {
            idle += spent;
        } else if spent > 0 {
            cost.core_by_kind_ns.insert((*name).to_owned(), spent);
        }
    }
    let awake = after.awake_ns.saturating_sub(before.awake_ns);
    cost.core_ns = cost.wall_ns.saturating_sub(idle + awake);
    let mut ticks = [0; 2];
    for (tid, thread) in &after.threads {
        let earlier = before.threads.get(tid);
        let spent = thread.ran_ns.saturating_sub(earlier.map_or(0, |earlier| earlier.ran_ns));
        cost.threads_ns += spent;
        *cost.by_thread_ns.entry(thread.name.clone()).or_default() += spent;
        if thread.napi {
            cost.soft_ns += spent;
        } else {
            let were = earlier.map_or([0; 2], |earlier| earlier.ticks);
            ticks.iter_mut().zip(thread.ticks).zip(were).for_each(|((sum, now), was)| *sum += now.saturating_sub(was));
        }
    }
    let own = cost.threads_ns - cost.soft_ns;
    // Ticks are coarse: they only say how the exact time divides.
    cost.user_ns =
        (u128::from(own) * u128::from(ticks[0])).checked_div(u128::from(ticks[0] + ticks[1])).unwrap_or(0) as u64;
    cost.system_ns = own - cost.user_ns;
    cost
}

/// Memory that holds sessions, in octets.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Resident in processes of the relay.
    pub resident: u64,
    /// Of the kernel, for everybody on this machine (`SUnreclaim`): sockets, mostly.
    pub kernel: u64,
}

impl Memory {
    /// Of processes and of the kernel, now.
    pub fn read(pids: &[i32]) -> Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        Ok(Self { resident: resident(pids)?, kernel: octets(&meminfo, "SUnreclaim:")? })
    }

    /// What was added since, for each of `count`.
    #[must_use]
    pub fn grown_each(self, since: Self, count: usize) -> Self {
        let each = |now: u64, then: u64| now.saturating_sub(then) / count.max(1) as u64;
        Self { resident: each(self.resident, since.resident), kernel: each(self.kernel, since.kernel) }
    }
}

fn resident(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a process of the relay is gone")?;
        sum += octets(&status, "VmRSS:")?;
    }
    Ok(sum)
}

/// A figure in kilobytes behind a label at the start of a line.
fn octets(text: &str, label: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label)).with_context(|| format!("no {label}"))?;
    Ok(line.split_whitespace().next().with_context(|| format!("no figure behind {label}"))?.parse::<u64>()? * 1024)
}
