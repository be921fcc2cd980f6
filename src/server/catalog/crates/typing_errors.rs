//! How many typing errors are between two names, as far as a bound.
//!
//! strsim's `osa_distance` says the same without a bound, and took more than a third of the search for a misspelt name.

/// The longest name that is compared, in bytes; one of crates.io has 64.
const LONGEST: usize = 70;

/// Returns how many letters must be put in, left out, replaced or swapped with the next to make one name of the other (the optimal
/// string alignment distance, of bytes), if that is at most `most`.
pub(super) fn typing_errors(one: &[u8], other: &[u8], most: u8) -> Option<u8> {
    if one.len() > LONGEST || other.len() > LONGEST {
        return None;
    }
    let (far, reach) = (most + 1, usize::from(most));
    // Of the distances of the beginnings of both only those can matter that are as long, but for `most` letters.
    let mut before = [far; LONGEST + 2];
    let mut last = [far; LONGEST + 2];
    let mut row = [far; LONGEST + 2];
    for (distance, at) in (0..=most).zip(&mut last) {
        *at = distance;
    }
    for at in 1..=one.len() {
        let (first, end) = (
            at.saturating_sub(reach).max(1),
            (at + reach).min(other.len()),
        );
        row[first - 1] = match first {
            1 => u8::try_from(at).map_or(far, |at| at.min(far)),
            _ => far,
        };
        let mut least = row[first - 1];
        for to in first..=end {
            let replaced = last[to - 1] + u8::from(one[at - 1] != other[to - 1]);
            let mut distance = replaced.min(last[to] + 1).min(row[to - 1] + 1);
            let is_swapped = at > 1 && to > 1 && one[at - 2..at] == [other[to - 1], other[to - 2]];
            if is_swapped {
                distance = distance.min(before[to - 2] + 1);
            }
            row[to] = distance.min(far);
            least = least.min(distance);
        }
        row[end + 1] = far;
        // Also where a swap goes on from the row before: what was replaced there is in this one.
        if least > most {
            return None;
        }
        (before, last, row) = (last, row, before);
    }
    Some(last[other.len()]).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strsim::osa_distance;

    use super::*;

    proptest! {
        #[test]
        fn they_are_those_that_strsim_counts(one in "[ab-]{0,9}", other in "[ab-]{0,9}", most in 0..4_u8) {
            let found = typing_errors(one.as_bytes(), other.as_bytes(), most);
            let counted = u8::try_from(osa_distance(&one, &other)).unwrap_or(u8::MAX);
            prop_assert_eq!(found, Some(counted).filter(|errors| *errors <= most));
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_near_none() {
        let long = vec![b'a'; LONGEST];
        assert_eq!(typing_errors(&long, &long, 2), Some(0));
        assert_eq!(typing_errors(&long, &long[2..], 2), Some(2));
        let longer = vec![b'a'; LONGEST + 1];
        assert_eq!(typing_errors(&longer, &longer, 2), None);
    }
}
