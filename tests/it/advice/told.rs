//! What a program told at its end, without what differs from run to run.

use std::process::Output;

use super::causes::Causes;

/// Writes rows of the table.
pub struct Told {
    folder: String,
}

impl Told {
    /// Knows what to leave out.
    pub fn new(causes: &Causes) -> Self {
        Self {
            folder: causes.folder().display().to_string(),
        }
    }

    /// Returns a row: the cause, the exit code, and what was told.
    pub fn row(&self, cause: &str, output: &Output) -> String {
        let code = output.status.code().unwrap();
        let mut row = format!("\n{cause} (exit code {code})\n");
        for text in [&output.stdout, &output.stderr] {
            // Of `check`, only what it says of the mail server.
            let mut is_wanted = true;
            for line in String::from_utf8_lossy(text).lines() {
                if is_of_check(line) {
                    is_wanted = line.contains("  smtp") || line.contains("  test mail");
                }
                if is_wanted && !line.contains(" INFO ") {
                    row += &format!("  {}\n", self.settled(line));
                }
            }
        }
        row
    }

    fn settled(&self, line: &str) -> String {
        let user = crate::support::sshd::whoami();
        let line = line
            .replace(&self.folder, "FOLDER")
            .replace(&format!("user {user}"), "user USER")
            .replace(&format!("//{user}@"), "//USER@")
            .replace(
                "Temporary failure in name resolution",
                "Name or service not known",
            );
        let words = line.split_inclusive(' ');
        let settled: String = words.map(settled_word).collect();
        settled.trim_end().to_owned()
    }
}

/// Says whether a line begins another probe of `check`, or is its sum.
fn is_of_check(line: &str) -> bool {
    let begins = |status: &&str| line.starts_with(status);
    ["passed ", "skipped ", "FAILED "].iter().any(begins) || line.contains(" passed, ")
}

/// Replaces ports, times, fingerprints and keys.
fn settled_word(word: &str) -> String {
    for before in ["127.0.0.1:", "[127.0.0.1]:"] {
        let (_, number) = word.rsplit_once(before).unwrap_or_default();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        if digits.len() > 1 {
            return word.replacen(&digits, "PORT", 1);
        }
    }
    // Those of certificates are of the years 2021 and 2200.
    let is_time = word.len() >= 20 && word.as_bytes()[10] == b'T';
    if is_time && !word.starts_with("2021") && !word.starts_with("2200") {
        return "NOW ".to_owned();
    }
    match ["SHA256:", "AAAA"]
        .iter()
        .find(|start| word.starts_with(**start))
    {
        Some(start) => format!("{start}… "),
        None => word.to_owned(),
    }
}
