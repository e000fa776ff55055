//! What a run comes to in a word.

use raceway_loadgen_core::report::Report;

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The generator did not keep up: the figures are its own.
    Invalid,
    /// An expectation was not met.
    Failed,
    /// Every expectation was met.
    Passed,
    /// Nothing was expected.
    Done,
}

impl Verdict {
    /// Of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        if !report.validity.valid {
            Self::Invalid
        } else if !report.passed() {
            Self::Failed
        } else if report.expectations.is_empty() {
            Self::Done
        } else {
            Self::Passed
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::Done => "done",
        }
    }
}

/// Why, in a sentence.
pub(crate) fn why(report: &Report) -> String {
    let unmet = report.expectations.iter().filter(|outcome| !outcome.met).count();
    let all = report.expectations.len();
    match Verdict::of(report) {
        Verdict::Invalid => format!("the generator did not keep up: {}", report.validity.why),
        Verdict::Failed => format!("{unmet} of {all} expectations not met"),
        Verdict::Passed => format!("{all} of {all} expectations met"),
        Verdict::Done => "the generator kept up, nothing was expected".to_owned(),
    }
}
