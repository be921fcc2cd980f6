//! The URLs of a repository, and where a redirect may lead.
//!
//! Redirects are followed here, not by reqwest: its policy cannot tell the advertisement, which git lets a server redirect, from
//! a push, whose body and credentials must not go elsewhere.

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use url::Url;

use super::reach::Refused;
use crate::error::{Error, Kind, Result};
use crate::transport::Service;

const INFO_REFS: &str = "/info/refs";

/// Returns a repository's URL without user, password, query, fragment and trailing slash.
pub(super) fn base(url: &Url) -> Result<Url> {
    if !is_http(url) {
        let message = format!("{} is not an http or https URL", shown(url));
        return Err(Error::new(Kind::Config, message));
    }
    let mut base = without_user(url.clone());
    base.set_query(None);
    base.set_fragment(None);
    let path = base.path().trim_end_matches('/').to_owned();
    base.set_path(&path);
    Ok(base)
}

/// Returns the URL of a service's advertisement.
pub(super) fn info_refs(base: &Url, service: Service) -> Url {
    let mut url = below(base, INFO_REFS);
    url.set_query(Some(&format!("service={}", service.name())));
    url
}

/// Returns the URL of a service's requests.
pub(super) fn endpoint(base: &Url, service: Service) -> Url {
    below(base, &format!("/{}", service.name()))
}

fn below(base: &Url, part: &str) -> Url {
    let mut url = base.clone();
    // At the root of a server the path is `/` even after `base` has trimmed it: a `Url` has no empty one.
    let path = format!("{}{part}", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Returns the repository's URL of an advertisement's, as git does: a redirect must keep `/info/refs` at the end.
pub(super) fn base_of_info_refs(url: &Url) -> Result<Url> {
    match url.path().strip_suffix(INFO_REFS) {
        Some(path) => {
            let mut repository = url.clone();
            repository.set_path(path);
            base(&repository)
        }
        None => Err(Error::new(
            Kind::Server,
            format!(
                "redirects led to {}, which is not the URL of a repository",
                shown(url)
            ),
        )
        .advise(
            "Check the URL, and whether the repository is public: a login page responds like this.",
        )),
    }
}

/// Says whether a status is a redirect.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns where a redirect leads; from `https` only to `https`.
pub(super) fn target(from: &Url, location: Option<&HeaderValue>) -> Result<Url> {
    let target = location
        .and_then(|location| location.to_str().ok())
        .and_then(|location| from.join(location).ok());
    let Some(target) = target else {
        let message = format!("{} redirects without a usable Location", shown(from));
        return Err(Error::new(Kind::Server, message));
    };
    // Whoever can answer in place of a plain http server could otherwise read and change the pack unseen.
    if !is_http(&target) || (from.scheme() == "https" && target.scheme() != "https") {
        let message = format!(
            "{} redirects to {}, which is not followed",
            shown(from),
            shown(&target)
        );
        return Err(Error::new(Kind::Config, message)
            .advise("Configure the URL that it redirects to, if you trust it: from https, only redirects to https are followed."));
    }
    Ok(without_user(target))
}

/// Makes the error of a URL that leads, itself or by a redirect, into a network that its host has no business in.
pub(super) fn out_of_reach(from: &Url, refused: &Refused) -> Error {
    let (shown, host) = (shown(from), refused.host());
    let leads_there = from.host_str().map(|host| host.trim_matches(['[', ']'])) == Some(host);
    let (message, advice) = match (leads_there, refused.is_private()) {
        (true, _) => (
            format!("{shown} is not connected to"),
            "Configure a URL whose host is not at a link-local address.",
        ),
        (false, true) => (
            format!("{shown} redirects to {host}, which is not followed"),
            "If you trust the URL that it leads to, configure that one.",
        ),
        (false, false) => (
            format!("{shown} redirects to {host}, which is not followed"),
            "Ask the administrator of that server why it redirects there.",
        ),
    };
    Error::new(Kind::Config, message)
        .because(refused.to_string())
        .advise(advice)
}

/// Makes the error of a redirect loop, which a retry would follow again.
pub(super) fn too_many(base: &Url, limit: usize) -> Error {
    let message = format!("{} redirects more than {limit} times", shown(base));
    Error::new(Kind::Config, message)
        .advise("Set the URL to that of the repository itself. If it already is, the server is misconfigured: its redirects form a loop.")
}

/// Returns a URL for messages, without user, password and query.
pub(super) fn shown(url: &Url) -> String {
    let mut url = without_user(url.clone());
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Removes user and password: those of a redirect would be sent as if they were ours.
fn without_user(mut url: Url) -> Url {
    // Both fail only for URLs that cannot have a user anyway.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn follow(from: &str, location: &'static str) -> Result<String> {
        target(&url(from), Some(&HeaderValue::from_static(location))).map(String::from)
    }

    #[test]
    fn a_base_has_no_user_query_or_last_slash() {
        let base = base(&url("https://u:p@git.example:8443/a/b.git//?x#y")).unwrap();
        assert_eq!(base.as_str(), "https://git.example:8443/a/b.git");
    }

    #[test]
    fn a_scheme_that_is_not_http_is_refused() {
        let error = base(&url("ftp://git.example/a")).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
    }

    #[test]
    fn services_lie_below_the_base_also_at_the_root_of_a_server() {
        let base = base(&url("https://git.example/")).unwrap();
        assert_eq!(
            info_refs(&base, Service::UploadPack).as_str(),
            "https://git.example/info/refs?service=git-upload-pack"
        );
        assert_eq!(
            endpoint(&base, Service::ReceivePack).as_str(),
            "https://git.example/git-receive-pack"
        );
    }

    #[test]
    fn the_base_follows_a_redirected_advertisement() {
        let found = base_of_info_refs(&url("https://b.example/x.git/info/refs?service=s")).unwrap();
        assert_eq!(found.as_str(), "https://b.example/x.git");
        let error = base_of_info_refs(&url("https://b.example/sign_in")).unwrap_err();
        assert_eq!(error.kind(), Kind::Server);
    }

    #[test]
    fn a_redirect_may_be_relative_and_may_gain_tls() {
        let from = "http://a.example/x/info/refs?service=s";
        assert_eq!(
            follow(from, "/x.git/info/refs?service=s").unwrap(),
            "http://a.example/x.git/info/refs?service=s"
        );
        assert_eq!(
            follow(from, "https://a.example/x/info/refs").unwrap(),
            "https://a.example/x/info/refs"
        );
    }

    #[test]
    fn a_redirect_may_not_lose_tls_or_leave_http() {
        for location in [
            "http://a.example/x",
            "file:///etc/passwd",
            "ftp://a.example",
        ] {
            let error = follow("https://a.example/x", location).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{location}");
        }
        assert!(follow("http://a.example/x", "file:///etc/passwd").is_err());
    }

    #[test]
    fn a_user_in_a_redirect_is_dropped_and_never_shown() {
        let target = follow("https://a.example/", "https://u:secret@b.example/x?token=t").unwrap();
        assert_eq!(target, "https://b.example/x?token=t");
        assert_eq!(
            shown(&url("https://u:secret@b.example/x?token=t#f")),
            "https://b.example/x"
        );
    }

    #[test]
    fn a_redirect_that_leads_nowhere_is_an_error() {
        let error = target(&url("https://a.example/"), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Server);
    }
}
