//! The error type of the whole program: a kind, which decides the exit code, a message, advice, and the causes.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::shown;

/// The reasons for which a command fails. [`Kind::exit_code`] maps each to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A host could not be reached, a connection was cut, or a time limit passed.
    Network,
    /// A server answered 5xx, garbage, maintenance, or an internal error of its own.
    Server,
    /// Another push moved the mirror after it was read, or upstream changed during the sync.
    Race,
    /// The command line is invalid.
    Usage,
    /// A configuration value, key, known hosts file, URL or repository cannot be used.
    Config,
    /// The server's host key is unknown, changed or revoked.
    HostKey,
    /// Authentication is required, or the credentials are not accepted.
    Auth,
    /// The server denies access: a protected branch, a hook, no write access, no such project.
    Permission,
    /// The mirror has no branch yet; `init` creates it.
    EmptyMirror,
    /// `init` was run on a mirror that already has the branch, without `--adopt` or after the first commit.
    MirrorExists,
    /// Mirror and upstream changed the same path.
    Conflict,
    /// Upstream lost more of its root than `mirror.max_root_loss` allows.
    Guard,
    /// Upstream's tip is older than what the mirror has.
    Rewound,
    /// Mirror and upstream have no history in common.
    Unrelated,
    /// The mirror was created in another history mode than the requested one.
    Mode,
    /// Upstream's `config.json` cannot be used.
    UpstreamConfig,
    /// GitLab did not create the pipeline, or the pipeline failed.
    Pipeline,
    /// The mirror has been behind for too long, or its state could not be read for as long.
    Stalled,
}

impl Kind {
    /// Returns the process's exit code for this kind: 1, worth another try; 2, usage; 3, a person is needed.
    pub fn exit_code(self) -> u8 {
        // Every kind by name, without `_`: a new one must not become "a person is needed" because nobody decided.
        match self {
            Self::Network | Self::Server | Self::Race => 1,
            Self::Usage | Self::Config => 2,
            Self::HostKey
            | Self::Auth
            | Self::Permission
            | Self::EmptyMirror
            | Self::MirrorExists
            | Self::Conflict
            | Self::Guard
            | Self::Rewound
            | Self::Unrelated
            | Self::Mode
            | Self::UpstreamConfig
            | Self::Pipeline
            | Self::Stalled => 3,
        }
    }

    /// Says whether failures of this kind may pass; [`Error::is_transient`] knows more about a single one.
    pub fn is_transient(self) -> bool {
        self.exit_code() == 1
    }

    /// Returns the kind's name as the JSON report and the mails write it, for example `host_key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Server => "server",
            Self::Race => "race",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::HostKey => "host_key",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::EmptyMirror => "empty_mirror",
            Self::MirrorExists => "mirror_exists",
            Self::Conflict => "conflict",
            Self::Guard => "guard",
            Self::Rewound => "rewound",
            Self::Unrelated => "unrelated",
            Self::Mode => "mode",
            Self::UpstreamConfig => "upstream_config",
            Self::Pipeline => "pipeline",
            Self::Stalled => "stalled",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure: its kind, what failed on which URL or path (without secrets), and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    is_underway: bool,
    is_lasting: bool,
    retry_after: Option<Duration>,
}

impl Error {
    /// Makes an error with one sentence on what failed, and where; what a server put into it cannot break the line.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: shown::one_line(&message.into()).into_owned(),
            advice: None,
            source: None,
            is_underway: false,
            is_lasting: false,
            retry_after: None,
        }
    }

    /// Puts the place in front of the message, where the code that failed did not know it.
    #[must_use]
    pub fn on(mut self, place: impl fmt::Display) -> Self {
        let message = format!("{place}: {}", self.message);
        self.message = shown::one_line(&message).into_owned();
        self
    }

    /// Adds the advice: whole sentences in the imperative, on what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        // A line to copy may stand alone.
        let advice = shown::lines(&advice.into()).into_owned();
        // In debug builds only, where tests find it: poor form is no reason to replace the error by a panic.
        debug_assert!(is_sentence(&advice), "not a sentence: {advice:?}");
        self.advice = Some(advice);
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Marks an error that came up after the work had begun to ask the repositories.
    #[must_use]
    pub fn underway(mut self) -> Self {
        self.is_underway = true;
        self
    }

    /// Says whether it came up after the work had begun: then it may have begun by itself, whatever its kind is.
    pub fn is_underway(&self) -> bool {
        self.is_underway
    }

    /// Marks an error that another try meets again, although its kind says that it may pass: somebody must mend the server first.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.is_lasting = true;
        self
    }

    /// Notes for how long the server asks its clients to wait.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Returns for how long the server asks its clients to wait, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Says whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient() && !self.is_lasting
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the advice, if there is any.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// Returns the message and all causes on one line, as logs show a failure: `message: cause: cause`.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        for cause in self.causes() {
            line.push_str(": ");
            line.push_str(&cause);
        }
        line
    }

    /// Returns the causes, nearest first, each as one line; a cause that the line above it says already is left out.
    pub fn causes(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut next = self.source.as_deref().map(|e| e as &dyn StdError);
        while let Some(error) = next {
            let line = shown::one_line(&error.to_string()).into_owned();
            // Libraries often show a cause both in their own text and as `source`.
            let above = lines.last().unwrap_or(&self.message);
            if !above.contains(&line) {
                lines.push(line);
            }
            next = error.source();
        }
        lines
    }
}

/// Says whether a text begins like a sentence and ends like one; a line to copy may follow after a line break.
fn is_sentence(text: &str) -> bool {
    let begins = |letter: char| !letter.is_lowercase() && !letter.is_whitespace();
    text.starts_with(begins) && (text.ends_with(['.', '?']) || text.contains(":\n"))
}

/// The result of an operation that fails with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns an error as a row of the tables of advice that people read: what failed, whether it is tried again, what to do. Tests alone
/// make those tables.
pub fn row(cause: &str, error: &Error) -> String {
    let retry = match error.is_transient() {
        true => "tried again",
        false => "final",
    };
    let advice = error.advice().unwrap_or("(none)");
    format!(
        "{cause}\n  {} ({retry}): {}\n  help: {advice}\n",
        error.kind(),
        error.chain()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line_of_the_message_and_every_cause_once() {
        let plain = Error::new(Kind::Server, "it failed");
        assert_eq!(plain.chain(), "it failed");
        let inner = Error::new(Kind::Network, "no route").because("the cable is out");
        let outer = Error::new(Kind::Server, "it failed").because(inner);
        assert_eq!(outer.chain(), "it failed: no route: the cable is out");
        let doubled = Error::new(Kind::Network, "no route").because("no route");
        let repeated = Error::new(Kind::Server, "it failed").because(doubled);
        assert_eq!(repeated.chain(), "it failed: no route");
        let told = Error::new(Kind::Network, "a.example: no route").because("no route");
        assert_eq!(told.chain(), "a.example: no route");
    }

    #[test]
    fn no_part_of_an_error_can_pass_for_another_line_or_command_a_terminal() {
        let error = Error::new(Kind::Server, "it says a\nerror[config]: b\u{1b}[2J")
            .on("x\ny")
            .because("c\r\n  help: d\u{202e}")
            .advise("Run this:\ne\u{7}");
        assert_eq!(
            error.to_string(),
            "x / y: it says a / error[config]: b\\u{1b}[2J"
        );
        assert_eq!(error.causes(), ["c / help: d\\u{202e}"]);
        assert_eq!(error.advice(), Some("Run this:\ne\\u{7}"));
    }

    #[test]
    fn an_advice_is_one_or_more_sentences() {
        for advice in ["Try again.", "`init` does it.", "Add this line:\nhost key"] {
            assert!(is_sentence(advice), "{advice}");
        }
        for fragment in ["", "try again.", "Try again", " Try again."] {
            assert!(!is_sentence(fragment), "{fragment}");
        }
    }
}
