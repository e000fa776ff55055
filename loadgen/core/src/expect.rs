//! What a run is expected to be like, as `loss<=0,p99<=2ms,mos>=4.2`.

use core::fmt;
use core::str::FromStr;

use crate::report::{Outcome, Reference, Report, Spread};

/// Expectations in a list, at most.
pub const EXPECTATIONS_MAX: usize = 64;

/// What a value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A share of packets, in percent.
    Share,
    /// A time, in milliseconds.
    Time,
    /// A time that may be relative.
    Delay,
    /// A number, of packets or the like.
    Count,
    /// A mean opinion score.
    Score,
}

/// Something that a report has a figure of.
struct Metric {
    name: &'static str,
    kind: Kind,
    /// Nothing if it was not measured.
    of: fn(&Report) -> Option<f64>,
}

const fn metric(name: &'static str, kind: Kind, of: fn(&Report) -> Option<f64>) -> Metric {
    Metric { name, kind, of }
}

fn delay(report: &Report) -> Option<Spread> {
    Some(report.summary.delay).filter(|delay| delay.count != 0)
}

fn set_up(report: &Report) -> Option<Spread> {
    report.call.as_ref().map(|call| call.set_up).filter(|set_up| set_up.count != 0)
}

fn received(report: &Report, count: u64) -> Option<f64> {
    (report.summary.received.packets != 0).then_some(count as f64)
}

static METRICS: [Metric; 29] = [
    metric("loss", Kind::Share, |r| {
        let any = r.summary.received.packets + r.summary.lost != 0;
        any.then_some(r.summary.loss_ratio * 100.0)
    }),
    metric("lost", Kind::Count, |r| {
        let any = r.summary.received.packets + r.summary.lost != 0;
        any.then_some(r.summary.lost as f64)
    }),
    metric("duplicated", Kind::Count, |r| received(r, r.summary.received.duplicated)),
    metric("reordered", Kind::Count, |r| received(r, r.summary.received.reordered)),
    metric("corrupted", Kind::Count, |r| received(r, r.summary.received.corrupted)),
    metric("late", Kind::Count, |r| received(r, r.summary.received.late)),
    metric("stray", Kind::Count, |r| received(r, r.summary.received.stray)),
    metric("gaps", Kind::Count, |r| received(r, r.summary.received.gaps)),
    metric("gap", Kind::Time, |r| r.streams.longest_gap_ms.map(|gap| gap.max)),
    metric("mean", Kind::Delay, |r| delay(r).map(|delay| delay.mean_ms)),
    metric("p50", Kind::Delay, |r| delay(r).map(|delay| delay.p50_ms)),
    metric("p90", Kind::Delay, |r| delay(r).map(|delay| delay.p90_ms)),
    metric("p99", Kind::Delay, |r| delay(r).map(|delay| delay.p99_ms)),
    metric("p99.9", Kind::Delay, |r| delay(r).map(|delay| delay.p99_9_ms)),
    metric("p99.99", Kind::Delay, |r| delay(r).map(|delay| delay.p99_99_ms)),
    metric("max", Kind::Delay, |r| delay(r).map(|delay| delay.max_ms)),
    metric("jitter", Kind::Time, |r| r.streams.jitter_ms.map(|jitter| jitter.mean)),
    metric("jitter_max", Kind::Time, |r| r.streams.jitter_ms.map(|jitter| jitter.max)),
    metric("mos", Kind::Score, |r| r.streams.mos.map(|mos| mos.mean)),
    metric("mos_p5", Kind::Score, |r| r.streams.mos.map(|mos| mos.p5)),
    metric("mos_min", Kind::Score, |r| r.streams.mos.map(|mos| mos.min)),
    metric("pps", Kind::Count, |r| Some(r.summary.received_pps)),
    metric("bps", Kind::Count, |r| Some(r.summary.received_bps)),
    metric("unauthentic", Kind::Count, |r| received(r, r.summary.received.unauthentic)),
    metric("failures", Kind::Count, |r| {
        let failures = r.turn.as_ref().map(|turn| &turn.failures).or(r.call.as_ref().map(|call| &call.failures));
        failures.map(|failures| failures.values().sum::<u64>() as f64)
    }),
    metric("set_up", Kind::Count, |r| r.call.as_ref().map(|call| call.set_up_per_s)),
    metric("set_up_p50", Kind::Time, |r| set_up(r).map(|set_up| set_up.p50_ms)),
    metric("set_up_p99", Kind::Time, |r| set_up(r).map(|set_up| set_up.p99_ms)),
    metric("allocate_p99", Kind::Time, |r| {
        r.turn.as_ref().map(|turn| turn.allocate).filter(|allocate| allocate.count != 0).map(|allocate| allocate.p99_ms)
    }),
];

/// Whether what was measured stands to the bound as it should.
type Holds = fn(f64, f64) -> bool;

/// How a figure is compared. Longer signs first: `<` begins `<=`.
const COMPARISONS: [(&str, Holds); 5] = [
    ("<=", |measured, bound| measured <= bound),
    (">=", |measured, bound| measured >= bound),
    ("<", |measured, bound| measured < bound),
    (">", |measured, bound| measured > bound),
    ("=", |measured, bound| measured == bound),
];

/// One expectation.
#[derive(Clone)]
struct Expectation {
    text: String,
    metric: &'static Metric,
    holds: Holds,
    bound: f64,
}

/// What a run is expected to be like.
#[derive(Clone, Default)]
pub struct Expectations(Vec<Expectation>);

/// Why a text is not a list of expectations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// An empty part.
    #[error("an empty expectation: write METRIC<=VALUE, as in loss<=0,p99<=2ms")]
    Empty,
    /// No comparison.
    #[error("{0:?} compares nothing: write METRIC<=VALUE with one of <= >= < > =")]
    Comparison(String),
    /// A figure that no report has.
    #[error("{0:?} is not a metric: {names}", names = Names)]
    Metric(String),
    /// What a metric is compared with is not a value of its kind.
    #[error("{metric}: {value:?} is not {}", wanted(*kind))]
    Value {
        /// Name of the metric.
        metric: &'static str,
        /// What was written.
        value: String,
        /// What it should have been; opaque.
        kind: ValueKind,
    },
    /// Too many.
    #[error("more than {EXPECTATIONS_MAX} expectations")]
    TooMany,
}

/// What a value should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueKind(Kind);

const fn wanted(kind: ValueKind) -> &'static str {
    match kind.0 {
        Kind::Share => "a share in percent, as 0 or 0.1%",
        Kind::Time | Kind::Delay => "a time with its unit, as 0, 200us, 2ms or 1s",
        Kind::Count => "a number without a unit, as 0 or 1000",
        Kind::Score => "a score from 1 to 4.5, as 4.2",
    }
}

/// All metrics, for a message.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, metric) in METRICS.iter().enumerate() {
            write!(formatter, "{}{}", if index == 0 { "" } else { ", " }, metric.name)?;
        }
        Ok(())
    }
}

impl FromStr for Expectations {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let list: Vec<_> = text.split(',').map(expectation).collect::<Result<_, _>>()?;
        if list.len() > EXPECTATIONS_MAX { Err(ExpectError::TooMany) } else { Ok(Self(list)) }
    }
}

impl fmt::Display for Expectations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expectation) in self.0.iter().enumerate() {
            write!(formatter, "{}{}", if index == 0 { "" } else { "," }, expectation.text)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Expectations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Expectations({self})")
    }
}

impl Expectations {
    /// What became of each. A figure that was not measured meets nothing.
    #[must_use]
    pub fn evaluate(&self, report: &Report) -> Vec<Outcome> {
        let outcome = |expectation: &Expectation| {
            let measured = (expectation.metric.of)(report);
            Outcome {
                expectation: expectation.text.clone(),
                measured: measured
                    .map_or_else(|| "not measured".to_owned(), |value| say(expectation.metric.kind, value, report)),
                met: measured.is_some_and(|measured| (expectation.holds)(measured, expectation.bound)),
            }
        };
        self.0.iter().map(outcome).collect()
    }
}

fn expectation(text: &str) -> Result<Expectation, ExpectError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ExpectError::Empty);
    }
    let split = |(sign, holds)| text.split_once(sign).map(|(name, value)| (name.trim(), value.trim(), holds));
    let Some((name, value, holds)) = COMPARISONS.into_iter().find_map(split) else {
        return Err(ExpectError::Comparison(text.to_owned()));
    };
    let metric =
        METRICS.iter().find(|metric| metric.name == name).ok_or_else(|| ExpectError::Metric(name.to_owned()))?;
    let (metric_name, kind) = (metric.name, ValueKind(metric.kind));
    let bound = bound(metric.kind, value);
    let bound = bound.ok_or_else(|| ExpectError::Value { metric: metric_name, value: value.to_owned(), kind })?;
    Ok(Expectation { text: text.to_owned(), metric, holds, bound })
}

/// Reads a value of a kind, in the unit of the kind. Only zero goes without a unit where there is one.
fn bound(kind: Kind, text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match (kind, unit.trim_start()) {
        (Kind::Count, "") => 1.0,
        (Kind::Score, "") => return (1.0..=4.5).contains(&number).then_some(number),
        (Kind::Share, "%") | (Kind::Time | Kind::Delay, "ms") => 1.0,
        (Kind::Time | Kind::Delay, "s") => 1e3,
        (Kind::Time | Kind::Delay, "us" | "µs") => 1e-3,
        (Kind::Share | Kind::Time | Kind::Delay, "") if number == 0.0 => 1.0,
        _ => return None,
    };
    Some(number * factor).filter(|value| value.is_finite() && (kind != Kind::Share || *value <= 100.0))
}

fn say(kind: Kind, value: f64, report: &Report) -> String {
    match kind {
        Kind::Share if value == 0.0 => "0 %".to_owned(),
        Kind::Share => format!("{value:.4} %"),
        Kind::Delay if report.summary.delay_reference == Reference::Relative => {
            format!("{value:.3} ms above the fastest")
        }
        Kind::Time | Kind::Delay => format!("{value:.3} ms"),
        Kind::Count => format!("{value:.0}"),
        Kind::Score => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::{Across, Received, Run, Streams, Summary, Totals, Validity};

    fn report() -> Report {
        let mut summary = Summary { lost: 1, loss_ratio: 0.001, received_pps: 999.0, ..Summary::default() };
        summary.received = Received { packets: 999, reordered: 4, ..Received::default() };
        summary.delay = Spread { count: 999, p50_ms: 0.4, p99_ms: 2.0, max_ms: 9.5, ..Spread::default() };
        let mos = Some(Across { count: 2, min: 4.0, p5: 4.0, mean: 4.2, p50: 4.2, p95: 4.4, max: 4.4 });
        let streams = Streams { mos, ..Streams::default() };
        Report::of(Run::default(), Validity::default(), summary, &Totals::default(), streams)
    }

    fn met(text: &str) -> Vec<bool> {
        let outcomes = text.parse::<Expectations>().unwrap().evaluate(&report());
        outcomes.iter().map(|outcome| outcome.met).collect()
    }

    fn error(text: &str) -> String {
        text.parse::<Expectations>().unwrap_err().to_string()
    }

    #[test]
    fn each_expectation_is_held_against_the_report() {
        assert_eq!(met("loss<=0.1%,p99<=2ms,mos>=4.2,lost<=1"), [true; 4]);
        assert_eq!(met("loss<=0,p99<2ms,mos>4.2,lost<1,mos_min>=4.2"), [false; 5]);
        assert_eq!(met("p50 <= 400us, max<=0.0095s, reordered=4, pps>=1000"), [true, true, true, false]);
    }

    #[test]
    fn what_was_not_measured_meets_nothing() {
        let outcomes = "allocate_p99<=1s,jitter<=1s,failures<=0".parse::<Expectations>().unwrap().evaluate(&report());
        assert!(outcomes.iter().all(|outcome| !outcome.met && outcome.measured == "not measured"), "{outcomes:?}");
        let nothing =
            Report::of(Run::default(), Validity::default(), Summary::default(), &Totals::default(), Streams::default());
        assert!(!"loss<=0".parse::<Expectations>().unwrap().evaluate(&nothing)[0].met);
    }

    #[test]
    fn a_relative_delay_is_said_to_be_one() {
        let mut report = report();
        let measured =
            |report: &Report| "p99<=2ms".parse::<Expectations>().unwrap().evaluate(report)[0].measured.clone();
        assert_eq!(measured(&report), "2.000 ms above the fastest");
        report.summary.delay_reference = Reference::Absolute;
        assert_eq!(measured(&report), "2.000 ms");
    }

    #[test]
    fn errors_say_what_would_be_right() {
        assert!(error("los<=0").starts_with("\"los\" is not a metric: loss, lost, "), "{}", error("los<=0"));
        assert_eq!(error("p99<=2"), "p99: \"2\" is not a time with its unit, as 0, 200us, 2ms or 1s");
        assert_eq!(error("loss<=1ms"), "loss: \"1ms\" is not a share in percent, as 0 or 0.1%");
        assert_eq!(error("loss<=101%"), "loss: \"101%\" is not a share in percent, as 0 or 0.1%");
        assert_eq!(error("mos>=5"), "mos: \"5\" is not a score from 1 to 4.5, as 4.2");
        assert_eq!(error("lost<=-1"), "lost: \"-1\" is not a number without a unit, as 0 or 1000");
        assert_eq!(error("loss"), "\"loss\" compares nothing: write METRIC<=VALUE with one of <= >= < > =");
        assert_eq!(error("loss<=0,"), "an empty expectation: write METRIC<=VALUE, as in loss<=0,p99<=2ms");
        assert_eq!(error(&vec!["lost<=0"; 65].join(",")), "more than 64 expectations");
    }

    proptest! {
        #[test]
        fn what_is_read_is_said_again(name in 0..METRICS.len(), sign in 0..COMPARISONS.len(), value in 1.0..4.5f64) {
            let metric = &METRICS[name];
            let unit = match metric.kind { Kind::Share => "%", Kind::Time | Kind::Delay => "us", Kind::Count | Kind::Score => "" };
            let text = format!("{}{}{value}{unit}", metric.name, COMPARISONS[sign].0);
            prop_assert_eq!(text.parse::<Expectations>().unwrap().to_string(), text);
        }

        #[test]
        fn no_text_panics(text: String) {
            if let Ok(expectations) = text.parse::<Expectations>() {
                let _ = expectations.evaluate(&report());
            }
        }
    }
}
