//! What is meant as an address and is read as something else, or as none: each is refused with the form that works.

use std::path::Path;

use url::Url;

use super::parse::check_host;

/// What people put behind a repository's address when they copy it from a browser, followed by a branch or a commit.
const VIEWS: [&str; 5] = ["tree", "blob", "blame", "commit", "commits"];
/// What follows `src` in the pages of Gitea and Forgejo.
const SOURCES: [&str; 3] = ["branch", "tag", "commit"];

/// Says what is wrong with a text that would be taken for a path on this machine, if it names a host. What exists is a path.
pub(super) fn named_host(text: &str) -> Option<String> {
    let (place, path) = text.split_once('/').unwrap_or((text, ""));
    let (user, host) = match place.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, place),
    };
    // `mirror`, `mirror.git` and `srv/index` are folders; a name with a dot and something behind a slash is none.
    let is_named = user.is_some() || (!path.is_empty() && has_domain(host));
    if !is_named || check_host(host).is_err() || Path::new(text).exists() {
        return None;
    }
    let path = match path.trim_matches('/') {
        "" => "GROUP/REPOSITORY",
        path => path,
    };
    // Any other user may be a token.
    let user = user.map_or("git", |user| if user == "git" { user } else { "USER" });
    let ssh = format!("{user}@{host}:{path}");
    Some(match place.contains('@') {
        true => format!("an ssh address has a colon after the host: `{ssh}`"),
        false => format!(
            "there is no such path here; the address of a repository on a host is `https://{host}/{path}` or `{ssh}`"
        ),
    })
}

/// Says whether a name is one of the DNS with a domain, and no folder such as `index.git` or `..`.
fn has_domain(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    labels.len() > 1 && labels.iter().all(|label| !label.is_empty()) && last != "git"
}

/// Splits a path whose beginning could be a port, as in `2222/group/repository` and `2222:group/repository`.
pub(super) fn split_port(path: &str) -> Option<(u16, &str)> {
    let (first, rest) = path.split_once(['/', ':'])?;
    let port = first.parse().ok().filter(|port| *port != 0)?;
    (first.starts_with(|c: char| c.is_ascii_digit()) && !rest.is_empty()).then_some((port, rest))
}

/// Says what is wrong with `host:path` where the path begins with a port.
pub(super) fn port_in_path(place: &str, path: &str) -> Option<String> {
    let (port, rest) = split_port(path)?;
    let place = if place.contains('@') {
        place.to_owned()
    } else {
        format!("git@{place}")
    };
    let address = format!("ssh://{place}:{port}/{}", rest.trim_start_matches('/'));
    Some(format!(
        "`host:path` has no room for a port: if {port} is one, write `{address}`; if it is a part of the path, `ssh://{place}/{path}`"
    ))
}

/// Says what is wrong with an authority whose port is a path, as in `ssh://git@host:group/repository`.
pub(super) fn path_in_port(authority: &str, path: &str) -> Option<String> {
    // Without a user, what stands before the colon may be one, and what follows it a password.
    let (user, place) = authority.rsplit_once('@')?;
    let (host, first) = place.rsplit_once(':')?;
    let is_path = !first.is_empty()
        && !first.chars().all(|c| c.is_ascii_digit())
        && !user.contains(':')
        && check_host(host).is_ok();
    let user = if user == "git" { user } else { "USER" };
    is_path.then(|| {
        format!(
            "what follows the host's colon is no port: write `{user}@{host}:{first}{path}`, or `ssh://{user}@{host}/{first}{path}`"
        )
    })
}

/// Says what is wrong with the address of a page about a repository, as GitLab, GitHub, Gitea and Forgejo have them.
pub(super) fn page(url: &Url) -> Option<String> {
    let segments: Vec<&str> = url
        .path_segments()?
        .filter(|part| !part.is_empty())
        .collect();
    // Of a group and a repository at least; a path that ends like a repository's is one.
    let is_repository = segments.last().is_some_and(|last| last.ends_with(".git"));
    let end = (2..segments.len())
        .filter(|_| !is_repository)
        .find(|&at| is_view(&segments[at..]))?;
    let mut repository = url.clone();
    let path = segments[..end].join("/");
    repository.set_path(path.strip_suffix(".git").unwrap_or(&path));
    repository.set_query(None);
    repository.set_fragment(None);
    // Neither can fail: the address has a host.
    let _ = repository.set_username("");
    let _ = repository.set_password(None);
    Some(format!(
        "it is the address of a page; that of its repository is `{repository}.git`"
    ))
}

fn is_view(segments: &[&str]) -> bool {
    match segments {
        // GitLab's own names begin behind it.
        ["-", ..] => true,
        ["src", kind, _, ..] => SOURCES.contains(kind),
        [view, _, ..] => VIEWS.contains(view),
        _ => false,
    }
}
