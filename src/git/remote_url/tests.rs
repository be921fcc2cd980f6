#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

/// Everything that an address holds, comparable.
fn parts(remote: &RemoteUrl) -> String {
    match remote {
        RemoteUrl::Http {
            url,
            user,
            password,
        } => {
            let password = password.as_ref().map(ExposeSecret::expose_secret);
            format!("http {url} {user:?} {password:?}")
        }
        RemoteUrl::Ssh(a) => format!("ssh {} {} {} {}", a.user, a.host, a.port, a.path),
        RemoteUrl::Git { host, port, path } => format!("git {host} {port} {path}"),
        RemoteUrl::Local(path) => format!("local {}", path.display()),
    }
}

fn parsed(text: &str) -> String {
    parts(&text.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
}

#[test]
fn every_form_that_git_accepts_is_read_as_git_reads_it() {
    let table = [
        (
            "https://Host.example/a/b.git",
            "http https://host.example/a/b.git None None",
        ),
        ("http://[::1]:8080/a", "http http://[::1]:8080/a None None"),
        (
            "https://me@h.example/a",
            r#"http https://h.example/a Some("me") None"#,
        ),
        (
            "https://me:p%40ss@h.example/a",
            r#"http https://h.example/a Some("me") Some("p@ss")"#,
        ),
        (
            "https://:token@h.example/a",
            r#"http https://h.example/a None Some("token")"#,
        ),
        ("ssh://h.example/g/p.git", "ssh git h.example 22 /g/p.git"),
        (
            "ssh://me@H.example:2222/g/p.git",
            "ssh me h.example 2222 /g/p.git",
        ),
        (
            "ssh://d%2Bu@h.example/a%20b%25",
            "ssh d+u h.example 22 /a b%",
        ),
        ("ssh://me@[::1]:2222/p", "ssh me ::1 2222 /p"),
        ("ssh://h.example/~me/p", "ssh git h.example 22 ~me/p"),
        (
            "ssh://h.example/a?b#c/../d",
            "ssh git h.example 22 /a?b#c/../d",
        ),
        ("git+ssh://h.example/p", "ssh git h.example 22 /p"),
        ("ssh+git://h.example/p", "ssh git h.example 22 /p"),
        ("me@h.example:g/p.git", "ssh me h.example 22 g/p.git"),
        ("h.example:g/p.git", "ssh git h.example 22 g/p.git"),
        ("h.example:/g/p%20q", "ssh git h.example 22 /g/p%20q"),
        ("h.example:~me/p", "ssh git h.example 22 ~me/p"),
        ("h.example:/~me/p", "ssh git h.example 22 ~me/p"),
        ("me@[::1]:p", "ssh me ::1 22 p"),
        ("[::1]:p", "ssh git ::1 22 p"),
        ("[me@h.example:2222]:p", "ssh me h.example 2222 p"),
        ("me@[h.example:2222]:p", "ssh me h.example 2222 p"),
        ("git://h.example/p", "git h.example 9418 /p"),
        ("git://127.0.0.1:9999/p%2Fq", "git 127.0.0.1 9999 /p/q"),
        ("git://[::1]/~me/p", "git ::1 9418 ~me/p"),
        ("file:///srv/a%20b", "local /srv/a b"),
        ("file://localhost/srv/a", "local /srv/a"),
        ("FILE:///srv/a", "local /srv/a"),
        ("/srv/a:b", "local /srv/a:b"),
        ("./-a", "local ./-a"),
        ("../mirror", "local ../mirror"),
        ("mirror", "local mirror"),
        ("mirror.git", "local mirror.git"),
        ("srv/index", "local srv/index"),
        ("index.git/sub", "local index.git/sub"),
        ("./git@h.example/p", "local ./git@h.example/p"),
        // Nothing says that these are pages.
        (
            "https://h.example/git/src/p",
            "http https://h.example/git/src/p None None",
        ),
        (
            "https://h.example/a/b/tree",
            "http https://h.example/a/b/tree None None",
        ),
        (
            "https://h.example/g/tree/x/p.git",
            "http https://h.example/g/tree/x/p.git None None",
        ),
        // A port in brackets is one, and then so is the folder.
        ("git@[w]:W", "ssh git w 22 W"),
        ("[git@h.example:22]:2222/p", "ssh git h.example 22 2222/p"),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_an_address_is_refused_with_its_reason() {
    let table = [
        ("", "empty"),
        (" /srv/a", "space"),
        ("https://h.example/a\n", "control character"),
        ("ssh://h.example/a%0Ab", "control character"),
        ("ssh://h.example/%ff", "UTF-8"),
        ("ftp://h.example/a", "`ftp://` is not supported; https://"),
        ("s3://bucket/a", "`s3://` is not supported"),
        ("ext::sh -c id", "remote helpers"),
        ("https:///", "host"),
        ("https://h.example/a?token=x", "neither `?`"),
        ("https://-oh.example/a", "begins with `-`"),
        ("ssh://-oProxyCommand=x/p", "begins with `-`"),
        ("ssh://me:secret@h.example/p", "no password"),
        ("ssh://-l@h.example/p", "user"),
        ("ssh://h.example", "no path"),
        ("ssh://h.example/", "no path"),
        ("ssh://h.example:0/p", "port 0"),
        ("git@[h.example:0]:p", "from 1 to 65535"),
        ("http://h.example:0/p", "port 0"),
        ("ssh://h.example:99999/p", "port"),
        ("ssh://a%20b/p", "host"),
        ("git://me@h.example/p", "neither user nor password"),
        ("git:///p", "host"),
        ("-h:p", "begins with `-`"),
        ("h.example:", "no path"),
        ("h.example:-p", "begins with `-`"),
        ("me:secret@h.example:p", "no password"),
        ("me@::1:p", "remote helpers"),
        ("https:/me:secret@h.example/p", "followed by `//`"),
        ("[h.example:x]:p", "port in brackets"),
        ("file://other.example/p", "this machine"),
        ("file://relative", "this machine"),
        ("-p", "begins with `-`"),
        ("git@h.example/g/p", "`git@h.example:g/p`"),
        ("git@h/g/p", "`git@h:g/p`"),
        ("secret@h.example/g/p", "`USER@h.example:g/p`"),
        ("git@h.example", "`git@h.example:GROUP/REPOSITORY`"),
        (
            "H.example/g/p.git",
            "`https://H.example/g/p.git` or `git@H.example:g/p.git`",
        ),
        ("me:secret@h.example/g/p", "no password"),
        ("git@h.example:2222/p", "`ssh://git@h.example:2222/p`"),
        ("git@h.example:2222:g/p", "`ssh://git@h.example:2222/g/p`"),
        ("h.example:2222:/g/p", "`ssh://git@h.example:2222/g/p`"),
        ("h.example:2222/g/p", "`ssh://git@h.example/2222/g/p`"),
        ("ssh://git@h.example:g/p", "`git@h.example:g/p`"),
        ("ssh://h.example:secret/p", "port"),
        ("ssh://me:secret@h.example:g/p", "port"),
        (
            "https://h.example/g/s/p/-/tree/master?ref_type=heads",
            "`https://h.example/g/s/p.git`",
        ),
        ("https://h.example/g/p/-/", "`https://h.example/g/p.git`"),
        (
            "https://me:secret@h.example/g/p.git/tree/main",
            "`https://h.example/g/p.git`",
        ),
        (
            "https://h.example/o/r/blob/main/a/b#L3",
            "`https://h.example/o/r.git`",
        ),
        (
            "https://h.example/o/r/src/branch/main",
            "`https://h.example/o/r.git`",
        ),
    ];
    for (text, reason) in table {
        let error = text
            .parse::<RemoteUrl>()
            .map(|r| parts(&r))
            .expect_err(text);
        let message = error.to_string();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn an_address_is_the_same_whatever_the_user() {
    let is_address_of = |one: &str, other: &str| {
        let read = |text: &str| text.parse::<RemoteUrl>().unwrap();
        read(one).is_address_of(&read(other))
    };
    let same = [
        ("git@h.example:p", "me@h.example:p"),
        ("ssh://git@h.example/p", "ssh://me@H.example:22/p"),
        ("https://h.example/p", "https://me:word@h.example/p"),
        ("git://h.example/p", "git://h.example:9418/p"),
        ("/srv/p", "file:///srv/p"),
        ("https://h.example/g/p", "https://h.example/g/p.git/"),
        ("git@h.example:g/p", "git@h.example:g/p.git"),
        ("/srv/p/", "/srv/p"),
    ];
    for (one, other) in same {
        assert!(is_address_of(one, other), "{one} {other}");
    }
    let others = [
        ("git@h.example:p", "git@h.example:q"),
        ("git@h.example:p", "git@other.example:p"),
        // The first is relative to the user's home.
        ("git@h.example:p", "git@h.example:/p"),
        ("ssh://h.example/~/p", "ssh://me@h.example/~/q"),
        ("https://h.example/p", "https://h.example/q"),
        ("https://h.example/p", "http://h.example/p"),
        ("/srv/p", "/srv/q"),
        ("/srv/p", "/srv/p.git"),
    ];
    for (one, other) in others {
        assert!(!is_address_of(one, other), "{one} {other}");
    }
}

#[test]
fn an_http_address_shows_neither_user_nor_password() {
    let remote: RemoteUrl = "https://me:hunter2@h.example/a".parse().unwrap();
    assert_eq!(remote.to_string(), "https://h.example/a");
    assert!(!format!("{remote:?}").contains("hunter2"));
    assert!(!format!("{remote:#?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in any::<String>()) {
        let _ = text.parse::<RemoteUrl>();
    }

    #[test]
    fn no_address_like_text_makes_parsing_panic_and_display_parses_back(
        text in r"(https?://|ssh://|git://|file:///|)([a-z%~]{0,4}@)?(h|\[::1\]|\[h:22\])?(:[0-9]{1,5})?[:/]?[-~a-z%/ ?#:@\[\]é\\]{0,8}"
    ) {
        if let Ok(remote) = text.parse::<RemoteUrl>() {
            let shown = remote.to_string();
            let again = shown.parse::<RemoteUrl>();
            prop_assert!(again.is_ok(), "{} shown as {}: {:?}", text, shown, again);
            let again = again.unwrap();
            let dropped_user = matches!(&remote, RemoteUrl::Http { user: Some(_), .. } | RemoteUrl::Http { password: Some(_), .. });
            if !dropped_user {
                prop_assert_eq!(parts(&remote), parts(&again), "{} shown as {}", text, shown);
            }
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_parsed_again(
        prefix in r"(ssh://|git://|https?://)?",
        user in r"([a-z0-9+.%]{1,4}@)?",
        host in r"[a-zA-Z0-9.]{1,4}|\[::1\]|\[[a-zW]{1,3}\]|\[w:[0-9]{1,5}\]",
        port in "(:[0-9]{0,5})?",
        path in r"[:/]{0,2}[-~a-zW0-9%/@:\[\].]{0,9}",
    ) {
        let text = format!("{prefix}{user}{host}{port}{path}");
        if let Ok(remote) = text.parse::<RemoteUrl>() {
            let shown = remote.to_string();
            let again = shown.parse::<RemoteUrl>();
            prop_assert!(again.is_ok(), "{} shown as {}: {:?}", text, shown, again);
            let again = again.unwrap();
            prop_assert_eq!(&shown, &again.to_string());
            if !matches!(&remote, RemoteUrl::Http { .. }) {
                prop_assert_eq!(parts(&remote), parts(&again), "{} shown as {}", text, shown);
            }
        }
    }

    #[test]
    fn a_password_is_never_shown(
        scheme in "https?|ssh|git|git\\+ssh",
        user in "[a-z]{0,5}",
        host in r"h\.example|\[::1\]|-h|h h",
        port in "(:[0-9]{1,6})?",
        path in "/[a-z%0-9]{0,6}",
    ) {
        let text = format!("{scheme}://{user}:HUNTER2@{host}{port}{path}");
        let said = match text.parse::<RemoteUrl>() {
            Ok(remote) => format!("{remote} {remote:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!said.contains("HUNTER2"));
    }
}
