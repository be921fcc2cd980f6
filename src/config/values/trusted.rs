//! Rules about which jobs of CI may publish which crates.

use std::collections::BTreeMap;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use url::{Host, Url};

use super::addresses::LONGEST;
use crate::index::NamePattern;

/// The names in the mapping of a rule.
pub(in super::super) const PARTS: [&str; 12] = [
    "issuer",
    "audience",
    "project",
    "crates",
    "protected",
    "ref",
    "environment",
    "project_id",
    "repository_owner_id",
    "job_workflow_ref",
    "workflow_ref",
    "ci_config_ref_uri",
];
/// What no rule is without.
const NEEDED: [&str; 4] = ["issuer", "audience", "project", "crates"];

/// Which jobs may publish which crates: all that it names must be in the job's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedRule {
    /// Who signs the token, as the token says it.
    pub issuer: String,
    /// For whom the token is.
    pub audience: String,
    /// The project whose job it is: its path at GitLab, the repository at GitHub and Forgejo.
    pub project: ClaimPattern,
    /// What the job may publish.
    pub crates: Vec<NamePattern>,
    /// Whether the job must run for a protected branch or tag.
    pub protected: bool,
    /// The branch or tag.
    pub reference: Option<ClaimPattern>,
    /// The environment of the job.
    pub environment: Option<ClaimPattern>,
    /// GitLab's number of the project, which a new project of that path does not have.
    pub project_id: Option<String>,
    /// GitHub's number of the owner, which a new account of that name does not have.
    pub repository_owner_id: Option<String>,
    /// The workflow at GitHub.
    pub job_workflow_ref: Option<ClaimPattern>,
    /// The workflow at Forgejo, and at GitHub the one that began the run.
    pub workflow_ref: Option<ClaimPattern>,
    /// The configuration of the pipeline at GitLab.
    pub ci_config_ref_uri: Option<ClaimPattern>,
}

/// A text, or with `*` several: it stands for any characters but `/`, and `**` between two `/` for any at all. Case matters.
#[derive(Debug, Clone)]
pub struct ClaimPattern {
    text: String,
    glob: GlobMatcher,
}

impl ClaimPattern {
    /// Says whether it means this text.
    pub fn means(&self, text: &str) -> bool {
        self.glob.is_match(text)
    }

    fn read(text: &str) -> Result<Self, String> {
        // What else globs have would be taken for more than it says.
        if text.is_empty() || text.contains(|c: char| c.is_control() || "?[]{}!\\".contains(c)) {
            return Err(format!(
                "expected a text, in which `*` may stand for others, found `{}`",
                text.escape_debug()
            ));
        }
        let mut glob = GlobBuilder::new(text);
        let glob = glob.literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|error| format!("`{}`: {}", text.escape_debug(), error.kind()))?;
        Ok(Self {
            text: text.to_owned(),
            glob: glob.compile_matcher(),
        })
    }
}

impl fmt::Display for ClaimPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ClaimPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ClaimPattern {}

/// Reads a rule in one line: `issuer=https://gitlab.example.com audience=crates-ferry project=rust/* crates=acme-*`. A value with
/// white space is in quotes, as in a shell.
pub(in super::super) fn trusted(text: &str) -> Result<TrustedRule, String> {
    let words = shlex::split(text).ok_or("a quote is not closed")?;
    let mut parts = BTreeMap::new();
    for word in &words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let Some(known) = PARTS.into_iter().find(|known| *known == name) else {
            return Err(unknown(name));
        };
        if parts.insert(known, value).is_some() {
            return Err(format!("`{known}` is given twice"));
        }
    }
    if let Some(missing) = NEEDED.into_iter().find(|name| !parts.contains_key(name)) {
        return Err(format!(
            "`{missing}` is missing; needed are {}",
            NEEDED.join(", ")
        ));
    }
    let given = |name: &str| parts.get(name).copied();
    let needed = |name: &str| given(name).unwrap_or_default();
    let of = |name: &'static str| move |why: String| format!("{name}: {why}");
    let pattern = |name: &'static str| {
        let read = given(name).map(ClaimPattern::read).transpose();
        read.map_err(of(name))
    };
    let id = |name: &'static str| given(name).map(number).transpose().map_err(of(name));
    Ok(TrustedRule {
        issuer: issuer(needed("issuer")).map_err(of("issuer"))?,
        audience: match needed("audience") {
            "" => return Err("audience: expected a text".to_owned()),
            audience => audience.to_owned(),
        },
        project: project(needed("project")).map_err(of("project"))?,
        crates: crates(needed("crates")).map_err(of("crates"))?,
        protected: match given("protected") {
            None => true,
            Some(text) => super::numbers::yes_or_no(text).map_err(of("protected"))?,
        },
        reference: pattern("ref")?,
        environment: pattern("environment")?,
        project_id: id("project_id")?,
        repository_owner_id: id("repository_owner_id")?,
        job_workflow_ref: pattern("job_workflow_ref")?,
        workflow_ref: pattern("workflow_ref")?,
        ci_config_ref_uri: pattern("ci_config_ref_uri")?,
    })
}

/// Makes the text of a rule, as [`trusted`] reads it.
pub(in super::super) fn in_one_line(parts: &[(String, String)]) -> Result<String, String> {
    let words = parts.iter().map(|(name, value)| format!("{name}={value}"));
    let words: Vec<_> = words.collect();
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| "a value has a character that no text has".to_owned())
}

/// Says which names there are.
pub(in super::super) fn unknown(name: &str) -> String {
    format!(
        "unknown key `{}`; known here: {}",
        name.escape_debug(),
        PARTS.join(", ")
    )
}

/// Reads an issuer, which is compared as it is written.
fn issuer(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected an address such as https://gitlab.example.com";
    let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
    let has_more = url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    if has_more || text.len() > LONGEST || text.contains(char::is_whitespace) {
        return Err(format!("{EXPECTED}, and nothing behind or before it"));
    }
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        // Nobody is in between.
        "http" if is_here => Ok(text.to_owned()),
        _ => Err(format!("{EXPECTED}: its keys must come over TLS")),
    }
}

/// Reads the path of a project. Its first part is a name: at a host that is open to all, anybody may make a group that a pattern
/// means.
fn project(text: &str) -> Result<ClaimPattern, String> {
    let pattern = ClaimPattern::read(text)?;
    let parts: Vec<_> = text.split('/').collect();
    let is_path = parts.len() > 1 && !parts.iter().any(|part| matches!(*part, "" | "." | ".."));
    match is_path && !parts[0].contains('*') {
        true => Ok(pattern),
        false => Err(format!(
            "expected a path such as rust/* or acme/core, whose first part has no `*`, found `{}`",
            text.escape_debug()
        )),
    }
}

fn crates(text: &str) -> Result<Vec<NamePattern>, String> {
    let names = text.split(',').map(str::trim);
    names.map(str::parse).collect()
}

fn number(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected a number, found `{}`",
            text.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const RULE: &str =
        "issuer=https://gitlab.example.com audience=crates-ferry project=rust/* crates=acme-*";

    #[test]
    fn a_rule_needs_a_protected_branch_unless_it_says_otherwise() {
        let rule = trusted(RULE).unwrap();
        assert_eq!(rule.issuer, "https://gitlab.example.com");
        assert_eq!(rule.audience, "crates-ferry");
        assert!(rule.protected && rule.reference.is_none() && rule.project_id.is_none());
        let rule = trusted(&format!(
            "{RULE} protected=false ref=main 'environment=to publish' project_id=17 ci_config_ref_uri=gitlab.example.com/rust/*//.gitlab-ci.yml@refs/heads/main"
        ));
        let rule = rule.unwrap();
        assert!(!rule.protected);
        assert!(rule.environment.unwrap().means("to publish"));
        assert_eq!(rule.project_id.as_deref(), Some("17"));
        let config = rule.ci_config_ref_uri.unwrap();
        assert!(config.means("gitlab.example.com/rust/core//.gitlab-ci.yml@refs/heads/main"));
        assert!(!config.means("gitlab.example.com/rust/a/b//.gitlab-ci.yml@refs/heads/main"));
    }

    #[test]
    fn a_star_stops_at_a_slash() {
        let means = |pattern: &str, text: &str| ClaimPattern::read(pattern).unwrap().means(text);
        assert!(means("rust/*", "rust/core") && means("rust/*", "rust/a.b"));
        for text in [
            "rust/a/b",
            "rust",
            "rust-evil/core",
            "evil/rust/core",
            "Rust/core",
            "rust/",
        ] {
            assert!(!means("rust/*", text) || text == "rust/", "{text}");
        }
        assert!(means("rust/**", "rust/a/b") && !means("rust/**", "evil/rust/a"));
        assert!(means("rust/acme-*", "rust/acme-core") && !means("rust/acme-*", "rust/acme-a/b"));
        assert!(means("v*", "v1.0.0") && !means("v*", "v1/0"));
    }

    #[test]
    fn a_rule_that_would_trust_what_nobody_meant_is_refused() {
        for (from, to, why) in [
            ("project=rust/*", "project=*", "whose first part has no `*`"),
            (
                "project=rust/*",
                "project=*/*",
                "whose first part has no `*`",
            ),
            (
                "project=rust/*",
                "project=rust-*/core",
                "whose first part has no `*`",
            ),
            ("project=rust/*", "project=rust", "expected a path"),
            ("project=rust/*", "project=rust/x/", "expected a path"),
            ("project=rust/*", "project=/rust/x", "expected a path"),
            ("project=rust/*", "project=rust//x", "expected a path"),
            ("project=rust/*", "project=rust/../x", "expected a path"),
            ("project=rust/*", "project={rust,evil}/*", "expected a text"),
            ("project=rust/*", "", "`project` is missing"),
            (
                "crates=acme-*",
                "crates=",
                "neither a crate name nor a pattern",
            ),
            (
                "crates=acme-*",
                "crates=acme-*,",
                "neither a crate name nor a pattern",
            ),
            ("crates=acme-*", "", "`crates` is missing"),
            ("audience=crates-ferry", "audience=", "audience: expected"),
            (
                "https://gitlab.example.com",
                "http://gitlab.example.com",
                "over TLS",
            ),
            (
                "https://gitlab.example.com",
                "https://me@gitlab.example.com",
                "nothing behind or before",
            ),
            (
                "https://gitlab.example.com",
                "gitlab.example.com",
                "expected an address",
            ),
            (
                "crates=acme-*",
                "crates=acme-* protect=false",
                "unknown key `protect`",
            ),
            ("crates=acme-*", "crates=acme-* crates=b", "given twice"),
            (
                "crates=acme-*",
                "crates=acme-* protected=maybe",
                "protected: expected",
            ),
            (
                "crates=acme-*",
                "crates=acme-* project_id=rust",
                "project_id: expected a number",
            ),
            (
                "crates=acme-*",
                "crates=acme-* 'ref=main",
                "a quote is not closed",
            ),
        ] {
            let text = RULE.replace(from, to);
            let said = trusted(&text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        for here in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(trusted(&RULE.replace("https://gitlab.example.com", here)).is_ok());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", value in "\\PC*") {
            let _ = trusted(&text);
            let _ = ClaimPattern::read(&text).map(|pattern| pattern.means(&value));
            if let Ok(line) = in_one_line(&[("audience".to_owned(), value.clone())]) {
                // What YAML has is read as it was.
                prop_assert_eq!(shlex::split(&line), Some(vec![format!("audience={value}")]));
            }
        }

        #[test]
        fn a_star_never_stands_for_a_slash(before in "[a-z/]{0,4}", star in "[a-z/.-]{0,6}", after in "[a-z/]{0,4}") {
            let pattern = ClaimPattern::read(&format!("x{before}*{after}"));
            let text = format!("x{before}{star}{after}");
            let slashes = |text: &str| text.matches('/').count();
            if let Ok(pattern) = pattern {
                // Also where other parts of the text could be what the star stands for.
                let is_meant = pattern.means(&text);
                prop_assert!(is_meant || star.contains('/'), "{}", text);
                let wanted = slashes(&before) + slashes(&after);
                prop_assert!(!is_meant || slashes(&text) == wanted, "{}", text);
            }
        }
    }
}
