//! The trigger helper as a process: its endpoint, its words with GitLab, and mirrors that it keeps moving.

mod endpoint;
mod firing;
mod gitlab_stand_in;
mod hooks;
mod lost;
mod mails;
mod mirrors;
mod slow;
mod stopping;

/// Makes variables of pairs.
fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
