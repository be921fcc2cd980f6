//! Guesses what a misspelt name was meant to be.

/// Returns `; did you mean …?` where one of the known names is near.
pub(super) fn hint<S: AsRef<str>>(name: &str, known: &[S]) -> String {
    let distance = |other: &&S| strsim::damerau_levenshtein(name, other.as_ref());
    match known.iter().min_by_key(distance) {
        // A third of the letters, four at most: beyond that a name is another word, not a slip.
        Some(near) if distance(&near) <= (name.len() / 3).clamp(1, 4) => {
            format!("; did you mean {}?", near.as_ref())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(hint("urls", &["url", "branch"]), "; did you mean url?");
        assert_eq!(hint("zzz", &["url", "branch"]), "");
    }
}
