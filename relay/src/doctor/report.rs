//! What a check says, for people and for machines.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but could be better.
    Advise,
    /// Raceway cannot do its work like this.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    /// Works, but could be better.
    pub fn advise(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Advise, found: found.into(), advice: Some(advice.into()) }
    }

    /// Cannot work like this.
    pub fn fail(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::advise(name, found, advice) }
    }
}

/// One line a check, advice below it.
pub fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok    ",
            Verdict::Advise => "advise",
            Verdict::Fail => "FAIL  ",
        };
        lines.push(format!("{mark}  {:width$}  {}", check.name, check.found));
        if let Some(advice) = &check.advice {
            lines.push(format!("{:width$}          -> {advice}", ""));
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    lines.push(format!(
        "{} ok, {} to improve, {} failed",
        count(Verdict::Ok),
        count(Verdict::Advise),
        count(Verdict::Fail)
    ));
    lines.join("\n")
}

/// An array of objects with `name`, `verdict`, `found` and `advice`.
pub fn json(checks: &[Check]) -> String {
    serde_json::to_string_pretty(checks).expect("strings and enums have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_its_check_and_the_sum_at_the_end() {
        let text = table(&[Check::ok("kernel", "6.1"), Check::fail("rights", "none", "run as root")]);
        assert_eq!(
            text,
            "ok      kernel  6.1\nFAIL    rights  none\n                -> run as root\n1 ok, 0 to improve, 1 failed"
        );
    }
}
