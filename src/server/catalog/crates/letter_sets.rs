//! Which letters each name has: a filter for names that are near another.

use super::place::Place;

/// The longest name, in bytes: what is longer is never near another.
const LONGEST: usize = 64;

/// The letters of all names, those of one length side by side, so that few are looked at for a name.
#[derive(Debug, Default)]
pub(super) struct LetterSets {
    sets: Vec<Letters>,
    /// The places of the names.
    places: Vec<Place>,
    /// Where the names of each length begin, and one more for the end.
    starts: Vec<usize>,
}

/// One bit for each letter, for two digits, and for all the rest, and 32 bits further one for those that come more than once.
type Letters = u64;

impl LetterSets {
    /// Takes all names, the first of which has place 0.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Self {
        // Sorted by counting.
        let mut starts = vec![0; LONGEST + 2];
        for name in short(names.clone()) {
            starts[name.1.len() + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let (mut sets, mut places) = (vec![0; sum], vec![0; sum]);
        let mut next = starts.clone();
        for (place, name) in short(names) {
            let at = next[name.len()];
            next[name.len()] += 1;
            (sets[at], places[at]) = (letters(name), place);
        }
        Self {
            sets,
            places,
            starts,
        }
    }

    /// Returns the places of the names that may be so many typing errors away from this one: those with nearly its letters and
    /// its length.
    pub(super) fn maybe_near(&self, name: &str, errors: usize) -> impl Iterator<Item = Place> {
        let wanted = letters(name);
        let bound = |length: usize| {
            self.starts
                .get(length.min(LONGEST + 1))
                .copied()
                .unwrap_or(0)
        };
        let those = bound(name.len().saturating_sub(errors))..bound(name.len() + errors + 1);
        let sets = self.sets[those.clone()].iter();
        // An error removes at most one letter and adds at most one.
        let near = sets.map(move |letters| (letters ^ wanted).count_ones() as usize <= 2 * errors);
        let near = near.zip(&self.places[those]);
        near.filter_map(|(is_near, place)| is_near.then_some(*place))
    }
}

/// Numbers the names, and leaves out those that are too long.
fn short<'n>(names: impl Iterator<Item = &'n str>) -> impl Iterator<Item = (Place, &'n str)> {
    (0..).zip(names).filter(|(_, name)| name.len() <= LONGEST)
}

fn letters(name: &str) -> Letters {
    let (mut once, mut again) = (0_u32, 0_u32);
    for byte in name.bytes() {
        let letter = match byte {
            b'a'..=b'z' => byte - b'a',
            b'0'..=b'9' => 26 + (byte - b'0') / 2,
            _ => 31,
        };
        again |= once & 1 << letter;
        once |= 1 << letter;
    }
    u64::from(again) << 32 | u64::from(once)
}
