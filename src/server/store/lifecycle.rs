//! Lifecycle rules of a bucket, by which its server removes or archives objects: which of them would take what nothing can bring back.
//!
//! object_store has no call for them. It signs the request, which is that of S3's `GetBucketLifecycleConfiguration`, and quick-xml reads
//! the answer.

use std::time::Duration;

use axum::http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use object_store::client::HttpRequestBody;
use object_store::path::Path as Key;
use object_store::signer::{SignedUrlOptions, Signer as _};
use serde::Deserialize;

use super::bucket::Bucket;
use crate::error::{Error, Kind, Result};

/// How long the signature of the request is valid.
const VALID: Duration = Duration::from_secs(60);
/// The most bytes of an answer: there are at most 1,000 rules.
const BODY: usize = 1 << 20;
/// What S3 says of a bucket without rules.
const NONE: &str = "NoSuchLifecycleConfiguration";

/// What is known of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// The server does not say, for this reason.
    Unknown(String),
    /// It has these rules, as far as they do anything to objects.
    Known(Vec<LifecycleRule>),
}

/// A rule that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// What its owner calls it.
    pub name: String,
    /// What the keys begin with that it is about.
    pub prefix: String,
    /// Whether objects are removed; else they are moved to where they cannot be read at once.
    pub is_removing: bool,
}

impl LifecycleRule {
    /// Says whether it is about any object whose key begins so.
    pub fn touches(&self, prefix: &str) -> bool {
        self.prefix.starts_with(prefix) || prefix.starts_with(&self.prefix)
    }
}

impl Bucket {
    /// Asks for the rules of the bucket that touch a folder below its prefix, or all below that.
    ///
    /// # Errors
    /// `network` if the server cannot be reached, `server` if its answer cannot be read.
    pub(super) async fn lifecycle(&self, folder: &str) -> Result<Lifecycle> {
        let mut found = self.all_rules().await?;
        if let Lifecycle::Known(rules) = &mut found {
            let prefix = match folder {
                "" => self.prefix.clone(),
                folder => self.prefix.clone().join(folder),
            };
            let prefix = match prefix.as_ref() {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            };
            rules.retain(|rule| rule.touches(&prefix));
        }
        Ok(found)
    }

    async fn all_rules(&self) -> Result<Lifecycle> {
        let failed = |kind: Kind, why: &str| {
            let place = &self.place;
            let said = format!("cannot ask for the lifecycle rules of {place}: {why}");
            Error::new(kind, said)
        };
        let options = SignedUrlOptions::new().with_query([("lifecycle", "")]);
        let root = Key::default();
        let url = self
            .client
            .signed_url_opts(Method::GET, &root, VALID, &options);
        // Neither the address, which is signed, nor an error that may quote it is shown.
        let url = url
            .await
            .map_err(|_| failed(Kind::Network, "the request cannot be signed"))?;
        let request = Request::get(url.as_str()).body(HttpRequestBody::empty());
        let request = request.map_err(|_| failed(Kind::Network, "it cannot be asked"))?;
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|_| failed(Kind::Network, "it does not answer"))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY).collect().await;
        let body = body.map_err(|_| failed(Kind::Server, "the answer was cut, or is too long"))?;
        read(status.as_u16(), &body.to_bytes()).map_err(|why| failed(Kind::Server, &why))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default, rename = "Rule")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(default, rename = "ID")]
    id: String,
    status: String,
    /// As rules had it before there were filters.
    prefix: Option<String>,
    filter: Option<Filter>,
    expiration: Option<Expiration>,
    #[serde(default, rename = "Transition")]
    transitions: Vec<Transition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    prefix: Option<String>,
    tag: Option<serde::de::IgnoredAny>,
    and: Option<And>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct And {
    prefix: Option<String>,
    #[serde(default, rename = "Tag")]
    tags: Vec<serde::de::IgnoredAny>,
}

/// With neither it only removes marks of objects that are gone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expiration {
    days: Option<String>,
    date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transition {
    #[serde(default)]
    storage_class: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    code: String,
}

/// Reads an answer.
fn read(status: u16, body: &[u8]) -> std::result::Result<Lifecycle, String> {
    let text = str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    if status == 200 {
        let configuration: Configuration = quick_xml::de::from_str(text)
            .map_err(|_| "the answer is no lifecycle configuration".to_owned())?;
        let rules = configuration.rules.into_iter().filter_map(Rule::in_force);
        return Ok(Lifecycle::Known(rules.collect()));
    }
    let code = quick_xml::de::from_str::<Refusal>(text).map_or_else(
        |_| format!("HTTP status {status}"),
        |refusal| refusal.code.chars().take(100).collect(),
    );
    match (status, code.as_str()) {
        (_, NONE) => Ok(Lifecycle::Known(Vec::new())),
        (400..=405 | 501, _) => Ok(Lifecycle::Unknown(code)),
        _ => Err(format!("the server answered {code}")),
    }
}

impl Rule {
    /// Returns what it does to objects; `None` if that is nothing, or only to those with tags, which ours do not have.
    fn in_force(self) -> Option<LifecycleRule> {
        let filter = self.filter.unwrap_or_default();
        let and = filter.and.unwrap_or_default();
        let is_for_tagged = filter.tag.is_some() || !and.tags.is_empty();
        let expiration = self.expiration.as_ref();
        let is_removing = expiration.is_some_and(|end| end.days.is_some() || end.date.is_some());
        // From the others, as from the first class, an object is read at once.
        let is_archiving = self
            .transitions
            .iter()
            .any(|to| matches!(to.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE"));
        let does_anything = self.status == "Enabled" && (is_removing || is_archiving);
        (does_anything && !is_for_tagged).then(|| LifecycleRule {
            name: self.id,
            prefix: [filter.prefix, and.prefix, self.prefix]
                .into_iter()
                .flatten()
                .next()
                .unwrap_or_default(),
            is_removing,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rules(xml: &str) -> Vec<(String, String, bool)> {
        let xml = format!("<LifecycleConfiguration>{xml}</LifecycleConfiguration>");
        let Lifecycle::Known(rules) = read(200, xml.as_bytes()).unwrap() else {
            panic!("{xml}")
        };
        let rules = rules.into_iter();
        rules
            .map(|rule| (rule.name, rule.prefix, rule.is_removing))
            .collect()
    }

    fn rule(filter: &str, status: &str, action: &str) -> String {
        format!("<Rule><ID>r</ID>{filter}<Status>{status}</Status>{action}</Rule>")
    }

    #[test]
    fn a_rule_counts_that_removes_or_archives_objects_like_ours() {
        let expire = "<Expiration><Days>30</Days></Expiration>";
        let archive = "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
        let found =
            |prefix: &str, is_removing| vec![("r".to_owned(), prefix.to_owned(), is_removing)];
        for (filter, prefix) in [
            ("<Filter><Prefix>kept/</Prefix></Filter>", "kept/"),
            ("<Prefix>kept/</Prefix>", "kept/"),
            ("<Filter/>", ""),
            ("<Filter><Prefix></Prefix></Filter>", ""),
            (
                "<Filter><And><Prefix>a</Prefix><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter>",
                "a",
            ),
            (
                "<Filter><ObjectSizeLessThan>5</ObjectSizeLessThan></Filter>",
                "",
            ),
        ] {
            assert_eq!(rules(&rule(filter, "Enabled", expire)), found(prefix, true));
        }
        assert_eq!(
            rules(&rule("<Filter/>", "Enabled", archive)),
            found("", false)
        );
        let both = rule("<Filter/>", "Enabled", expire) + &rule("<Filter/>", "Enabled", archive);
        assert_eq!(rules(&both).len(), 2);
        let tagged = "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>";
        let marks =
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
        let cheaper =
            "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>";
        let parts = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
        for harmless in [
            rule("<Filter/>", "Disabled", expire),
            rule(tagged, "Enabled", expire),
            rule("<Filter/>", "Enabled", marks),
            rule("<Filter/>", "Enabled", cheaper),
            rule("<Filter/>", "Enabled", parts),
        ] {
            assert_eq!(rules(&harmless), [], "{harmless}");
        }
    }

    #[test]
    fn a_rule_touches_what_is_below_its_prefix_or_above() {
        let touches = |rule: &str, prefix: &str| {
            let rule = LifecycleRule {
                name: String::new(),
                prefix: rule.to_owned(),
                is_removing: true,
            };
            rule.touches(prefix)
        };
        for rule in ["", "kept", "kept/private/", "kept/private/ac"] {
            assert!(touches(rule, "kept/private/"), "{rule}");
        }
        for rule in ["kept/ac", "other", "kept/privately"] {
            assert!(!touches(rule, "kept/private/"), "{rule}");
        }
    }

    #[test]
    fn an_answer_without_rules_says_none_or_that_it_says_nothing() {
        let error = |code: &str| format!("<Error><Code>{code}</Code><Message>x</Message></Error>");
        let none = read(404, error(NONE).as_bytes()).unwrap();
        assert_eq!(none, Lifecycle::Known(Vec::new()));
        for (status, code) in [(403, "AccessDenied"), (501, "NotImplemented")] {
            let unknown = read(status, error(code).as_bytes()).unwrap();
            assert_eq!(unknown, Lifecycle::Unknown(code.to_owned()));
        }
        assert_eq!(
            read(405, b"no").unwrap(),
            Lifecycle::Unknown("HTTP status 405".to_owned())
        );
        for (status, body) in [
            (200, "<html>"),
            (200, "no"),
            (503, "<Error><Code>SlowDown</Code></Error>"),
        ] {
            assert!(read(status, body.as_bytes()).is_err(), "{body}");
        }
    }
}
