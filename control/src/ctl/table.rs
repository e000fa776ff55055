//! Tables whose columns are in line.

/// Which side of its column a value stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings; nothing but the headings when there are no rows.
pub fn table(headings: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|(heading, _)| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings_row: Vec<String> = headings.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings_row).chain(rows) {
        let mut line = String::new();
        for ((cell, width), (_, side)) in row.iter().zip(&widths).zip(headings) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            match side {
                Side::Left => line.push_str(&format!("{cell}{gap}  ")),
                Side::Right => line.push_str(&format!("{gap}{cell}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = [vec!["ä".to_owned(), "10".to_owned()], vec!["long name".to_owned(), "9".to_owned()]];
        let text = table(&[("NAME", Side::Left), ("COUNT", Side::Right)], &rows);
        assert_eq!(text, "NAME       COUNT\nä             10\nlong name      9\n");
    }
}
