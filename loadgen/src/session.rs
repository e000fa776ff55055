//! What all kinds of run have in common: numbers, cores, progress, and when to give up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use core_affinity::CoreId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use raceway_loadgen_core::Schedule;
use raceway_loadgen_core::report::{Interval, Totals};
use raceway_sys::io::PAYLOAD_MAX;
use raceway_units::{Instant, Random};

use crate::cli::{ClockChoice, Common};
use crate::clock::Timeline;
use crate::crew::{self, BackEnd, Watch};
use crate::plan::Plan;
use crate::source::Source;
use crate::target::Reach;
use crate::worker::{Expectation, Outcome, Settled, Terms, TurnFigures};

/// Packets a second, sent and received, for which one more core is taken unless cores are named.
const CORE_PPS: f64 = 100_000.0;

/// A run: who it is, and what it was told.
#[derive(Debug)]
pub struct Session {
    /// Options that all runs have.
    pub common: Common,
    /// Time.
    pub timeline: Timeline,
    /// Seed of all that is random in what is sent.
    pub seed: u64,
    /// Number of the run, in stamps.
    pub run: u32,
    interrupt: Interrupt,
}

/// Ctrl-C, which ends a run early and in good order.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over Ctrl-C and SIGTERM. The second one ends the process at once.
    ///
    /// # Errors
    /// What sigaction(2) says.
    pub fn install() -> std::io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Has the run end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody wants the run to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Finding {
    /// What each worker found.
    pub outcomes: Vec<Outcome>,
    /// Sums, and how it went over time.
    pub totals: Totals,
    /// How long media flowed.
    pub length: Duration,
    /// Somebody ended it.
    pub interrupted: bool,
}

impl Session {
    /// A session that ends when `interrupt` says so.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(common: Common, interrupt: &Interrupt) -> Result<Self> {
        let interrupt = interrupt.clone();
        let timeline = match common.clock {
            ClockChoice::Machine => Timeline::of_this_boot(),
            ClockChoice::Synchronised => Timeline::synchronised(),
        };
        let drawn = getrandom::u64().context("the system gives no random numbers")?;
        let seed = common.seed.unwrap_or(drawn);
        // Two runs with one seed are still two runs.
        let run = (drawn >> 32) as u32;
        Ok(Self { common, timeline, seed, run, interrupt })
    }

    /// Whether this generator can send all of these, by name.
    ///
    /// # Errors
    /// Packets are longer than its buffers.
    pub fn check<'a>(sources: impl Iterator<Item = (&'a str, &'a Source)>) -> Result<()> {
        for (name, source) in sources {
            let longest = source.packet_max();
            ensure!(
                longest <= PAYLOAD_MAX,
                "{name}: packets of {longest} octets; this generator sends {PAYLOAD_MAX} at most"
            );
        }
        Ok(())
    }

    /// A random number of this session, by purpose.
    #[must_use]
    pub fn random(&self, purpose: u64) -> u64 {
        Random::of(self.seed, purpose).next()
    }

    /// An SSRC for each stream, none of them twice: neighbours from a random start.
    #[must_use]
    pub fn ssrc(&self, stream: u32) -> u32 {
        (self.random(1) as u32).wrapping_add(stream)
    }

    /// The cores to work on: those that were named, else as many as a load of `pps` takes.
    ///
    /// # Errors
    /// A named core is not there.
    pub fn cores(&self, pps: f64) -> Result<Vec<CoreId>> {
        let all = all_cores()?;
        if self.common.cores.is_empty() {
            let wanted = (pps / CORE_PPS).ceil().max(1.0) as usize;
            return Ok(all.into_iter().take(wanted).collect());
        }
        let find = |id: &usize| all.iter().copied().find(|core| core.id == *id);
        let named = self.common.cores.iter().map(|id| {
            let known = || all.iter().map(|core| core.id.to_string()).collect::<Vec<_>>().join(", ");
            find(id).with_context(|| format!("--cores: no core {id} for this process; there are {}", known()))
        });
        named.collect()
    }

    /// What workers are told.
    #[must_use]
    pub fn terms(&self, expectation: Expectation, ramp: Option<std::num::NonZeroU32>) -> Terms {
        Terms {
            timeline: self.timeline,
            duration: self.common.duration,
            drain: self.common.drain,
            schedule: Schedule { begin: Instant::default(), ramp, seed: self.random(2) },
            seed: self.random(3),
            expectation,
            impair: None,
            rtcp: !self.common.no_rtcp,
        }
    }

    /// What is expected of streams that this run sends itself.
    #[must_use]
    pub fn expectation(&self) -> Expectation {
        Expectation {
            run: Some(self.run),
            strangers: false,
            echo: false,
            reach: Reach::of(self.common.i_own_this_target),
            gap: self.common.gap,
            playout: self.common.playout,
            clock_rates: Vec::new(),
        }
    }

    /// Runs.
    ///
    /// # Errors
    /// It could not be run, and why.
    pub fn run(&self, plans: Vec<Plan>, cores: &[CoreId], terms: &Terms) -> Result<Finding> {
        ensure!(!plans.is_empty() && !cores.is_empty(), "nothing to do");
        ensure!(
            self.common.backend != BackEnd::Xdp,
            "--backend xdp is for `rtp`, `sink` and media of `turn`: here packets go through sockets"
        );
        let mut console = Console::new(self);
        let outcomes = crew::run(plans, cores, self.common.backend, terms, &mut console)?;
        console.bar.finish_and_clear();
        let end = self.timeline.now();
        let length = console.begun.map_or(Duration::ZERO, |begun| end.since(begun)).min(terms.duration);
        let interrupted = console.interrupted();
        Ok(Finding { outcomes, totals: console.totals, length, interrupted })
    }
}

impl Session {
    /// Does work that tells how it goes; what came of it, and the sums.
    ///
    /// # Errors
    /// Those of the work.
    pub fn watched<T>(&self, work: impl FnOnce(&mut dyn Watch) -> Result<T>) -> Result<(T, Totals)> {
        let mut console = Console::new(self);
        let value = work(&mut console)?;
        console.bar.finish_and_clear();
        Ok((value, console.totals))
    }
}

/// The cores that this process may use.
///
/// # Errors
/// The system does not say.
pub fn all_cores() -> Result<Vec<CoreId>> {
    core_affinity::get_core_ids().context("the system does not say which cores there are")
}

/// Progress on the terminal, and sums.
struct Console<'a> {
    session: &'a Session,
    bar: ProgressBar,
    totals: Totals,
    begun: Option<Instant>,
    at: Duration,
}

impl<'a> Console<'a> {
    fn new(session: &'a Session) -> Self {
        let target = if session.common.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(session.common.duration.as_secs().max(1)), target);
        bar.set_style(ProgressStyle::with_template("{msg}").expect("a constant template"));
        bar.set_message("setting up");
        Self { session, bar, totals: Totals::default(), begun: None, at: Duration::ZERO }
    }
}

impl Watch for Console<'_> {
    fn ready(&mut self, settled: &Settled) -> Result<()> {
        let figures = &settled.figures;
        if figures.refusals.is_empty() || figures.ready > 0 || self.interrupted() {
            return Ok(());
        }
        bail!("{}", why_none(figures));
    }

    fn begins(&mut self, at: Instant) {
        self.begun = Some(at);
        let style = "{bar:24} {elapsed}/{len}s  {msg}";
        self.bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
        self.bar.reset_elapsed();
    }

    fn interval(&mut self, interval: &Interval, length: Duration) -> bool {
        if self.begun.is_none() {
            return true;
        }
        if self.at < self.session.common.duration {
            self.totals.add(interval, self.at, length);
        } else {
            // Late packets count, but a second of waiting for them is no second of the run.
            self.totals.all.merge(interval);
        }
        self.at += length;
        self.bar.set_position(self.at.as_secs());
        self.bar.set_message(raceway_loadgen_report::live(interval, length));
        true
    }

    fn unreachable(&mut self, target: SocketAddr) -> Result<()> {
        if self.totals.all.received.packets > 0 {
            return Ok(());
        }
        bail!(
            "{target}: nobody listens there (the network says so: ICMP unreachable). Is it started, is the port right?"
        )
    }

    fn interrupted(&self) -> bool {
        self.session.interrupt.is_set()
    }
}

/// Why no client of a TURN server got as far as media: the commonest refusal, and what to do.
#[must_use]
pub fn why_none(figures: &TurnFigures) -> String {
    let worst = figures.refusals.iter().max_by_key(|(_, (count, _))| *count);
    let Some((refusal, (_, words))) = worst else { return "no TURN client became ready".into() };
    let method = refusal.method;
    match refusal.code {
        Some(0) => format!("the TURN server's answer is of no use ({method}): {words}"),
        None => format!(
            "the TURN server does not answer ({method}): is it running, is the port right, does a firewall drop UDP?"
        ),
        Some(401) => {
            format!("the TURN server refuses the credentials (401 {words}): check --user, --password, --secret")
        }
        Some(403) => format!(
            "the TURN server forbids the peer's address ({method}: 403 {words}): allow it there, or name another with \
             --peer-address"
        ),
        Some(486) => format!("the TURN server's quota for this user is used up ({method}: 486 {words})"),
        Some(508) => format!("the TURN server has no capacity left ({method}: 508 {words})"),
        Some(code) => format!("the TURN server refuses {method}: {code} {words}"),
    }
}
