//! What the holder of a token may do.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::index::{CrateName, NamePattern, folded};

/// One thing that a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// To read: the mirror, and the crates of one's own.
    Read,
    /// To publish the crates that the pattern means, and to change their owners.
    Publish(NamePattern),
    /// To yank versions of the crates that the pattern means, and to undo that.
    Yank(NamePattern),
    /// Everything.
    Admin,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected read, publish:GLOB, yank:GLOB or admin, such as publish:acme-*";
        let pattern = |glob: &str| {
            let pattern: Result<NamePattern, String> = glob.parse();
            pattern.map_err(|why| format!("{EXPECTED}: {why}"))
        };
        match text.split_once(':') {
            None if text == "read" => Ok(Self::Read),
            None if text == "admin" => Ok(Self::Admin),
            Some(("publish", glob)) => pattern(glob).map(Self::Publish),
            Some(("yank", glob)) => pattern(glob).map(Self::Yank),
            _ => Err(format!("{EXPECTED}, found `{}`", text.escape_debug())),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Publish(pattern) => write!(f, "publish:{pattern}"),
            Self::Yank(pattern) => write!(f, "yank:{pattern}"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

/// All that a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Allows these.
    pub fn new(scopes: Vec<Scope>) -> Self {
        Self(scopes)
    }

    /// Allows to read, and nothing else.
    pub fn reading() -> Self {
        Self(vec![Scope::Read])
    }

    /// Says whether it may read the mirror, and the crates of one's own.
    pub fn may_read(&self) -> bool {
        self.allow(|scope| matches!(scope, Scope::Read))
    }

    /// Says whether it may publish this crate. That the holder is one of the crate's owners is another question.
    pub fn may_publish(&self, name: &CrateName) -> bool {
        let folded = folded(name.as_str());
        self.allow(|scope| matches!(scope, Scope::Publish(pattern) if pattern.means(&folded)))
    }

    /// Says whether it may yank versions of this crate. That the holder is one of the crate's owners is another question.
    pub fn may_yank(&self, name: &CrateName) -> bool {
        let folded = folded(name.as_str());
        self.allow(|scope| matches!(scope, Scope::Yank(pattern) if pattern.means(&folded)))
    }

    /// Says whether there is any crate that it may publish.
    pub fn may_publish_any(&self) -> bool {
        self.allow(|scope| matches!(scope, Scope::Publish(_)))
    }

    /// Says whether there is any crate whose versions it may yank.
    pub fn may_yank_any(&self) -> bool {
        self.allow(|scope| matches!(scope, Scope::Yank(_)))
    }

    /// Says whether it may do everything.
    pub fn is_admin(&self) -> bool {
        self.0.contains(&Scope::Admin)
    }

    /// Returns each scope, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    fn allow(&self, is_meant: impl Fn(&Scope) -> bool) -> bool {
        self.is_admin() || self.0.iter().any(is_meant)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(Scope::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// Who holds a token, and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the token; of a job of CI its project, which has a `/` and so is no token's name.
    pub name: Box<str>,
    /// What it allows.
    pub scopes: Scopes,
    /// When it ends to be valid, if it does.
    pub expires: Option<Timestamp>,
    /// The id of a token that was exchanged for that of a job of CI. Such a holder counts as owner of the crates that it may
    /// publish.
    pub job: Option<Box<str>>,
}

impl Holder {
    /// Says whether the token is valid no more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Says whether it is an owner of a crate by its scopes alone, whoever the crate's owners are: one that may do everything is,
    /// and so is a job of CI that a rule lets publish the crate.
    pub fn counts_as_owner_of(&self, name: &CrateName) -> bool {
        self.scopes.is_admin() || (self.job.is_some() && self.scopes.may_publish(name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::new(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn each_scope_allows_what_it_says_and_no_more() {
        let name = |text: &str| CrateName::new(text).unwrap();
        let (ours, other) = (name("Acme_Core"), name("serde"));
        let of = |texts: &[&str]| {
            let scopes = scopes(texts);
            [
                scopes.may_read(),
                scopes.may_publish(&ours),
                scopes.may_yank(&ours),
                scopes.may_publish(&other) || scopes.may_yank(&other),
                scopes.is_admin(),
            ]
        };
        assert_eq!(of(&[]), [false; 5]);
        assert_eq!(of(&["read"]), [true, false, false, false, false]);
        assert_eq!(of(&["publish:acme-*"]), [false, true, false, false, false]);
        assert_eq!(of(&["yank:acme-*"]), [false, false, true, false, false]);
        assert_eq!(
            of(&["read", "publish:acme-core"]),
            [true, true, false, false, false]
        );
        assert_eq!(of(&["publish:*"]), [false, true, false, true, false]);
        assert_eq!(of(&["admin"]), [true; 5]);
    }

    #[test]
    fn a_scope_is_written_as_it_is_read() {
        for text in ["read", "publish:acme-*", "yank:Acme_core", "admin"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "write",
            "Read",
            "read:acme",
            "publish",
            "publish:",
            "publish:a b",
            "yank:acme-?",
            "admin:x",
            "publish:acme-*,yank",
        ] {
            let refused = text.parse::<Scope>().unwrap_err();
            assert!(
                refused.starts_with("expected read, publish:GLOB"),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn a_job_counts_as_owner_of_its_crates_and_a_token_does_not() {
        let holder = |texts: &[&str], job: Option<&str>| Holder {
            name: "x".into(),
            scopes: scopes(texts),
            expires: None,
            job: job.map(Into::into),
        };
        let name = |text: &str| CrateName::new(text).unwrap();
        let job = holder(&["publish:acme-*"], Some("id"));
        assert!(job.counts_as_owner_of(&name("acme-core")));
        assert!(!job.counts_as_owner_of(&name("serde")));
        assert!(!holder(&["publish:acme-*"], None).counts_as_owner_of(&name("acme-core")));
        assert!(holder(&["admin"], None).counts_as_owner_of(&name("serde")));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in prop_oneof!["\\PC*", "(read|publish|yank|admin)?:?[a-z*-]{0,4}"]) {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
