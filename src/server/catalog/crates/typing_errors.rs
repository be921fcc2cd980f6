//! How many typing errors are between two names.
//!
//! strsim's `osa_distance` says the same, and took more than a third of the search for a misspelt name. Here a row of its table is a
//! word, as in Heikki Hyyrö, "A Bit-Vector Algorithm for Computing Levenshtein and Damerau Edit Distances", 2003.

/// The longest name that others are compared with, in bytes; one of crates.io has as many.
const LONGEST: usize = 64;

/// A name that others are compared with.
pub(super) struct Typed {
    /// For each byte where it is in the name: bit 0 is the first place.
    places: [u64; 256],
    length: u32,
}

impl Typed {
    /// Takes a name; `None` if it is empty or longer than 64 bytes.
    pub(super) fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > LONGEST {
            return None;
        }
        let mut places = [0; 256];
        for (at, byte) in name.iter().enumerate() {
            places[usize::from(*byte)] |= 1 << at;
        }
        let length = u32::try_from(name.len()).ok()?;
        Some(Self { places, length })
    }

    /// Returns how many letters must be put in, left out, replaced or swapped with the next to make one name of the other (the
    /// optimal string alignment distance, of bytes).
    pub(super) fn errors(&self, other: impl Iterator<Item = u8>) -> u32 {
        let last = 1 << (self.length - 1);
        let mut distance = self.length;
        // Where the distance of the beginnings is greater by one than that of the beginnings with a letter less, and where it is less.
        let (mut more, mut less) = (u64::MAX, 0_u64);
        let (mut same, mut here_before) = (0_u64, 0_u64);
        for byte in other {
            let here = self.places[usize::from(byte)];
            let swapped = ((!same & here) << 1) & here_before;
            same = ((here & more).wrapping_add(more) ^ more) | here | less | swapped;
            let (up, down) = (less | !(same | more), same & more);
            distance += u32::from(up & last != 0);
            distance -= u32::from(down & last != 0);
            let (up, down) = (up << 1 | 1, down << 1);
            (more, less) = (down | !(same | up), up & same);
            here_before = here;
        }
        distance
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strsim::osa_distance;

    use super::*;

    fn errors(one: &str, other: &str) -> Option<u32> {
        Some(Typed::new(one.as_bytes())?.errors(other.bytes()))
    }

    proptest! {
        #[test]
        fn they_are_those_that_strsim_counts(one in "[ab-]{1,9}", other in "[ab-]{0,9}") {
            let counted = u32::try_from(osa_distance(&one, &other)).unwrap_or(u32::MAX);
            prop_assert_eq!(errors(&one, &other), Some(counted));
        }
    }

    #[test]
    fn a_name_of_64_bytes_is_the_longest() {
        let long = "a".repeat(LONGEST);
        assert_eq!(errors(&long, &long), Some(0));
        assert_eq!(errors(&long, &long[2..]), Some(2));
        assert_eq!(errors(&long[1..], &format!("{long}b")), Some(2));
        assert_eq!(errors(&format!("{long}a"), &long), None);
        assert_eq!(errors("", &long), None);
    }
}
