//! The pages of private crates: what they show to those who may read, and that nobody else learns anything by any page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Registry, Version, body, get, put};
use crate::support::crate_archive::crate_archive;
use crate::support::server::{Got, Server, sha256};

const README: &str = "# The core\n\nSee [the source](src/lib.rs).\n\n<script>alert(1)</script>\n";

/// A crate that says what it is.
fn described(name: &str, version: &str, deps: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"What everything here stands on\"\n\
         license = \"MIT\"\nkeywords = [\"core\"]\nrepository = \"https://git.example/acme\"\n"
    );
    let mut json_deps = Vec::new();
    for (dep, registry) in deps {
        manifest += &format!("[dependencies.{dep}]\nversion = \"^1\"\n");
        if let Some(registry) = registry {
            manifest += &format!("registry-index = \"{registry}\"\n");
        }
        json_deps.push(json!({
            "name": dep, "version_req": "^1", "features": [], "optional": false, "default_features": true,
            "target": null, "kind": "normal",
            // No registry is this one; one without an index in the manifest is crates.io's.
            "registry": if registry.is_some() { Value::Null } else { json!("https://github.com/rust-lang/crates.io-index") },
        }));
    }
    let files = [
        ("Cargo.toml", manifest.as_str()),
        ("README.md", README),
        ("src/lib.rs", "//! The core.\n"),
    ];
    let json = json!({ "name": name, "vers": version, "deps": json_deps, "features": {}, "license": "MIT" });
    body(&json, &crate_archive(name, version, &files))
}

/// Publishes what is there in the other tests, and returns a token that may read.
fn fill(registry: &Registry, server: &Server) -> String {
    let alice = registry.publisher("alice");
    let own = server.url("/private/index/");
    let own = format!("sparse+{own}");
    let util = Version {
        name: "acme-util",
        version: "1.0.0",
        content: "",
    };
    assert_eq!(util.publish(server, &alice).status, 200);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let deps = [("acme-util", Some(own.as_str())), ("serde", None)];
        let got = put(server, &alice, &described("acme-core", version, &deps));
        assert_eq!(got.status, 200, "{}", got.text());
    }
    let path = "/private/api/v1/crates/acme-core/1.2.0/yank";
    let yanked = server.ask("DELETE", path, &[("authorization", &alice)], b"");
    assert_eq!(yanked.unwrap().status, 200);
    registry.token("reader", &["read"])
}

fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("any:{token}")))
}

fn page(server: &Server, token: &str, path: &str, status: u16) -> String {
    let got = server.get_with(path, &[("authorization", &basic(token))]);
    let text = got.text();
    assert_eq!(got.status, status, "{path}: {text}");
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(got.header("cache-control"), Some("private, no-cache"));
    assert_eq!(got.header("vary"), Some("accept-encoding, authorization"));
    assert!(
        text.contains("<span class=\"state own\">private</span>"),
        "{path}: {text}"
    );
    text
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_private_crate_has_all_pages_that_a_public_one_has() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let reader = fill(&registry, &server);
    let core = page(&server, &reader, "/private/crates/acme-core", 200);
    has(
        &core,
        &[
            "<p class=\"lead\">What everything here stands on</p>",
            "Take <strong class=\"number\">1.1.0</strong>",
            "<code>cargo add acme-core --registry private</code>",
            "<code>acme-core = { version = &#34;1.1.0&#34;, registry = &#34;private&#34; }</code>",
            "<a href=\"/private/me\">set it up</a>",
            "<dt>Licence</dt><dd>MIT</dd>",
            "<dt>Owners</dt><dd>alice</dd>",
            "href=\"https://git.example/acme\"",
            "<a href=\"/private/crates/acme-core/1.1.0/src/\">its files</a>",
            "/private/crates/acme-core/1.0.0...1.1.0\">what changed since 1.0.0</a>",
            "<a href=\"/private/crates/acme-util\">acme-util</a>",
            "<a href=\"/crates/serde\">serde</a>",
            "<a href=\"/private/crates/acme-core/1.1.0/src/src/lib.rs\"",
            "<a class=\"number\" href=\"/private/crates/acme-core/1.2.0\">1.2.0</a> <span class=\"state bad\">yanked</span>",
        ],
    );
    assert!(
        !core.contains("<script>alert") && !core.contains("/api/v1/"),
        "{core}"
    );
    let yanked = page(&server, &reader, "/private/crates/acme-core/1.2.0", 200);
    has(
        &yanked,
        &["Take <a href=\"/private/crates/acme-core/1.1.0\">1.1.0</a>"],
    );
    assert!(!yanked.contains("cargo add"), "{yanked}");
    for (path, parts) in [
        (
            "versions",
            &["3 versions", "/private/crates/acme-core/1.0.0\""][..],
        ),
        (
            "1.0.0/src/",
            &["3 files", "/private/crates/acme-core/1.0.0/src/Cargo.toml"],
        ),
        ("1.0.0/src/src/lib.rs", &["The core."]),
        ("dependents", &["0 crates need it"]),
        (
            "1.0.0/readme",
            &["The core", "/private/crates/acme-core/1.0.0/src/README.md"],
        ),
        (
            "1.0.0...1.1.0",
            &["1 file changed", "/private/crates/acme-core/1.1.0...1.0.0"],
        ),
        (
            "1.0.0...1.1.0?file=Cargo.toml",
            &["+version = <span class=\"str\">&#34;1.1.0&#34;"],
        ),
    ] {
        let shown = page(
            &server,
            &reader,
            &format!("/private/crates/acme-core/{path}"),
            200,
        );
        has(&shown, parts);
        assert!(
            !shown.contains("\"/crates/") && !shown.contains("/api/v1/"),
            "{path}: {shown}"
        );
    }
    // One that says nothing of itself.
    let util = page(&server, &reader, "/private/crates/acme-util", 200);
    has(
        &util,
        &["<a href=\"/private/crates/acme-util/dependents\">1 crate</a>"],
    );
    let needing = page(
        &server,
        &reader,
        "/private/crates/acme_util/dependents",
        200,
    );
    has(
        &needing,
        &[
            "1 crate needs it to build",
            "<a href=\"/private/crates/acme-core\">",
        ],
    );
    has(
        &util,
        &[
            "It does not say what it is",
            "<span class=\"dim\">it does not say</span>",
        ],
    );
    // Each crate has one address, whatever the spelling.
    let moved = |path: &str| {
        let got = server.get_with(path, &[("authorization", &basic(&reader))]);
        assert_eq!(got.status, 302, "{path}");
        got.header("location").unwrap().to_owned()
    };
    assert_eq!(
        moved("/private/crates/Acme_Core"),
        "/private/crates/acme-core"
    );
    assert_eq!(
        moved("/private/crates/acme_core/1.0.0/src"),
        "/private/crates/acme_core/1.0.0/src/"
    );
    assert_eq!(moved("/private/crates/"), "/private/crates");
    assert_eq!(moved("/private/search"), "/private/crates");
    // What is not there leads on.
    let missing = page(&server, &reader, "/private/crates/core", 404);
    has(
        &missing,
        &[
            "There is no private crate core",
            "href=\"/private/crates/acme-core\"",
            "href=\"/crates/core\"",
        ],
    );
    has(
        &page(&server, &reader, "/private/crates/acme-core/9.9.9", 404),
        &["acme-core has no version 9.9.9"],
    );
    page(
        &server,
        &reader,
        "/private/crates/acme-core/1.0.0/src/none.rs",
        404,
    );
}

#[test]
fn private_crates_are_found_by_those_who_may_read() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let reader = fill(&registry, &server);
    let all = page(&server, &reader, "/private/crates", 200);
    has(
        &all,
        &[
            "2 crates",
            "/private/crates/acme-core",
            "/private/crates/acme-util",
            "3 versions",
        ],
    );
    let some = page(&server, &reader, "/private/crates?q=core", 200);
    has(
        &some,
        &[
            "1 crate,",
            "acme-<mark>core</mark>",
            "What everything here stands on",
        ],
    );
    assert!(!some.contains("acme-util"), "{some}");
    server.wait_for("the catalog", || server.get("/search?q=acme").status == 200);
    let both = page(&server, &reader, "/private/search?q=acme", 200);
    has(
        &both,
        &[
            "<h2>Private</h2>",
            "/private/crates/acme-core",
            "action=\"/private/search\"",
        ],
    );
    // Where the mirror is open, the first search is for all, and leads there.
    let open = server.get("/search?q=acme").text();
    has(
        &open,
        &["<a href=\"/private/search?q=acme\">search them as well</a>"],
    );
    assert!(!open.contains("acme-core"), "{open}");
    drop(server);
    // Where it is not, it knows who asks.
    let tokens = registry.site.data().join("tokens").display().to_string();
    let server = registry.serve(&[("FERRY_SERVE_AUTH", &tokens)]);
    server.wait_for("the catalog", || {
        let headers = [("authorization", basic(&reader))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        server.get_with("/search?q=acme", &headers).status == 200
    });
    has(
        &page(&server, &reader, "/search?q=acme", 200),
        &["<h2>Private</h2>", "/private/crates/acme-core"],
    );
}

/// What a response says, without what tells requests apart that are the same.
fn told(got: &Got, name: &str) -> String {
    let headers = [
        "content-type",
        "cache-control",
        "vary",
        "etag",
        "www-authenticate",
        "location",
        "content-length",
    ];
    let headers =
        headers.map(|header| format!("{header}: {}\n", got.header(header).unwrap_or_default()));
    let text = format!("{} {}{}", got.status, headers.concat(), got.text());
    text.replace(name, "NAME")
}

#[test]
fn who_may_not_read_cannot_tell_whether_there_is_a_private_crate() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let reader = fill(&registry, &server);
    let blind = basic(&registry.token("publisher", &["publish:other-*"]));
    let wrong = basic("no-token");
    server.wait_for("the catalog", || server.get("/search?q=acme").status == 200);
    let below = [
        "",
        "/",
        "/versions",
        "/1.0.0",
        "/9.9.9",
        "/1.0.0/src",
        "/1.0.0/src/",
        "/1.0.0/src/src/lib.rs",
        "/1.0.0/readme",
        "/1.0.0...1.1.0",
        "/dependents",
    ];
    let ask = |path: &str, authorization: Option<&str>| {
        let headers = authorization.map(|value| ("authorization", value));
        server.get_with(path, headers.as_slice())
    };
    for authorization in [None, Some(wrong.as_str()), Some(blind.as_str())] {
        let status = if authorization == Some(&blind) {
            403
        } else {
            401
        };
        for below in below {
            let of = |name: &str| {
                let path = format!("/private/crates/{name}{below}");
                let got = ask(&path, authorization);
                assert_eq!(got.status, status, "{path}: {}", got.text());
                told(&got, name)
            };
            // Of the same length.
            assert_eq!(of("acme-core"), of("acme-none"), "{below}");
        }
        for path in [
            "/private/crates",
            "/private/crates?q=core",
            "/private/search?q=core",
        ] {
            let got = ask(path, authorization);
            assert_eq!(got.status, status, "{path}");
            assert!(!got.text().contains("acme-core"), "{path}: {}", got.text());
        }
        // An entity tag of a page that one has not seen does not show whether it is right.
        let seen = server.get_with(
            "/private/crates/acme-core",
            &[("authorization", &basic(&reader))],
        );
        let tag = seen.header("etag").unwrap();
        let mut headers = vec![("if-none-match", tag)];
        headers.extend(authorization.map(|value| ("authorization", value)));
        assert_eq!(
            server
                .get_with("/private/crates/acme-core", &headers)
                .status,
            status
        );
        // Nor does anything of the mirror.
        for path in [
            "/crates/NAME",
            "/crates/NAME/1.0.0",
            "/crates/NAME/versions",
            "/search?q=NAME",
            "/api/v1/crates?q=NAME",
            "/api/v1/crates/NAME",
            "/api/v1/crates/NAME/1.0.0/readme",
            "/index/ac/me/NAME",
            "/api/v1/crates/NAME/1.0.0/download",
        ] {
            let of = |name: &str| told(&ask(&path.replace("NAME", name), authorization), name);
            let (there, not_there) = (of("acme-core"), of("acme-none"));
            // The tag is of the page with the name in it.
            let untagged = |text: &str| {
                text.lines()
                    .filter(|line| !line.starts_with("etag:"))
                    .collect::<String>()
            };
            assert_eq!(untagged(&there), untagged(&not_there), "{path}");
        }
    }
    for path in [
        "/",
        "/search?q=acme",
        "/search?q=stands",
        "/status",
        "/api/v1/status",
        "/api/v1/summary",
        "/api/v1/keywords",
        "/metrics",
        "/setup",
        "/private/me",
        "/sitemap.xml",
        "/robots.txt",
    ] {
        let text = server.get(path).text();
        assert!(
            !text.contains("acme-core") && !text.contains("stands on"),
            "{path}: {text}"
        );
    }
}

#[test]
fn a_private_crate_and_a_public_one_of_its_name_do_not_mix() {
    let mut registry = Registry::new();
    let server = registry.serve(&[("FERRY_POLICY_DENY", "acme-core@1.1.0")]);
    let reader = fill(&registry, &server);
    // Later than the private one: without `private.names` nothing keeps it away.
    let public = crate_archive(
        "acme-core",
        "1.0.0",
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"acme-core\"\nversion = \"1.0.0\"\ndescription = \"Somebody else's\"\n",
            ),
            ("README.md", "Not ours\n"),
            ("src/lib.rs", ""),
        ],
    );
    registry.site.publish("acme-core", "1.0.0", &public);
    registry.site.publish("acme-core", "1.1.0", b"other");
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("the public one", || {
        server.download("acme-core", "1.0.0").status == 200
    });
    server.wait_for("its page", || {
        server.get("/crates/acme-core").text().contains("Not ours")
    });
    let shown = server.get("/crates/acme-core").text();
    assert!(
        !shown.contains("stands on") && !shown.contains("/private/crates/acme-core"),
        "{shown}"
    );
    let private = page(&server, &reader, "/private/crates/acme-core", 200);
    has(&private, &["What everything here stands on", "The core"]);
    assert!(
        !private.contains("Not ours") && !private.contains("denied"),
        "{private}"
    );
    let readme = |path: &str| {
        server
            .get_with(path, &[("authorization", &basic(&reader))])
            .text()
    };
    has(&readme("/crates/acme-core/1.0.0/readme"), &["Not ours"]);
    has(
        &readme("/private/crates/acme-core/1.0.0/readme"),
        &["The core"],
    );
    assert_ne!(sha256(&public), registry.lines("acme-core")[0]["cksum"]);
    // The file that cargo gets is that of the registry that it asks.
    let download = get(
        &server,
        &reader,
        "/private/api/v1/crates/acme-core/1.0.0/download",
    );
    assert_ne!(download.body, public);
}

#[test]
fn a_file_that_was_lost_is_told_as_that() {
    let registry = Registry::new();
    let server = registry.serve(&[]);
    let reader = fill(&registry, &server);
    for file in registry.files() {
        std::fs::remove_file(file).unwrap();
    }
    let core = page(&server, &reader, "/private/crates/acme-core/1.0.0", 200);
    has(&core, &["<span class=\"state bad\">missing</span>"]);
    let files = page(
        &server,
        &reader,
        "/private/crates/acme-core/1.0.0/src/",
        404,
    );
    has(&files, &["is missing", "crates-ferry private verify"]);
}
