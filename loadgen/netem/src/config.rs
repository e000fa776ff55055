//! What a link is like, as `delay=20ms,jitter=5ms,loss=1%`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::delay::Distribution;
use crate::limits::{DELAY_MAX, RATE_MAX_BPS};
use crate::loss::Loss;

/// Names of the options.
pub const OPTIONS: [&str; 12] = [
    "delay",
    "jitter",
    "distribution",
    "loss",
    "burst",
    "gemodel",
    "reorder",
    "reorder-by",
    "duplicate",
    "corrupt",
    "rate",
    "queue",
];

/// What one direction of a link is like.
///
/// | option | value |
/// | --- | --- |
/// | `delay` | time that every datagram takes |
/// | `jitter` | how much more or less, by `distribution` (`uniform`, `normal`, `pareto`); does not reorder |
/// | `loss` | share that is lost; with `burst` in runs of that mean length |
/// | `gemodel` | instead of `loss`: good to bad, bad to good, loss while bad, loss while good, as `1%/25%/100%/0%` |
/// | `reorder` | share that is held back by `reorder-by` (30 ms), so that others overtake |
/// | `duplicate`, `corrupt` | share that arrives twice, or with a bit flipped |
/// | `rate` | bits a second of the bottleneck, of the octets that the caller counts |
/// | `queue` | longest wait before the bottleneck (200 ms); what would wait longer is lost |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Time that every datagram takes.
    pub delay: Duration,
    /// How much more or less, by `distribution`.
    pub jitter: Duration,
    /// How delays are spread by jitter.
    pub distribution: Distribution,
    /// Which are lost.
    pub loss: Loss,
    /// Share that is held back, 0 to 1.
    pub reorder: f64,
    /// How long they are held back.
    pub reorder_by: Duration,
    /// Share that arrives twice.
    pub duplicate: f64,
    /// Share that is damaged.
    pub corrupt: f64,
    /// Bits a second of the bottleneck, if there is one.
    pub rate_bps: Option<u64>,
    /// Longest wait before it.
    pub queue: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            distribution: Distribution::Uniform,
            loss: Loss::NONE,
            reorder: 0.0,
            reorder_by: Duration::from_millis(30),
            duplicate: 0.0,
            corrupt: 0.0,
            rate_bps: None,
            queue: Duration::from_millis(200),
        }
    }
}

/// Why a text describes no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not `option=value`.
    #[error("{0:?} is not OPTION=VALUE, as in delay=20ms,loss=1%")]
    NotAnOption(String),
    /// No such option.
    #[error("a link has no option {0:?}; it has {known}", known = OPTIONS.join(", "))]
    Unknown(String),
    /// An option is there twice.
    #[error("option {0} is given twice")]
    Twice(&'static str),
    /// A value that an option cannot have.
    #[error("{option}={value} is not possible: {option} is {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Options that exclude or need each other.
    #[error("{0}")]
    Together(&'static str),
}

const TIME: &str = "a time up to 60 s, as 500us, 20ms or 1s";
const SHARE: &str = "a share, as 1% or 0.5%";
const RATE: &str = "bits a second up to 1000gbit, as 64kbit, 10mbit or 1gbit";
const GEMODEL: &str = "four shares: good to bad, bad to good, loss while bad and while good, as 1%/25%/100%/0%";

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let (mut seen, mut loss, mut burst) = (Vec::new(), None, None);
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').ok_or_else(|| ConfigError::NotAnOption(part.to_owned()))?;
            let known = OPTIONS.into_iter().find(|option| *option == name.trim());
            let option = known.ok_or_else(|| ConfigError::Unknown(name.trim().to_owned()))?;
            if seen.contains(&option) {
                return Err(ConfigError::Twice(option));
            }
            seen.push(option);
            let value = Value { option, text: value.trim() };
            match option {
                "loss" => loss = Some((value, value.share()?)),
                "burst" => burst = Some((value, value.run()?)),
                _ => config.set(value)?,
            }
        }
        if seen.contains(&"gemodel") && (loss.is_some() || burst.is_some()) {
            return Err(ConfigError::Together("gemodel says all of loss: give it or loss and burst"));
        }
        match (loss, burst) {
            (None, None) => {}
            (None, Some(_)) => return Err(ConfigError::Together("burst is the length of runs of loss: give loss too")),
            (Some((_, loss)), None) => config.loss = Loss::independent(loss),
            (Some((_, loss)), Some((value, run))) => {
                let expected = "a mean run of 1 or more, and long enough for the share that is lost";
                config.loss = Loss::in_runs(loss, run).ok_or_else(|| value.wrong(expected))?;
            }
        }
        Ok(config)
    }
}

impl Config {
    fn set(&mut self, value: Value<'_>) -> Result<(), ConfigError> {
        match value.option {
            "delay" => self.delay = value.time()?,
            "jitter" => self.jitter = value.time()?,
            "distribution" => self.distribution = value.distribution()?,
            "gemodel" => self.loss = value.gemodel()?,
            "reorder" => self.reorder = value.share()?,
            "reorder-by" => self.reorder_by = value.time()?,
            "duplicate" => self.duplicate = value.share()?,
            "corrupt" => self.corrupt = value.share()?,
            "rate" => self.rate_bps = Some(value.rate()?),
            "queue" => self.queue = value.time()?,
            option => unreachable!("{option} is one of OPTIONS and has no meaning"),
        }
        Ok(())
    }
}

/// A value and the option that it is for.
#[derive(Clone, Copy)]
struct Value<'a> {
    option: &'static str,
    text: &'a str,
}

impl Value<'_> {
    fn wrong(self, expected: &'static str) -> ConfigError {
        ConfigError::Value { option: self.option, value: self.text.to_owned(), expected }
    }

    fn time(self) -> Result<Duration, ConfigError> {
        let units = [("", 0.0), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
        let seconds = quantity(self.text, &units).filter(|seconds| *seconds <= DELAY_MAX.as_secs_f64());
        seconds.map(Duration::from_secs_f64).ok_or_else(|| self.wrong(TIME))
    }

    fn share(self) -> Result<f64, ConfigError> {
        share(self.text).ok_or_else(|| self.wrong(SHARE))
    }

    fn run(self) -> Result<f64, ConfigError> {
        quantity(self.text, &[("", 1.0)]).ok_or_else(|| self.wrong("a mean number of packets, as 3 or 4.5"))
    }

    fn rate(self) -> Result<u64, ConfigError> {
        let rate = quantity(self.text, &[("bit", 1.0), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)]);
        let rate = rate.filter(|rate| (1.0..=RATE_MAX_BPS as f64).contains(rate));
        rate.map(|rate| rate as u64).ok_or_else(|| self.wrong(RATE))
    }

    fn distribution(self) -> Result<Distribution, ConfigError> {
        let known = Distribution::ALL.into_iter().find(|known| known.to_string() == self.text);
        known.ok_or_else(|| self.wrong("uniform, normal or pareto"))
    }

    fn gemodel(self) -> Result<Loss, ConfigError> {
        let shares: Option<Vec<f64>> = self.text.split('/').map(share).collect();
        match shares.as_deref() {
            Some(&[to_bad, to_good, in_bad, in_good]) => Ok(Loss { to_bad, to_good, in_bad, in_good }),
            _ => Err(self.wrong(GEMODEL)),
        }
    }
}

fn share(text: &str) -> Option<f64> {
    quantity(text, &[("", 0.0), ("%", 0.01)]).filter(|share| *share <= 1.0)
}

/// A number in the first unit that it has; a factor of zero stands for a unit that only zero can go without.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    if *factor == 0.0 && number != 0.0 { None } else { Some(number * factor).filter(|value| value.is_finite()) }
}

impl fmt::Display for Config {
    /// Only what is not as by default; `delay=0` if nothing is.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let mut parts = Vec::new();
        let mut part = |differs: bool, text: String| {
            if differs {
                parts.push(text);
            }
        };
        let percent = |share: f64| format!("{}%", (share * 1e10).round() / 1e8);
        part(self.delay != default.delay, format!("delay={}", time(self.delay)));
        part(self.jitter != default.jitter, format!("jitter={}", time(self.jitter)));
        part(self.distribution != default.distribution, format!("distribution={}", self.distribution));
        part(self.loss != default.loss, {
            let Loss { to_bad, to_good, in_bad, in_good } = self.loss;
            if to_bad == 0.0 {
                format!("loss={}", percent(in_good))
            } else {
                format!("gemodel={}", [to_bad, to_good, in_bad, in_good].map(percent).join("/"))
            }
        });
        part(self.reorder != default.reorder, format!("reorder={}", percent(self.reorder)));
        part(self.reorder_by != default.reorder_by, format!("reorder-by={}", time(self.reorder_by)));
        part(self.duplicate != default.duplicate, format!("duplicate={}", percent(self.duplicate)));
        part(self.corrupt != default.corrupt, format!("corrupt={}", percent(self.corrupt)));
        part(self.rate_bps.is_some(), format!("rate={}bit", self.rate_bps.unwrap_or(0)));
        part(self.queue != default.queue, format!("queue={}", time(self.queue)));
        formatter.write_str(if parts.is_empty() { "delay=0" } else { "" })?;
        formatter.write_str(&parts.join(","))
    }
}

fn time(time: Duration) -> String {
    format!("{}ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Config>().unwrap_err().to_string()
    }

    #[test]
    fn every_option_is_read() {
        let text = "delay=20ms, jitter=500us,distribution=normal,loss=1%,burst=4,reorder=0.5%,reorder-by=1s,\
                    duplicate=0.1%,corrupt=2%,rate=1.5mbit,queue=50ms";
        let expected = Config {
            delay: Duration::from_millis(20),
            jitter: Duration::from_micros(500),
            distribution: Distribution::Normal,
            loss: Loss::in_runs(0.01, 4.0).unwrap(),
            reorder: 0.005,
            reorder_by: Duration::from_secs(1),
            duplicate: 0.001,
            corrupt: 0.02,
            rate_bps: Some(1_500_000),
            queue: Duration::from_millis(50),
        };
        assert_eq!(text.parse(), Ok(expected));
        let loss = Loss { to_bad: 0.01, to_good: 0.25, in_bad: 1.0, in_good: 0.0 };
        assert_eq!("gemodel=1%/25%/100%/0".parse(), Ok(Config { loss, ..Config::default() }));
        assert_eq!("delay=0".parse(), Ok(Config::default()));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        assert_eq!(error("delay"), "\"delay\" is not OPTION=VALUE, as in delay=20ms,loss=1%");
        assert!(error("latency=1ms").starts_with("a link has no option \"latency\"; it has delay, jitter, "));
        assert_eq!(error("loss=1%,loss=2%"), "option loss is given twice");
        assert_eq!(error("delay=20"), "delay=20 is not possible: delay is a time up to 60 s, as 500us, 20ms or 1s");
        assert_eq!(error("delay=61s"), "delay=61s is not possible: delay is a time up to 60 s, as 500us, 20ms or 1s");
        assert_eq!(error("loss=101%"), "loss=101% is not possible: loss is a share, as 1% or 0.5%");
        assert_eq!(error("rate=10"), format!("rate=10 is not possible: rate is {RATE}"));
        assert_eq!(error("rate=0bit"), format!("rate=0bit is not possible: rate is {RATE}"));
        assert_eq!(error("gemodel=1%/2%"), format!("gemodel=1%/2% is not possible: gemodel is {GEMODEL}"));
        assert_eq!(
            error("distribution=flat"),
            "distribution=flat is not possible: distribution is uniform, normal or pareto"
        );
        assert_eq!(error("burst=3"), "burst is the length of runs of loss: give loss too");
        assert_eq!(error("gemodel=1%/1%/1%/1%,loss=1%"), "gemodel says all of loss: give it or loss and burst");
        assert!(error("loss=60%,burst=1").starts_with("burst=1 is not possible: burst is a mean run of 1 or more"));
    }

    proptest! {
        #[test]
        fn what_is_said_is_read_again(
            times in prop::array::uniform4(0..60_000_000u64), shares in prop::array::uniform4(0..=10_000u32),
            rate in prop::option::of(1..RATE_MAX_BPS), distribution in 0..3usize,
        ) {
            let [delay, jitter, reorder_by, queue] = times.map(Duration::from_micros);
            let [loss, reorder, duplicate, corrupt] = shares.map(|share| f64::from(share) / 10_000.0);
            let (distribution, loss) = (Distribution::ALL[distribution], Loss::independent(loss));
            let config =
                Config { delay, jitter, distribution, loss, reorder, reorder_by, duplicate, corrupt, rate_bps: rate, queue };
            let read: Config = config.to_string().parse().unwrap();
            prop_assert_eq!(read.to_string(), config.to_string());
            prop_assert!(read.delay.abs_diff(delay) <= Duration::from_nanos(1));
            prop_assert!((read.reorder - reorder).abs() < 1e-9 && (read.loss.ratio() - loss.ratio()).abs() < 1e-9);
            prop_assert_eq!(read.rate_bps, rate);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Config>();
        }
    }
}
