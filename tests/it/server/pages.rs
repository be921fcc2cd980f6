//! The pages for people: what they say, what they let nobody do, and how large they are.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::server::{Got, Server, Site, sha256};
use crate::support::skip::skip;
use crate::support::upstream::{Commit, index_path};

const TOKEN: &str = "a-long-random-token";
/// The most bytes of a page.
const LARGEST: usize = 60 << 10;

/// The beginning of a line of the index.
fn line(name: &str, version: &str) -> Value {
    json!({
        "name": name, "vers": version, "deps": [], "cksum": sha256(version.as_bytes()), "features": {}, "yanked": false
    })
}

fn dependency(name: &str, kind: &str) -> Value {
    json!({
        "name": name, "req": "^1", "features": [], "optional": false, "default_features": true, "target": null,
        "kind": kind
    })
}

/// Writes the file of a crate.
fn write(site: &mut Site, name: &str, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let commit = Commit::new(format!("Update crate `{name}`"));
    let path = index_path(&name.to_ascii_lowercase());
    site.index.commit([commit.file(&path, text)]);
}

/// An index of a few crates that need each other.
fn site() -> Site {
    let mut site = Site::new();
    let dated = |version: &str, day: u8| {
        let mut line = line("serde", version);
        line["pubtime"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
        line["rust_version"] = json!("1.70");
        line["features"] = json!({ "default": ["std"], "std": [] });
        line
    };
    let mut yanked = dated("1.2.0", 3);
    yanked["yanked"] = json!(true);
    let serde = [
        dated("1.0.0", 1),
        dated("1.1.0", 2),
        yanked,
        dated("2.0.0-rc.1", 4),
    ];
    write(&mut site, "serde", &serde);
    let mut json = line("serde_json", "1.0.0");
    json["deps"] = json!([dependency("serde", "normal"), dependency("cc", "build")]);
    write(&mut site, "serde_json", &[json]);
    site
}

/// Starts a server, and waits until it has its catalog.
fn serve(site: &Site) -> Server {
    let server = site.serve(&[]);
    server.wait_for("the catalog", || {
        server.get("/api/v1/crates?q=a").status == 200
    });
    server
}

fn page(got: &Got, status: u16) -> String {
    let text = got.text();
    assert_eq!(got.status, status, "{text}");
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(text.len() < LARGEST, "{}", text.len());
    assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
    text
}

/// Says that a text has all of these parts.
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_search_finds_crates_and_marks_why() {
    let site = site();
    let server = serve(&site);
    let home = page(&server.get("/"), 200);
    has(&home, &["2 crates", "autofocus", "/crates/serde_json"]);
    let found = page(&server.get("/search?q=serde-json"), 200);
    has(
        &found,
        &[
            "1 crate<",
            "<a href=\"/crates/serde_json\"><mark>serde</mark>_<mark>json</mark></a>",
        ],
    );
    assert_eq!(page(&server.get("/?q=serde-json"), 200), found);
    let near = page(&server.get("/search?q=sedre_json"), 200);
    has(&near, &["Did you mean", "href=\"/crates/serde_json\""]);
    // What makes no sense is as if it were not there.
    let odd = page(&server.get("/search?q=serde&sort=size&page=-1&x=%ff"), 200);
    has(&odd, &["2 crates", "Best match"]);
    has(
        &page(&server.get("/search?q=serde&page=9"), 200),
        &["There is no page 9"],
    );
}

#[test]
fn a_crate_says_which_version_to_take_and_what_it_brings() {
    let site = site();
    let server = serve(&site);
    let serde = page(&server.get("/crates/serde"), 200);
    has(
        &serde,
        &[
            "Take <strong class=\"number\">1.1.0</strong>",
            "<code>cargo add serde</code>",
            "<code>serde = &#34;1.1.0&#34;</code>",
            "The pre-release <a href=\"/crates/serde/2.0.0-rc.1\">",
            "datetime=\"2026-01-02T00:00:00Z\" title=\"2 January 2026, 00:00 UTC\"",
            "<span class=\"state bad\">yanked</span>",
            "4 releases since January 2026",
            "1.70 or newer",
            "<a href=\"/crates/serde/dependents\">1 crate</a>",
            "<dt>default</dt><dd>std</dd>",
        ],
    );
    let old = page(&server.get("/crates/serde/1.0.0"), 200);
    has(
        &old,
        &[
            "not the version to take",
            "<code>cargo add serde@1.0.0</code>",
        ],
    );
    let yanked = page(&server.get("/crates/serde/1.2.0"), 200);
    has(
        &yanked,
        &[
            "only where a lockfile names it already",
            "/crates/serde/1.1.0",
        ],
    );
    assert!(!yanked.contains("cargo add"), "{yanked}");
    let json = page(&server.get("/crates/serde_json"), 200);
    has(
        &json,
        &[
            "For its build script",
            "<a href=\"/crates/serde\">serde</a>",
        ],
    );
    let needing = page(&server.get("/crates/serde/dependents"), 200);
    has(&needing, &["1 crate needs it", "/crates/serde_json"]);
    // Each crate has one address.
    for (path, wanted) in [
        ("/crates/Serde-JSON/1.0.0", "/crates/serde_json/1.0.0"),
        ("/crates/", "/"),
    ] {
        let moved = server.get(path);
        assert_eq!(
            (moved.status, moved.header("location")),
            (302, Some(wanted))
        );
    }
}

#[test]
fn what_is_not_there_is_told_on_a_page_that_leads_on() {
    let site = site();
    let server = serve(&site);
    let missing = page(&server.get("/crates/sedre"), 404);
    has(
        &missing,
        &[
            "There is no crate sedre",
            "Did you mean",
            "href=\"/crates/serde\"",
        ],
    );
    has(
        &page(&server.get("/crates/serde/9.9.9"), 404),
        &["serde has no version 9.9.9"],
    );
    has(
        &page(&server.get("/crates/serde/1.0.0/other"), 404),
        &["There is no such page"],
    );
    for path in [
        "/elsewhere",
        "/assets/0.css",
        "/crates/sedre/versions",
        "/crates/%ff%2e%2e/a",
    ] {
        page(&server.get(path), 404);
    }
    page(&server.ask("POST", "/setup", &[], b"").unwrap(), 405);
    // Programs get what they can read.
    for path in [
        "/api/v1/crates/sedre",
        "/api/v1/elsewhere",
        "/index/se/rd/sedre",
    ] {
        assert!(!server.get(path).detail().is_empty(), "{path}");
    }
}

#[test]
fn nothing_that_others_wrote_is_obeyed() {
    let mut site = site();
    let bad = "<script>alert(1)</script>\"'&\u{202e}";
    let mut hostile = line("hostile", "1.0.0");
    hostile["links"] = json!(bad);
    hostile["rust_version"] = json!(bad);
    hostile["features"] = json!({ bad: [bad] });
    hostile["deps"] = json!([{
        "name": bad, "package": bad, "req": bad, "features": [bad], "optional": true, "default_features": false,
        "target": bad, "kind": "dev"
    }]);
    write(&mut site, "hostile", &[hostile]);
    let server = serve(&site);
    let query = "%3Cscript%3Ealert(1)%3C/script%3E%22'%26%E2%80%AE";
    for (path, status) in [
        ("/crates/hostile".to_owned(), 200),
        (format!("/search?q={query}"), 200),
        (format!("/crates/{}", query.replace('/', "%2F")), 404),
        (format!("/crates/hostile/{query}"), 404),
        (format!("/{query}"), 404),
    ] {
        let got = server.get(&path);
        let text = page(&got, status);
        assert!(
            !text.contains("<script>") && !text.contains('\u{202e}'),
            "{path}: {text}"
        );
        let policy = got.header("content-security-policy").unwrap();
        has(
            policy,
            &[
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
            ],
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.header("referrer-policy"), Some("no-referrer"));
    }
    has(
        &page(&server.get("/crates/hostile"), 200),
        &["&#60;script&#62;alert(1)"],
    );
}

#[test]
fn no_page_is_large() {
    let mut site = site();
    let wide = "x".repeat(5_000);
    let lines = (0..400).map(|number| {
        let mut line = line("many", &format!("{}.{}.0", number / 20, number % 20));
        line["pubtime"] = json!(format!("20{:02}-01-01T00:00:00Z", number / 20));
        line["rust_version"] = json!("1.70");
        line["yanked"] = json!(number % 2 == 0);
        if number == 399 {
            let deps = (0..400).map(|number| dependency(&format!("dependency-{number}"), "normal"));
            line["deps"] = deps.collect();
            let features = (0..400).map(|number| (format!("{number}{wide}"), json!([wide])));
            line["features"] = Value::Object(features.collect());
        }
        line
    });
    let lines = lines.collect::<Vec<_>>();
    write(&mut site, "many", &lines);
    let server = serve(&site);
    let many = page(&server.get("/crates/many"), 200);
    has(
        &many,
        &[
            "All 400 versions",
            "more are in <code>/api/v1/crates/many/19.19.0",
        ],
    );
    let versions = page(&server.get("/crates/many/versions"), 200);
    has(
        &versions,
        &["400 versions", "Page 1 of 4", "?page=2\" rel=\"next\""],
    );
    has(
        &page(&server.get("/crates/many/versions?page=4"), 200),
        &[">0.0.0<"],
    );
}

#[test]
fn a_page_is_cached_by_its_tag_and_compressed() {
    let site = site();
    let server = serve(&site);
    let got = server.get_with("/setup", &[("accept-encoding", "gzip")]);
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert!(got.body.len() < 4 << 10);
    let tag = got.header("etag").unwrap().to_owned();
    assert_eq!(got.header("cache-control"), Some("private, no-cache"));
    let again = server.get_with("/setup", &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = server.ask("HEAD", "/setup", &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Style and script keep for ever, and are all that is loaded.
    let text = page(&server.get("/setup"), 200);
    let assets: Vec<_> = text
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert_eq!(assets.len(), 2, "{text}");
    for path in assets {
        let asset = server.get(path);
        assert_eq!(asset.status, 200);
        has(asset.header("cache-control").unwrap(), &["immutable"]);
    }
}

#[test]
fn setting_up_says_whether_the_address_is_the_one_that_cargo_will_use() {
    let site = site();
    let server = site.serve(&[]);
    let setup = page(&server.get("/setup"), 200);
    has(
        &setup,
        &[
            "right address",
            "replace-with = &#34;mirror&#34;",
            &server.url("/index/"),
            "cargo 1.68 or newer",
            "[source.mirror]",
            ".gitlab-ci.yml",
        ],
    );
    // A name that somebody may have led here.
    let elsewhere = [("host", "mirror.example")];
    let refused = page(&server.get_with("/setup", &elsewhere), 421);
    has(&refused, &["not known by this name", "serve.hosts"]);
    drop(server);
    let public = [("FERRY_SERVE_PUBLIC_URL", "http://crates.example")];
    let server = site.serve(&public);
    let other = page(&server.get_with("/setup", &elsewhere), 200);
    has(
        &other,
        &[
            "another address",
            "<b>mirror.example</b>",
            "http://crates.example/index/",
        ],
    );
    drop(server);
    let everywhere = site.serve(&[
        ("FERRY_SERVE_LISTEN", "0.0.0.0:0"),
        ("FERRY_SERVE_CATALOG", "off"),
    ]);
    has(&page(&everywhere.get("/setup"), 200), &["right address"]);
}

#[test]
fn the_status_is_told_in_words_and_in_json() {
    let site = site();
    let server = serve(&site);
    let status = page(&server.get("/status"), 200);
    has(
        &status,
        &[
            "Serving, and up to date",
            "ready: 2 crates",
            "there is no limit",
        ],
    );
    let json: Value = serde_json::from_slice(&server.get("/api/v1/status").body).unwrap();
    assert_eq!(json["catalog"], json!({ "state": "ready", "crates": 2 }));
    assert_eq!(json["index"]["is_stale"], false);
    assert!(json["requests"]["answered"].as_u64().unwrap() > 0);
    std::fs::rename(site.index.path(), site.folder.path().join("away.git")).unwrap();
    server.push_hook();
    let failed = || {
        server
            .get("/status")
            .text()
            .contains("The last refresh failed")
    };
    server.wait_for("the failure", failed);
    has(&page(&server.get("/status"), 200), &["last error"]);
}

#[test]
fn without_a_catalog_the_other_pages_work() {
    let site = site();
    let server = site.serve(&[("FERRY_SERVE_CATALOG", "off")]);
    for path in [
        "/search?q=serde",
        "/crates/serde",
        "/crates/serde/dependents",
    ] {
        let refused = page(&server.get(path), 404);
        has(&refused, &["serve.catalog is off", "href=\"/status\""]);
    }
    has(
        &page(&server.get("/"), 200),
        &[
            "Search is not available",
            "This server neither searches crates nor describes them: serve.catalog is off.",
            "cargo works without it",
        ],
    );
    has(
        &page(&server.get("/setup"), 200),
        &["right address", "<code>cargo fetch</code>"],
    );
    has(
        &page(&server.get("/status"), 200),
        &["off: <code>serve.catalog</code>"],
    );
}

#[test]
fn a_browser_gives_the_token_as_a_password_and_for_pages_alone() {
    let site = site();
    let tokens = site.folder.path().join("tokens.txt");
    std::fs::write(&tokens, format!("{}  ci\n", sha256(TOKEN.as_bytes()))).unwrap();
    let server = site.serve(&[("FERRY_SERVE_AUTH", tokens.to_str().unwrap())]);
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("any:{password}")));
    let with = |path: &str, given: &str| server.get_with(path, &[("authorization", given)]);
    server.wait_for("the catalog", || {
        with("/api/v1/crates", TOKEN).status == 200
    });
    for path in ["/", "/search?q=a", "/crates/serde", "/setup", "/status"] {
        let refused = [
            server.get(path),
            with(path, &basic("wrong")),
            with(path, "Basic ???"),
            with(path, "wrong"),
        ];
        for got in refused {
            let scheme = got.header("www-authenticate").unwrap().to_owned();
            assert!(scheme.starts_with("Basic realm="), "{scheme}");
            has(&page(&got, 401), &["This server wants a token"]);
        }
        for given in [
            basic(TOKEN),
            basic(TOKEN).replace("Basic", "basic"),
            TOKEN.to_owned(),
        ] {
            page(&with(path, &given), 200);
        }
    }
    for path in [
        "/api/v1/crates",
        "/api/v1/status",
        "/index/config.json",
        "/index/se/rd/serde",
    ] {
        let refused = with(path, &basic(TOKEN));
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (401, Some("Cargo")),
            "{path}"
        );
        assert_eq!(with(path, TOKEN).status, 200);
    }
    let setup = page(&with("/setup", &basic(TOKEN)), 200);
    has(
        &setup,
        &[
            "cargo login --registry mirror",
            "CARGO_REGISTRIES_MIRROR_TOKEN",
            "cargo 1.74 or newer",
        ],
    );
    assert!(!setup.contains(TOKEN) && !server.log().contains(TOKEN));
}

#[test]
fn a_browser_runs_the_script_and_refuses_nothing_of_ours() {
    let site = site();
    let server = serve(&site);
    let Some(shown) = browse(&server.url("/crates/serde")) else {
        return skip("no chromium is installed");
    };
    let (dom, said) = shown;
    // Both come from the script, which is loaded under the page's own policy.
    has(
        &dom,
        &[
            "<button id=\"theme\" type=\"button\">",
            "<button type=\"button\">Copy</button>",
        ],
    );
    assert!(
        !said.contains("Refused to") && !said.contains("violates"),
        "{said}"
    );
}

/// Loads a page in a browser; returns what its scripts made of it, and what the browser said.
fn browse(url: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(url)
        .output()
        .ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn pages_of_a_large_entry_keep_no_other_request_waiting() {
    let mut site = site();
    let features = (0..100_000).map(|n| (format!("feature-{n}"), json!([])));
    let mut large = line("large", "1.0.0");
    large["features"] = Value::Object(features.collect());
    write(&mut site, "large", &[large]);
    let server = site.serve(&[]);
    server.wait_for("made", || server.get("/crates/large").status == 200);
    let begun = Instant::now();
    assert_eq!(server.get("/crates/large").status, 200);
    let alone = begun.elapsed();
    let left = AtomicUsize::new(8);
    let longest = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let got = server.get("/crates/large");
                left.fetch_sub(1, Ordering::Relaxed);
                assert_eq!(got.status, 200);
            });
        }
        let mut longest = Duration::ZERO;
        while left.load(Ordering::Relaxed) > 0 {
            let begun = Instant::now();
            assert_eq!(server.get("/healthz").status, 200);
            longest = longest.max(begun.elapsed());
        }
        longest
    });
    assert!(longest < alone / 2, "{longest:?} beside {alone:?}");
}
