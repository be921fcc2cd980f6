//! Reads the text of one value, wherever it was given; a complaint says what was expected.

pub(super) mod addresses;
pub(super) mod durations;
pub(super) mod git;
pub(super) mod numbers;
pub(super) mod paths;
pub(super) mod serve;
pub(super) mod smtp;
#[cfg(test)]
mod tests;
pub(super) mod trigger;

/// Reads a value's text, or says what was expected.
pub(super) type Parse<T> = fn(&str) -> Result<T, String>;
