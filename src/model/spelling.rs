//! What somebody meant who misspelt a word.

/// The word of `known` that is nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    // Nobody means anything by a longer word.
    if length > 64 {
        return None;
    }
    let begins = |known: &str| length >= 3 && known.starts_with(&word);
    let nearest = known
        .into_iter()
        .map(|known| {
            let lower = known.to_lowercase();
            (if begins(&lower) { 1 } else { distance(&word, &lower) }, known)
        })
        .filter(|(distance, known)| distance * 5 <= length.max(known.len()) * 2)
        .min_by_key(|(distance, _)| *distance)?;
    Some(nearest.1)
}

/// `` did you mean `x`? `` if one of `known` is near to `word`.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// How many characters to put in, take out, replace or swap with their neighbour (optimal string
/// alignment distance).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = [Vec::new(), Vec::new(), (0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[0][j - 2] + 1);
            }
        }
        rows[2] = row;
    }
    rows[2][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, far) in [
            ("", "", 0),
            ("", "ab", 2),
            ("raed", "read", 1),
            ("kitten", "sitting", 3),
            ("a", "", 1),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
            assert_eq!(distance(b, a), far, "{b} {a}");
        }
    }

    #[test]
    fn only_near_words_are_meant() {
        assert_eq!(nearest("raed", ["write", "read"]), Some("read"));
        assert_eq!(nearest("replicaton", ["reads", "replication"]), Some("replication"));
        assert_eq!(nearest("linear", ["read", "linearizable"]), Some("linearizable"));
        assert_eq!(nearest("READ", ["write", "read"]), Some("read"));
        assert_eq!(nearest("xyz", ["write", "read"]), None);
        assert_eq!(did_you_mean("cass", ["cas"]).as_deref(), Some("did you mean `cas`?"));
    }
}
