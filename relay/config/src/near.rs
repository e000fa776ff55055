//! Which known key an unknown one was probably meant to be.

/// Characters of an unknown word that are looked at: the longest known key is shorter.
const WORD_MAX: usize = 64;

/// The nearest of `known` to `word`, if it is near enough to be a slip of the finger.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(WORD_MAX).collect();
    let (distance, best) = known.iter().map(|k| (distance(&word, k), *k)).min()?;
    let contains = best.contains(&word) && word.len() > 2 || word.contains(best) && best.len() > 2;
    (distance <= word.len().max(best.len()) / 3 || contains).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["listen", "realm", "port_range", "relay_addresses"];
        assert_eq!(nearest("lsiten", &known), Some("listen"));
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("relay_address", &known), Some("relay_addresses"));
        assert_eq!(nearest("ports_range", &known), Some("port_range"));
        assert_eq!(nearest("certificate", &known), None);
    }
}
