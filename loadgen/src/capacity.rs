//! `capacity`: the most that a target carries, or that this generator sends in time.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use raceway_loadgen_core::capacity::{Capacity, Found, Search, Verdict};
use raceway_loadgen_core::expect::Expectations;
use raceway_loadgen_core::report::Report;
use serde::Serialize;

use crate::cli::{self, CapacityOf, Common};
use crate::crew::BackEnd;
use crate::session::Interrupt;
use crate::show::tell;
use crate::{call, rtp, turn};

/// A trial, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Which search it belongs to, from 1.
    pub search: u32,
    /// Streams or clients.
    pub load: u32,
    /// How it came out.
    pub verdict: Verdict,
    /// Why it did not pass.
    pub why: String,
    /// Packets sent a second.
    pub sent_pps: f64,
    /// Share of packets lost.
    pub loss_ratio: f64,
    /// 99th percentile of the delay, milliseconds.
    pub delay_p99_ms: f64,
    /// 99th percentile of the generator's lateness, milliseconds.
    pub lateness_p99_ms: f64,
}

impl Trial {
    fn of(search: u32, load: u32, verdict: Verdict, report: &Report) -> Self {
        Self {
            search,
            load,
            verdict,
            why: why(report),
            sent_pps: report.summary.sent_pps,
            loss_ratio: report.summary.loss_ratio,
            delay_p99_ms: report.summary.delay.p99_ms,
            lateness_p99_ms: report.validity.lateness.p99_ms,
        }
    }

    /// One that could not be run, and why.
    const fn refused(search: u32, load: u32, why: String) -> Self {
        let (sent_pps, loss_ratio, delay_p99_ms, lateness_p99_ms) = (0.0, 1.0, 0.0, 0.0);
        Self { search, load, verdict: Verdict::Failed, why, sent_pps, loss_ratio, delay_p99_ms, lateness_p99_ms }
    }
}

const TARGET: &str = "target";
const GENERATOR: &str = "generator";

/// What came of all searches.
#[derive(Clone, Debug, Serialize)]
pub struct Searched {
    /// `streams` or `clients`.
    pub unit: &'static str,
    /// Whose capacity it is: `target` or `generator`.
    pub of: &'static str,
    /// What each trial had to hold.
    pub expected: String,
    /// Packets a second at the highest load that passed, the mean of the searches.
    pub packets_per_second: f64,
    /// The searches together.
    #[serde(flatten)]
    pub capacity: Capacity,
    /// What each found.
    pub found: Vec<Found>,
    /// Every trial.
    pub trials: Vec<Trial>,
    /// Somebody ended it.
    pub interrupted: bool,
}

/// Runs `capacity`.
///
/// # Errors
/// A trial could not be run, and why.
pub fn run(options: cli::Capacity, interrupt: &Interrupt) -> Result<Searched> {
    match options.of {
        CapacityOf::Rtp { search, mut trial } => {
            let first = trial.streams;
            expect_unless_told(&mut trial.common, "loss<=0");
            let goal = Goal::of_target("streams", &trial.common);
            search_all(goal, search, first, interrupt, |streams| {
                rtp::run(cli::Rtp { streams, ..trial.clone() }, interrupt)
            })
        }
        CapacityOf::Generator { search, trial } => generator(search, trial, interrupt),
        CapacityOf::Turn { search, mut trial } => {
            ensure!(trial.mode == cli::Mode::Media, "capacity searches with media; leave --mode away");
            let first = trial.clients;
            expect_unless_told(&mut trial.common, "loss<=0");
            let goal = Goal::of_target("clients", &trial.common);
            search_all(goal, search, first, interrupt, |clients| {
                turn::run(cli::Turn { clients, ..trial.clone() }, interrupt)
            })
        }
        CapacityOf::Call { search, mut trial } => {
            ensure!(
                !trial.churn && !trial.set_up_only,
                "capacity searches with media of calls that stay; leave --churn and --set-up-only away"
            );
            let first = trial.calls.unwrap_or(1);
            expect_unless_told(&mut trial.common, "loss<=0,failures<=0");
            let goal = Goal::of_target("calls", &trial.common);
            search_all(goal, search, first, interrupt, |calls| {
                call::run(cli::Call { calls: Some(calls), ..trial.clone() }, interrupt)
            })
        }
    }
}

/// Streams to nobody: the most that leave in time.
fn generator(search: cli::Search, trial: cli::Alone, interrupt: &Interrupt) -> Result<Searched> {
    let cli::Alone { target, streams: first, streams_per_socket, shape, common } = trial;
    ensure!(common.backend != BackEnd::Xdp, "capacity generator measures sockets; leave --backend xdp away");
    ensure!(common.expect.is_none(), "capacity generator expects to be in time (--lateness); leave --expect away");
    // It is there, so that the network does not refuse, and is not read, so that receiving costs next to nothing.
    let unread = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket to send to")?;
    let local = unread.local_addr().context("no socket to send to")?.to_string();
    let target = target.map_or_else(|| local.parse().map_err(anyhow::Error::msg), Ok)?;
    let goal = Goal {
        unit: "streams",
        expected: format!("p99 of lateness <= {:?}, nothing refused or left", common.lateness),
        quiet: common.quiet,
        of: GENERATOR,
    };
    let trial =
        cli::Rtp { target, streams: first, streams_per_socket, receive: None, shape, xdp: cli::Xdp::default(), common };
    search_all(goal, search, first, interrupt, |streams| rtp::run(cli::Rtp { streams, ..trial.clone() }, interrupt))
}

/// What is searched.
struct Goal {
    unit: &'static str,
    /// What each trial must hold.
    expected: String,
    quiet: bool,
    /// Whose capacity it is.
    of: &'static str,
}

impl Goal {
    fn of_target(unit: &'static str, common: &Common) -> Self {
        Self { unit, expected: expected(common), quiet: common.quiet, of: TARGET }
    }

    fn verdict(&self, report: &Report) -> Verdict {
        match (report.validity.valid, report.expectations.iter().all(|outcome| outcome.met)) {
            (false, _) if self.of == GENERATOR => Verdict::Failed,
            (false, _) => Verdict::Invalid,
            (true, true) => Verdict::Passed,
            (true, false) => Verdict::Failed,
        }
    }
}

fn expect_unless_told(common: &mut Common, what: &str) {
    if common.expect.is_none() {
        common.expect = Some(what.parse::<Expectations>().expect("a sound expectation"));
    }
}

fn expected(common: &Common) -> String {
    common.expect.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn search_all(
    goal: Goal,
    options: cli::Search,
    first: u32,
    interrupt: &Interrupt,
    mut trial: impl FnMut(u32) -> Result<Report>,
) -> Result<Searched> {
    ensure!(
        options.resolution.is_finite() && (0.0..100.0).contains(&options.resolution),
        "--resolution {}: percent, from 0 to below 100",
        options.resolution
    );
    let (mut trials, mut found) = (Vec::new(), Vec::new());
    let mut rates = Vec::new();
    for number in 1..=options.repeat {
        let mut search = Search::new(first, options.most, options.resolution / 100.0);
        let mut rate = 0.0;
        while let Some(load) = search.next().filter(|_| !interrupt.is_set()) {
            let report = trial(load);
            if interrupt.is_set() {
                break;
            }
            let (verdict, trial) = match report {
                Ok(report) => {
                    let verdict = goal.verdict(&report);
                    if verdict == Verdict::Passed {
                        rate = report.summary.sent_pps;
                    }
                    (verdict, Trial::of(number, load, verdict, &report))
                }
                // What could be run with less load is there, and refuses this one whole.
                Err(error) if trials.iter().any(|trial: &Trial| trial.verdict == Verdict::Passed) => {
                    (Verdict::Failed, Trial::refused(number, load, format!("{error:#}")))
                }
                Err(error) => return Err(error),
            };
            if !goal.quiet {
                tell(&line(&trial, goal.unit));
            }
            search.note(verdict);
            trials.push(trial);
        }
        if interrupt.is_set() {
            break;
        }
        found.push(search.found());
        rates.push(rate);
    }
    let capacity = Capacity::of(&found);
    let packets_per_second = rates.iter().sum::<f64>() / (rates.len().max(1) as f64);
    let interrupted = interrupt.is_set();
    let Goal { unit, expected, of, .. } = goal;
    Ok(Searched { unit, of, expected, packets_per_second, capacity, found, trials, interrupted })
}

fn why(report: &Report) -> String {
    if !report.validity.valid {
        return report.validity.why.clone();
    }
    let missed = report.expectations.iter().filter(|outcome| !outcome.met);
    missed.map(|outcome| format!("{}: {}", outcome.expectation, outcome.measured)).collect::<Vec<_>>().join("; ")
}

fn line(trial: &Trial, unit: &str) -> String {
    let Trial { search, load, verdict, why, sent_pps, lateness_p99_ms, .. } = trial;
    let verdict = match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed => format!("failed: {why}"),
        Verdict::Invalid => format!("the generator was the limit: {why}"),
    };
    format!(
        "search {search}: {load} {unit}, {sent_pps:.0} packets/s, p99 of lateness {lateness_p99_ms:.3} ms: {verdict}"
    )
}

impl Searched {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Capacity { searches, mean, min, max, confidence_95, at_least } = self.capacity;
        let unit = self.unit;
        if searches == 0 {
            return "Interrupted before the first search was over.".to_owned();
        }
        let bound = if at_least { "at least " } else { "" };
        let spread = confidence_95.map_or_else(String::new, |half| format!(" ± {half:.0} (95 %, {searches} searches)"));
        let mut text = format!(
            "Capacity: {bound}{mean:.0} {unit}{spread}, from {min} to {max}; {:.0} packets/s sent. Expected of each trial: {}.",
            self.packets_per_second, self.expected
        );
        if at_least && self.of == GENERATOR {
            text.push_str("\n--most was the limit: it may send more.");
        } else if at_least {
            text.push_str("\nThe generator or --most was the limit: the target may carry more.");
        }
        if self.interrupted {
            text.push_str("\nInterrupted: fewer searches than were asked for.");
        }
        text
    }

    /// Whether some load passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.capacity.min > 0
    }
}

#[cfg(test)]
mod tests {
    use raceway_loadgen_core::report::{Limit, Run, Streams, Summary, Totals, Validity};

    use super::*;

    #[test]
    fn a_generator_that_is_late_is_a_failure_where_it_is_what_is_searched_and_says_nothing_of_a_target() {
        let validity = Validity { valid: false, limit: Some(Limit::Core), ..Validity::default() };
        let (summary, totals) = (Summary::default(), Totals::default());
        let report = Report::of(Run::default(), validity, summary, &totals, Streams::of(Vec::new()));
        let goal = |of| Goal { unit: "streams", expected: String::new(), quiet: true, of };
        assert_eq!(goal(GENERATOR).verdict(&report), Verdict::Failed);
        assert_eq!(goal(TARGET).verdict(&report), Verdict::Invalid);
    }
}
