//! Numbers with their nouns: `1 crate file`, `2 crate files`.

use std::borrow::Cow;
use std::fmt::Display;

/// Returns a number with its noun, whose plural ends in `s`: `1 commit`, `0 commits`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    format!("{number} {}", noun_of(number, noun))
}

/// Returns the noun alone, for numbers that are written in another way.
pub fn noun_of<N: PartialEq + From<u8>>(number: N, noun: &str) -> Cow<'_, str> {
    match number == N::from(1) {
        true => Cow::Borrowed(noun),
        false => Cow::Owned(format!("{noun}s")),
    }
}

/// Returns `is` or `are`.
pub fn is_or_are<N: PartialEq + From<u8>>(number: N) -> &'static str {
    match number == N::from(1) {
        true => "is",
        false => "are",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_has_the_singular() {
        let shown = [0_u64, 1, 2].map(|number| counted(number, "crate file"));
        assert_eq!(shown, ["0 crate files", "1 crate file", "2 crate files"]);
        assert_eq!([is_or_are(1_usize), is_or_are(0_usize)], ["is", "are"]);
    }
}
