//! Markdown tables and how figures look in them.

use std::fmt;

/// A table. Its first column is text, as are those whose heads begin with `<`; the others are figures.
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<&str> = self.heads.iter().map(|head| head.trim_start_matches('<')).collect();
        writeln!(f, "| {} |", heads.join(" | "))?;
        let is_text = |(n, head): (usize, &String)| n == 0 || head.starts_with('<');
        let rule: String = self.heads.iter().enumerate().map(|n| if is_text(n) { "---|" } else { "---:|" }).collect();
        writeln!(f, "|{rule}")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// What stands for a figure that there is not.
pub const NONE: &str = "-";

/// A whole number with commas.
#[must_use]
pub fn whole(value: Option<f64>) -> String {
    let Some(value) = value else { return NONE.to_owned() };
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// A number with so many places.
#[must_use]
pub fn places(value: Option<f64>, places: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.places$}"))
}

/// One figure divided by another, if there are both.
#[must_use]
pub fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    Some(above? / below.filter(|below| *below > 0.0)?)
}

/// The figure in the middle.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn texts_stand_left_and_figures_right() {
        let mut table = Table::new(&["a", "b", "<c"]);
        table.row(["x", "1", "y"].map(str::to_owned));
        assert_eq!(table.to_string(), "| a | b | c |\n|---|---:|---|\n| x | 1 | y |\n");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(whole(Some(1_452_186.4)), "1,452,186");
        assert_eq!(whole(Some(999.6)), "1,000");
        assert_eq!(whole(Some(-1234.0)), "-1,234");
        assert_eq!(whole(None), "-");
    }
}
