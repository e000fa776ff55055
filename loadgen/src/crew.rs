//! The workers of a run, and the thread that waits for them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use core_affinity::CoreId;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use raceway_loadgen_core::report::Interval;
use raceway_sys::io::{OWN_MAX, Waker};
use raceway_sys::mmsg::Mmsg;
use raceway_sys::uring::Uring;
use raceway_units::Instant;

use crate::limits::{PORTS_MAX, REPORTS_MAX};
use crate::plan::Plan;
use crate::worker::{Control, Outcome, Report, Settled, Terms, Worker};

/// How workers send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BackEnd {
    /// io_uring, with segmented sends where packets allow it.
    IoUring,
    /// sendmmsg and recvmmsg.
    Syscalls,
    /// In the kernel, without sockets: streams of `rtp` are made on an interface and counted where they come back.
    Xdp,
}

/// Between all workers being ready and the first packet.
const LEAD: Duration = Duration::from_millis(50);
/// How often somebody looks at the clock and at Ctrl-C.
const LOOK: Duration = Duration::from_millis(100);

/// Who is told how a run goes.
pub trait Watch {
    /// TURN clients are ready, or as many as will be. An error ends the run.
    ///
    /// # Errors
    /// It makes no sense to go on.
    fn ready(&mut self, settled: &Settled) -> Result<()>;

    /// Media begins.
    fn begins(&mut self, at: Instant);

    /// Another interval of all workers together. Returns false to end the run.
    fn interval(&mut self, interval: &Interval, length: Duration) -> bool;

    /// The network says that a target cannot be reached. An error ends the run.
    ///
    /// # Errors
    /// It makes no sense to go on.
    fn unreachable(&mut self, target: SocketAddr) -> Result<()>;

    /// Whether somebody wants it to end.
    fn interrupted(&self) -> bool;
}

/// Workers at work.
struct Crew {
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
    reports: Receiver<Report>,
}

/// Runs a plan for each core, and returns what the workers found.
///
/// # Errors
/// A worker cannot start or go on; what `watch` says.
pub fn run(
    plans: Vec<Plan>,
    cores: &[CoreId],
    back_end: BackEnd,
    terms: &Terms,
    watch: &mut dyn Watch,
) -> Result<Vec<Outcome>> {
    let crew = Crew::start(plans, cores, back_end, terms);
    let result = crew.attend(terms, watch);
    if result.is_err() {
        crew.control.stop.store(true, Ordering::Relaxed);
    }
    // Workers that still close allocations do so within their own limit; reports are drained so that none blocks.
    while crew.threads.iter().any(|thread| !thread.is_finished()) {
        let _ = crew.reports.recv_timeout(LOOK);
    }
    for thread in crew.threads {
        thread.join().map_err(|_| anyhow!("a worker panicked; this is a defect of the generator"))?;
    }
    result
}

impl Crew {
    fn start(plans: Vec<Plan>, cores: &[CoreId], back_end: BackEnd, terms: &Terms) -> Self {
        let (sender, reports) = bounded(plans.len() * REPORTS_MAX);
        let control = Arc::new(Control::default());
        let threads = plans
            .into_iter()
            .zip(cores.iter().copied().cycle())
            .map(|(plan, core)| {
                let (terms, control, sender) = (terms.clone(), Arc::clone(&control), sender.clone());
                thread::spawn(move || {
                    core_affinity::set_for_current(core);
                    // Timers of the thread end when they should, and not up to 50 us later.
                    let _ = nix::sys::prctl::set_timerslack(1);
                    if let Err(error) = work(plan, back_end, terms, control, &sender) {
                        let _ = sender.send(Report::Failed(error));
                    }
                })
            })
            .collect();
        Self { control, threads, reports }
    }

    /// Waits for the workers, and tells them when media begins.
    fn attend(&self, terms: &Terms, watch: &mut dyn Watch) -> Result<Vec<Outcome>> {
        let workers = self.threads.len();
        let (mut ready, mut outcomes) = (0, Vec::with_capacity(workers));
        let mut settled = Settled::default();
        let mut sum = Sum::new(terms.timeline.now());
        while outcomes.len() < workers {
            match self.reports.recv_timeout(LOOK) {
                Ok(Report::Ready(of_worker)) => {
                    settled.merge(*of_worker);
                    ready += 1;
                    if ready == workers {
                        watch.ready(&settled)?;
                        let begin = terms.timeline.now().after(LEAD);
                        self.control.begin_at.store(begin.as_ns(), Ordering::Release);
                        watch.begins(begin);
                        sum = Sum::new(begin);
                    }
                }
                Ok(Report::Unreachable(target)) => watch.unreachable(target)?,
                Ok(Report::Interval(interval)) => sum.add(&interval),
                Ok(Report::Done(outcome)) => outcomes.push(*outcome),
                Ok(Report::Failed(error)) => return Err(error).context("a worker cannot go on"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("the workers are gone")),
            }
            let go_on = sum.tell(terms.timeline.now(), outcomes.len() == workers, watch);
            if !go_on || watch.interrupted() {
                self.control.stop.store(true, Ordering::Relaxed);
            }
        }
        Ok(outcomes)
    }
}

/// Adds up what workers report within a second.
struct Sum {
    since: Instant,
    interval: Interval,
}

impl Sum {
    fn new(since: Instant) -> Self {
        Self { since, interval: Interval::default() }
    }

    fn add(&mut self, interval: &Interval) {
        self.interval.merge(interval);
    }

    fn tell(&mut self, now: Instant, last: bool, watch: &mut dyn Watch) -> bool {
        let length = now.since(self.since);
        if length < Duration::from_secs(1) && !last {
            return true;
        }
        let go_on = watch.interval(&self.interval, length);
        self.interval.clear();
        self.since = now;
        go_on
    }
}

fn work(
    plan: Plan,
    back_end: BackEnd,
    terms: Terms,
    control: Arc<Control>,
    reports: &crossbeam::channel::Sender<Report>,
) -> io::Result<()> {
    let ports = (plan.ports.len() as u32).min(PORTS_MAX);
    let waker = Waker::new()?;
    match back_end {
        BackEnd::IoUring => {
            let io = Uring::new(ports, OWN_MAX, waker)?;
            Worker::new(plan, terms, control, reports.clone(), io).run();
        }
        BackEnd::Syscalls => {
            let io = Mmsg::new(ports, OWN_MAX, waker)?;
            Worker::new(plan, terms, control, reports.clone(), io).run();
        }
        BackEnd::Xdp => return Err(io::Error::other("there are no sockets in XDP")),
    }
    Ok(())
}
