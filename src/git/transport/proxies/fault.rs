//! What failed at a proxy, read off what the HTTP library says.

use std::error::Error as StdError;

/// What the HTTP library says of a request that failed. hyper-util gives out the texts of its errors, and not their types.
pub(super) struct Said {
    texts: Vec<String>,
    /// The innermost text.
    pub(super) cause: String,
    is_connect: bool,
    is_dns: bool,
    is_timeout: bool,
}

/// What failed at a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It wants another user and password.
    Login,
    /// The name of the host that was asked for cannot be resolved, and the proxy was not to do it.
    Target,
    /// The proxy's own name cannot be resolved.
    Name,
    /// No connection in time.
    Silence,
    /// No connection.
    Connection,
    /// It does not connect to the host.
    Refusal,
    /// It is no proxy.
    Protocol,
}

impl Said {
    pub(super) fn by(error: &reqwest::Error) -> Self {
        let first: &(dyn StdError + 'static) = error;
        let causes = std::iter::successors(Some(first), |&error| error.source());
        let texts: Vec<String> = causes.map(ToString::to_string).collect();
        Self {
            cause: texts.last().cloned().unwrap_or_default(),
            texts,
            is_connect: error.is_connect(),
            // A SOCKS error holds back its source: only as `Debug` it tells a name from a connection.
            is_dns: error.is_dns() || format!("{error:?}").contains("\"dns error\""),
            is_timeout: error.is_timeout(),
        }
    }

    fn says(&self, words: &[&str]) -> bool {
        let is_said = |words: &&str| self.texts.iter().any(|text| text.contains(*words));
        words.iter().any(is_said)
    }

    /// Returns what failed at the proxy; `None` if nothing did.
    pub(super) fn fault(&self) -> Option<Fault> {
        const LOGIN: [&str; 3] = [
            "proxy authorization required",
            "credentials not accepted",
            "user/pass",
        ];
        const CONNECTION: [&str; 2] = [
            "tcp connect error",
            "failed to create underlying connection",
        ];
        let is_handshake = self.says(&["SOCKS handshake"]);
        Some(if self.says(&LOGIN) {
            Fault::Login
        } else if self.says(&["error resolving for socks proxy"]) {
            Fault::Target
        } else if self.is_dns {
            Fault::Name
        } else if self.is_connect && self.is_timeout {
            Fault::Silence
        } else if self.says(&CONNECTION) {
            Fault::Connection
        } else if self.says(&["tunnel error: unsuccessful", "SOCKS error"]) && !is_handshake {
            Fault::Refusal
        } else if is_handshake || self.says(&["tunnel error"]) {
            Fault::Protocol
        } else {
            return None;
        })
    }
}
