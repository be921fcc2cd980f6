//! When cargo is switched, by what the probes saw in a row. Pure.
//!
//! A single failure says little: cargo itself repeats a request. And a service that comes back often goes again. So a switch needs
//! several probes in a row that speak for it, either way.

use crate::server::cargo_config::Fallback;

/// One of the two that cargo may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    CratesIo,
    Mirror,
}

impl Side {
    /// Returns the one that cargo takes while both answer.
    pub(super) fn preferred(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Mirror => Self::CratesIo,
            Fallback::CratesIo => Self::Mirror,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::CratesIo => Self::Mirror,
            Self::Mirror => Self::CratesIo,
        }
    }
}

/// How many probes in a row it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    /// That fail, to leave the preferred side.
    pub(super) failures: u32,
    /// That succeed, to return to it.
    pub(super) successes: u32,
}

/// What the last probe calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Everything is as it should be.
    Stay,
    /// It speaks for a switch, as did those before it; there are too few yet.
    Wait {
        /// How many there are.
        so_far: u32,
        /// How many it takes.
        of: u32,
    },
    /// To the other side than now.
    Switch {
        /// How many probes spoke for it.
        after: u32,
    },
}

/// Decides after a probe of the preferred side; `before` is how many probes before it spoke for a switch.
pub(super) fn decide(
    is_on_preferred: bool,
    answers: bool,
    before: u32,
    needed: Needed,
) -> Decision {
    let of = match (is_on_preferred, answers) {
        (true, true) | (false, false) => return Decision::Stay,
        (true, false) => needed.failures,
        (false, true) => needed.successes,
    };
    let so_far = before.saturating_add(1);
    match so_far >= of {
        true => Decision::Switch { after: so_far },
        false => Decision::Wait { so_far, of },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays probes; returns after each whether the preferred side is taken.
    fn played(answers: &[bool]) -> Vec<bool> {
        let needed = Needed {
            failures: 3,
            successes: 2,
        };
        let (mut is_on_preferred, mut count) = (true, 0);
        let one = |answers: &bool| {
            match decide(is_on_preferred, *answers, count, needed) {
                Decision::Stay => count = 0,
                Decision::Wait { so_far, .. } => count = so_far,
                Decision::Switch { .. } => (is_on_preferred, count) = (!is_on_preferred, 0),
            }
            is_on_preferred
        };
        answers.iter().map(one).collect()
    }

    #[test]
    fn it_takes_several_in_a_row_either_way() {
        let (up, down) = (true, false);
        assert_eq!(played(&[up, down, down, up, down, down]), [true; 6]);
        assert_eq!(
            played(&[down, down, down, down, up, down, up, up, up]),
            [true, true, false, false, false, false, false, true, true]
        );
    }

    #[test]
    fn one_is_enough_where_one_is_needed() {
        let needed = Needed {
            failures: 1,
            successes: 1,
        };
        let switch = Decision::Switch { after: 1 };
        assert_eq!(decide(true, false, 0, needed), switch);
        assert_eq!(decide(false, true, 0, needed), switch);
        assert_eq!(decide(true, true, 7, needed), Decision::Stay);
    }
}
