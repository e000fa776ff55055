//! Scenarios, and the whole run: each of them on every subject that it applies to, on a network built for it.

mod bench;
pub mod calls;
pub mod delay;
pub mod interruption;
mod io;
mod link;
pub mod offers;
mod plan;
pub mod rate;
pub mod sessions;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

pub use bench::{Bench, Place, Setup};
use plan::Effort;

use crate::record::{Outcome, Recorder};
use crate::stand::frames::Load;
use crate::stand::quiet::Patience;
use crate::stand::topology::Arms;
use crate::subject::{Kind, Subject};

/// Packets a second at which all subjects are measured, beside their own limits.
pub const COMMON_RATE: u64 = 60_000;

/// How long a run waits in all for a host that is busy with others.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// What the link costs.
    Link,
    /// Rates and costs with 200 calls.
    Rate,
    /// Rates and costs with 1 to 100,000 calls.
    Flows,
    /// Added delay.
    Delay,
    /// Allocations, or calls, made and held.
    Sessions,
    /// Reload and restarts.
    Interruption,
    /// Ways to receive and send.
    Io,
    /// Calls of SIP proxies.
    Calls,
    /// Calls set up and deleted.
    Offers,
}

impl Scenario {
    /// As in commands.
    #[must_use]
    fn name(self) -> String {
        self.to_possible_value().expect("no scenario is hidden").get_name().to_owned()
    }

    fn applies(self, subject: Subject) -> bool {
        let kind = subject.kind();
        if subject.is_proxied() {
            return self == Self::Calls
                || matches!(self, Self::Sessions | Self::Offers) && subject == Subject::CallsXdp;
        }
        if subject == Subject::UringSrtp {
            return self == Self::Calls;
        }
        match self {
            Self::Calls => matches!(subject, Subject::Rtpengine | Subject::Uring | Subject::Reflect),
            Self::Offers => subject == Subject::Rtpengine,
            Self::Link => subject == Subject::Mmsg || matches!(kind, Kind::Program(_)),
            Self::Rate => true,
            Self::Flows => {
                subject.has_sessions() || matches!(subject, Subject::Mmsg | Subject::Uring | Subject::Lookup)
            }
            Self::Delay => subject.has_sessions() || matches!(subject, Subject::Mmsg | Subject::Uring),
            Self::Sessions | Self::Interruption => subject.has_sessions(),
            Self::Io => subject.is_forwarder() || matches!(subject, Subject::RacewayWorkers | Subject::Coturn),
        }
    }

    fn run(self, stage: &mut Stage, subject: Subject) -> Result<()> {
        match self {
            Self::Link => link::run(stage, subject),
            Self::Rate => rate::calls(stage, subject),
            Self::Flows => rate::growing(stage, subject),
            Self::Delay => delay::run(stage, subject),
            Self::Sessions => sessions::run(stage, subject),
            Self::Interruption => interruption::run(stage, subject),
            Self::Io => io::run(stage, subject),
            Self::Calls => calls::run(stage, subject),
            Self::Offers => offers::run(stage, subject),
        }
    }
}

/// Options of a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Subjects to measure; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Subject>,
    /// Scenarios to run; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub scenario: Vec<Scenario>,
    /// Where the results go.
    #[arg(long, default_value = "bench/results")]
    pub results: PathBuf,
    /// Milliseconds of one trial; without, as long as the time for all of them allows.
    #[arg(long)]
    pub ms: Option<u64>,
    /// Minutes within which a run should end; trials are as short as that takes.
    #[arg(long, default_value_t = 14)]
    pub minutes: u64,
    /// How often rates are measured anew; tables show the median.
    #[arg(long, default_value_t = 1)]
    pub repeat: u32,
    #[command(flatten)]
    pub place: Place,
}

impl Options {
    /// Whether nothing is left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.only.is_empty() && self.scenario.is_empty()
    }
}

/// What scenarios share.
pub struct Stage {
    options: Options,
    recorder: Recorder,
    trial: Duration,
}

impl Stage {
    /// A subject as it usually is, over one link.
    #[must_use]
    pub fn setup(&self, subject: Subject, load: Load) -> Setup {
        let call = crate::session::Call::Plain;
        Setup { subject, extra: Vec::new(), arms: Arms::One, place: self.options.place, load, call }
    }

    /// Length of one trial.
    #[must_use]
    pub const fn trial_time(&self) -> Duration {
        self.trial
    }

    /// Time in which each flow has had a packet at the common rate.
    #[must_use]
    pub fn warm_up(&self, load: Load) -> Duration {
        let once = u64::from(load.flows) * u64::from(load.train) * 1_000_000 / COMMON_RATE;
        Duration::from_millis(100) + Duration::from_micros(once)
    }

    /// Writes a result down.
    pub fn write(&mut self, outcome: Outcome) -> Result<()> {
        self.recorder.write(outcome)
    }
}

/// Runs everything asked for and writes it down; answers with the file.
pub fn run(options: &Options) -> Result<PathBuf> {
    let jobs = jobs(options);
    let mut stage =
        Stage { options: options.clone(), recorder: Recorder::open(&options.results)?, trial: Duration::ZERO };
    let all = Duration::from_secs(options.minutes * 60);
    let effort =
        |from: usize| plan::sum(jobs[from..].iter().map(|(scenario, subject)| Effort::of_job(*scenario, *subject)));
    let trial =
        |from: usize, left: Duration| options.ms.map_or_else(|| plan::trial(effort(from), left), Duration::from_millis);
    let first = trial(0, all);
    let expected = effort(0).takes(first).as_secs();
    eprintln!(
        "{} jobs, trials of {} ms: about {}:{:02} minutes",
        jobs.len(),
        first.as_millis(),
        expected / 60,
        expected % 60
    );
    let mut patience = Patience::new(PATIENCE);
    let (began, mut failures) = (Instant::now(), Vec::new());
    for (number, (scenario, subject)) in jobs.iter().enumerate() {
        let stolen = patience.wait(options.place.core, options.place.far_core)?;
        stage.trial = trial(number, all.saturating_sub(began.elapsed()));
        let spent = began.elapsed().as_secs();
        let what = format!("{}: {}", scenario.name(), subject.name());
        let busy = if stolen > 0.05 { format!(", {:.0} % of a core stolen", stolen * 100.0) } else { String::new() };
        eprintln!("[{}/{}, {}:{:02}] {what}{busy}", number + 1, jobs.len(), spent / 60, spent % 60);
        if let Err(error) = scenario.run(&mut stage, *subject) {
            eprintln!("!! {what}: {error:#}");
            failures.push(what);
        }
    }
    let spent = began.elapsed().as_secs();
    eprintln!("{}:{:02}, results in {}", spent / 60, spent % 60, stage.recorder.path.display());
    if !failures.is_empty() {
        bail!("not measured: {}; what was, is in {}", failures.join(", "), stage.recorder.path.display());
    }
    Ok(stage.recorder.path)
}

fn jobs(options: &Options) -> Vec<(Scenario, Subject)> {
    let scenarios = Scenario::value_variants().iter().copied();
    let asked = |scenario: &Scenario| options.scenario.is_empty() || options.scenario.contains(scenario);
    let (here, absent): (Vec<Subject>, _) = Subject::value_variants().iter().partition(|subject| subject.is_here());
    absent.iter().for_each(|subject: &Subject| eprintln!("!! {} is not installed: left out", subject.name()));
    let mut jobs = Vec::new();
    for scenario in scenarios.filter(asked) {
        let repeated = matches!(scenario, Scenario::Rate | Scenario::Flows | Scenario::Io | Scenario::Calls);
        let rounds = if repeated { options.repeat } else { 1 };
        for _ in 0..rounds {
            let subjects = here.iter().copied().filter(|subject| scenario.applies(*subject));
            let asked = |subject: &Subject| options.only.is_empty() || options.only.contains(subject);
            jobs.extend(subjects.filter(asked).map(|subject| (scenario, subject)));
        }
    }
    jobs
}
