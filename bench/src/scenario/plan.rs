//! How long a run takes, and how long its trials may be for it to end in time.

use std::time::Duration;

use super::Scenario;
use super::interruption::Event;
use super::rate::GROWING;
use crate::subject::{Kind, Subject};

/// Longest trials: longer ones find nothing more.
const LONGEST: Duration = Duration::from_millis(400);
/// Shortest: of the slowest peer's packets at its rate, ten thousand and more.
const SHORTEST: Duration = Duration::from_millis(150);
/// What a trial takes beside its own length: reading counters, waiting for what is under way.
const AROUND_TRIAL: Duration = Duration::from_millis(80);
/// Building the network, starting the subject, ending both.
const SET_UP: Duration = Duration::from_millis(1_500);
/// Trials of measuring a setup in one direction: those of the search, with repetitions, and three or four others.
const MEASURING: u32 = 20;

/// What a job comes to, by experience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Trials of the usual length.
    trials: u32,
    /// Time besides.
    besides: Duration,
}

impl Effort {
    fn of(setups: u32, trials: u32, besides: Duration) -> Self {
        Self { trials, besides: SET_UP * setups + besides }
    }

    /// Of a scenario with a subject.
    pub fn of_job(scenario: Scenario, subject: Subject) -> Self {
        let seconds = Duration::from_secs;
        let ways = if subject.both_ways() { 2 } else { 1 };
        match scenario {
            Scenario::Link => Self::of(3, 6, Duration::ZERO),
            Scenario::Rate if subject == Subject::RacewayXdp => Self::of(2, 2 * ways * MEASURING, Duration::ZERO),
            Scenario::Rate => Self::of(1, ways * MEASURING, Duration::ZERO),
            Scenario::Flows => {
                let steps = GROWING.iter().filter(|flows| **flows <= subject.flows_max()).count() as u32;
                Self::of(steps, steps * MEASURING, seconds(6))
            }
            Scenario::Delay => Self::of(2, MEASURING / 2, seconds(11)),
            Scenario::Sessions => Self::of(1, 0, seconds(4)),
            Scenario::Interruption => {
                let events = Event::of(subject).len() as u32;
                Self::of(events, events, seconds(3) * events)
            }
            Scenario::Io => {
                let setups = super::io::setups(subject);
                Self::of(setups, setups * MEASURING, Duration::ZERO)
            }
            Scenario::Calls => {
                let secured = u32::from(subject.has_sessions() && !subject.in_kernel());
                let talk = if subject.kind() == Kind::Ng { super::calls::TALK } else { Duration::ZERO };
                Self::of(1 + secured, (ways + secured) * MEASURING, talk * (1 + secured))
            }
            Scenario::Offers => Self::of(1, 0, seconds(5)),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { trials: self.trials + other.trials, besides: self.besides + other.besides }
    }

    /// What it takes if trials have this length.
    pub fn takes(self, trial: Duration) -> Duration {
        self.besides + (trial + AROUND_TRIAL) * self.trials
    }
}

/// All of these.
pub fn sum(efforts: impl Iterator<Item = Effort>) -> Effort {
    efforts.fold(Effort::default(), Effort::plus)
}

/// The length of trials with which what is left to do ends within `time`, as far as that is possible.
pub fn trial(left: Effort, time: Duration) -> Duration {
    let for_trials = time.saturating_sub(left.besides);
    (for_trials / left.trials.max(1)).saturating_sub(AROUND_TRIAL).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn trials_are_as_long_as_the_time_allows() {
        let job = Effort::of(1, 100, Duration::from_secs(8));
        let trial = |seconds| trial(job, Duration::from_secs(seconds));
        assert_eq!(trial(1_000), LONGEST);
        assert_eq!(trial(5), SHORTEST);
        let fitted = trial(45);
        assert!(fitted > SHORTEST && fitted < LONGEST);
        assert_eq!(job.takes(fitted).as_secs(), 45);
    }

    #[test]
    fn everything_fits_into_a_quarter_of_an_hour() {
        let jobs = Scenario::value_variants().iter().flat_map(|scenario| {
            let subjects = Subject::value_variants().iter().filter(|subject| scenario.applies(**subject));
            subjects.map(|subject| Effort::of_job(*scenario, *subject))
        });
        let all = sum(jobs);
        assert!(all.takes(Duration::from_millis(200)) < Duration::from_secs(14 * 60), "{all:?}");
    }
}
