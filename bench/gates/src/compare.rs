//! Measured figures beside recorded ones, for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::figures::{Kind, Table, rounded};

/// A change by a larger share than this fails.
const TOLERANCE: f64 = 0.03;

/// A scenario's figures.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    scenario: &'a str,
    recorded: Option<f64>,
    measured: Option<f64>,
}

/// A table of what was measured beside what was recorded.
pub struct Comparison<'a> {
    kind: Kind,
    rows: Vec<Row<'a>>,
}

impl<'a> Comparison<'a> {
    pub fn new(kind: Kind, recorded: &'a Table, measured: &'a Table) -> Self {
        let scenarios: BTreeSet<&str> = recorded.keys().chain(measured.keys()).map(String::as_str).collect();
        let figure = |table: &Table, scenario: &str| table.get(scenario).copied().map(rounded);
        let row =
            |scenario| Row { scenario, recorded: figure(recorded, scenario), measured: figure(measured, scenario) };
        Self { kind, rows: scenarios.into_iter().map(row).collect() }
    }

    /// One line a scenario; those that fail are marked, and those that cost nothing, as ever, only counted.
    pub fn table(&self) -> String {
        let (free, rows): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.is_free());
        let width = rows.iter().map(|row| row.scenario.len()).max().unwrap_or_default();
        let mut out = format!("{}\n", self.kind.title());
        let _ = writeln!(out, "  {:width$}  {:>10}  {:>10}  {:>9}", "", "recorded", "measured", "change");
        for row in rows {
            let mark = if row.fails() { '!' } else { ' ' };
            let Row { scenario, recorded, measured } = row;
            let (recorded, measured, change) = (text(*recorded), text(*measured), row.change());
            let line = format!("{mark} {scenario:width$}  {recorded:>10}  {measured:>10}  {change:>9}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
        if !free.is_empty() {
            let _ = writeln!(out, "  and none in {} others", free.len());
        }
        out
    }

    /// One line for each figure that is not as recorded.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        let key = self.kind.key();
        self.rows.iter().filter(|row| row.fails()).map(move |row| {
            let (scenario, recorded, measured) = (row.scenario, text(row.recorded), text(row.measured));
            match (row.recorded, row.measured) {
                (Some(_), Some(_)) => format!("{scenario}: {key} {recorded} -> {measured} ({})", row.change()),
                (None, _) => format!("{scenario}: {key} {measured}, never recorded"),
                (_, None) => format!("{scenario}: {key} {recorded} recorded, no longer measured"),
            }
        })
    }

    /// Scenarios.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

impl Row<'_> {
    fn is_free(&self) -> bool {
        (self.recorded, self.measured) == (Some(0.0), Some(0.0))
    }

    fn fails(&self) -> bool {
        match (self.recorded, self.measured) {
            (Some(recorded), Some(measured)) => (measured - recorded).abs() > TOLERANCE * recorded,
            _ => true,
        }
    }

    fn change(&self) -> String {
        match (self.recorded, self.measured) {
            (Some(recorded), Some(measured)) if recorded == measured => String::new(),
            (Some(0.0), Some(_)) => "from none".to_owned(),
            (Some(recorded), Some(measured)) => format!("{:+.2} %", (measured / recorded - 1.0) * 100.0),
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
        }
    }
}

fn text(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(recorded: &[(&str, f64)], measured: &[(&str, f64)]) -> Vec<String> {
        let table =
            |figures: &[(&str, f64)]| figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect();
        let (recorded, measured) = (table(recorded), table(measured));
        Comparison::new(Kind::Instructions, &recorded, &measured).failures().collect()
    }

    #[test]
    fn a_change_within_three_percent_passes() {
        assert!(failures(&[("a", 1000.0), ("b", 1000.0)], &[("a", 1030.0), ("b", 970.0)]).is_empty());
    }

    #[test]
    fn a_larger_change_fails_either_way_with_both_figures() {
        let failures = failures(&[("a", 1000.0), ("b", 1000.0)], &[("a", 1031.0), ("b", 969.0)]);
        assert_eq!(failures, ["a: instructions 1000 -> 1031 (+3.10 %)", "b: instructions 1000 -> 969 (-3.10 %)"]);
    }

    #[test]
    fn nothing_may_not_become_something() {
        assert!(failures(&[("a", 0.0)], &[("a", 0.0)]).is_empty());
        assert_eq!(failures(&[("a", 0.0)], &[("a", 0.01)]), ["a: instructions 0 -> 0.01 (from none)"]);
    }

    #[test]
    fn scenarios_come_and_go_with_their_record() {
        let failures = failures(&[("old", 5.0)], &[("new", 7.0)]);
        assert_eq!(
            failures,
            ["new: instructions 7, never recorded", "old: instructions 5 recorded, no longer measured"]
        );
    }
}
