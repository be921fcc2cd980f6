//! Parses the text of one value, wherever it was given; an error states what was expected.

pub(super) mod addresses;
pub(super) mod catalog;
pub(super) mod durations;
pub(super) mod git;
pub(super) mod numbers;
pub(super) mod paths;
pub(super) mod policy;
pub(super) mod serve;
pub(super) mod smtp;
#[cfg(test)]
mod tests;
pub(super) mod trigger;
pub(super) mod trusted;

/// Parses a value's text, or returns what was expected.
pub(super) type Parse<T> = fn(&str) -> Result<T, String>;
