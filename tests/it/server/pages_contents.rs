//! The pages of what crate files have in them: README, files, and what changed between two versions.

use serde_json::{Value, json};

use crate::support::crate_archive::crate_archive;
use crate::support::server::{Got, Server, Site, sha256};

/// The most bytes of a page.
const LARGEST: usize = 60 << 10;

const README: &str = "# Foo\n\n[![build](https://ci.example/a.svg)](https://ci.example) Carries *parcels*: see [the code](src/lib.rs), \
                      [the guide](docs/absent.md), <a href=\"javascript:alert(1)\" onclick=\"x()\">this</a>.\n\n<script>alert(1)</script>\n\n\
                      ## Content\n\n```rust\nlet a: &str;\n```\n";

fn manifest(version: &str) -> String {
    format!("[package]\nname = \"Foo\"\nversion = \"{version}\"\nreadme = \"README.md\"\n")
}

/// A crate of two versions that differ, and of one that is no archive.
fn site() -> Site {
    let mut site = Site::new();
    let long: String = (1..=3_000)
        .map(|line| format!("line {line} <&\"'>\n"))
        .collect();
    let (one, two) = (manifest("1.0.0"), manifest("1.1.0"));
    let old = [
        ("Cargo.toml", one.as_str()),
        ("README.md", README),
        ("src/lib.rs", "fn old() {}\n// the same\n"),
        ("src/moved.rs", "// moved\n"),
        ("data.bin", "\0\u{1}\u{2}"),
        ("gone.txt", "gone\n"),
    ];
    let new = [
        ("Cargo.toml", two.as_str()),
        ("README.md", README),
        ("src/lib.rs", "fn new() {} // \u{202e}hidden\n// the same\n"),
        ("src/deep/is moved#.rs", "// moved\n"),
        ("data.bin", "\0\u{1}\u{3}"),
        ("build.rs", "fn main() {}\n"),
        ("long.txt", &long),
    ];
    site.publish("Foo", "1.0.0", &crate_archive("Foo", "1.0.0", &old));
    site.publish("Foo", "1.1.0", &crate_archive("Foo", "1.1.0", &new));
    site.publish("Foo", "1.2.0", b"no archive");
    site
}

fn serve(site: &Site) -> Server {
    let server = site.serve(&[]);
    server.wait_for("the catalog", || server.get("/api/v1/crates").status == 200);
    server
}

/// Downloads versions, and waits until the server has stored them.
fn fetch(server: &Server, versions: &[&str]) {
    for version in versions {
        assert_eq!(server.download("Foo", version).status, 200);
        let known = format!("Files of {version},");
        server.wait_for("the crate file", || {
            server.get("/crates/Foo/versions").text().contains(&known)
        });
    }
}

fn page(got: &Got, status: u16) -> String {
    let text = got.text();
    assert_eq!(got.status, status, "{text}");
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    let title = text.lines().find(|line| line.starts_with("<title>"));
    assert!(text.len() < LARGEST, "{}: {title:?}", text.len());
    assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
    for bad in ["<script>alert", "onclick", "href=\"javascript", "\u{202e}"] {
        assert!(!text.contains(bad), "{bad} in {text}");
    }
    text
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

fn value(server: &Server, path: &str) -> Value {
    let got = server.get(path);
    assert_eq!(got.status, 200, "{}", got.text());
    serde_json::from_slice(&got.body).unwrap()
}

#[test]
fn the_page_of_a_crate_shows_its_readme_once_a_version_is_here() {
    let site = site();
    let server = serve(&site);
    let before = page(&server.get("/crates/Foo/1.1.0"), 200);
    has(&before, &["not here yet: it comes with its first download"]);
    assert!(!before.contains("<h2>README</h2>"));
    let found = page(&server.get("/search?q=foo"), 200);
    assert!(!found.contains("cached"), "{found}");
    fetch(&server, &["1.0.0"]);
    // Of the newest version that is here.
    let other = page(&server.get("/crates/Foo/1.1.0"), 200);
    has(
        &other,
        &[
            "<h2>README</h2>",
            "Of version 1.0.0",
            "not here yet: it comes",
        ],
    );
    fetch(&server, &["1.1.0"]);
    let shown = page(&server.get("/crates/Foo/1.1.0"), 200);
    const REL: &str = "rel=\"nofollow noopener noreferrer\"";
    has(
        &shown,
        &[
            "<h3 id=\"readme-foo\">Foo</h3>",
            &format!("<a href=\"https://ci.example\" {REL}>build</a> Carries <em>parcels</em>"),
            &format!("see <a href=\"/crates/Foo/1.1.0/src/src/lib.rs\" {REL}>the code</a>"),
            &format!("<a {REL}>the guide</a>"),
            "<h4 id=\"readme-content\">",
            "<pre tabindex=\"0\"><code><span class=\"kw\">let</span> a: &amp;str;",
            "<a href=\"/crates/Foo/1.1.0/src/\">its files</a>",
            "<a href=\"/crates/Foo/1.0.0...1.1.0\">what changed since 1.0.0</a>",
            "<th scope=\"col\">Cached</th>",
            "Files of 1.0.0, </span>",
        ],
    );
    assert!(!shown.contains("Of version") && !shown.contains("<img"));
    // What cannot be read is no reason for a page to fail.
    fetch(&server, &["1.2.0"]);
    let wrong = page(&server.get("/crates/Foo"), 200);
    assert!(!wrong.contains("<h2>README</h2>"));
    // But it says so.
    let said = "The crate file of Foo 1.2.0 cannot be read: it is not what cargo makes (";
    has(&wrong, &[said, "<span class=\"state bad\">damaged</span>"]);
    assert!(!shown.contains("cannot be read"));
    has(&page(&server.get("/crates/Foo/versions"), 200), &["Cached"]);
    let found = page(&server.get("/search?q=foo"), 200);
    has(&found, &["<span class=\"state good\">cached</span>"]);
}

#[test]
fn the_files_of_a_version_are_listed_and_shown_as_text() {
    let site = site();
    let server = serve(&site);
    let absent = page(&server.get("/crates/Foo/1.1.0/src/"), 404);
    has(
        &absent,
        &[
            "The files of Foo 1.1.0 are not here yet",
            "<code>crates-ferry prefetch --crate Foo@1.1.0</code>",
            "href=\"/api/v1/crates/Foo/1.1.0/download\"",
        ],
    );
    // Asking did not fetch it.
    assert_eq!(page(&server.get("/crates/Foo/1.1.0/src/"), 404), absent);
    assert!(site.host.requests().is_empty());
    fetch(&server, &["1.1.0", "1.2.0"]);
    let listed = page(&server.get("/crates/Foo/1.1.0/src/"), 200);
    has(
        &listed,
        &[
            "7 files,",
            "<h2 class=\"folder\">The root</h2>",
            "<h2 class=\"folder\">src/deep/</h2>",
            "<a href=\"/crates/Foo/1.1.0/src/src/deep/is%20moved%23.rs\">is moved#.rs</a>",
            "runs while the crate is built",
        ],
    );
    assert_eq!(server.get("/crates/Foo/1.1.0/src").status, 302);
    let lowercase = server.get("/crates/foo/1.1.0/src/src/lib.rs");
    assert_eq!(
        lowercase.header("location"),
        Some("/crates/Foo/1.1.0/src/src/lib.rs")
    );
    let code = page(&server.get("/crates/Foo/1.1.0/src/src/lib.rs"), 200);
    let sum = sha256("fn new() {} // \u{202e}hidden\n// the same\n".as_bytes());
    has(
        &code,
        &[
            "<li id=\"L1\"><span class=\"kw\">fn</span> new() {} <span class=\"com\">// \\u{202e}hidden</span><li id=\"L2\"><span class=\"com\">// the same</span>",
            &format!("SHA-256 <code>{sum}</code>"),
        ],
    );
    page(
        &server.get("/crates/Foo/1.1.0/src/src/deep/is%20moved%23.rs"),
        200,
    );
    let binary = page(&server.get("/crates/Foo/1.1.0/src/data.bin"), 200);
    has(&binary, &["This is no text", &sha256(b"\0\x01\x03")]);
    let long = page(&server.get("/crates/Foo/1.1.0/src/long.txt"), 200);
    has(
        &long,
        &[
            "3,000 lines",
            "<li id=\"L1\">line 1 &#60;&#38;&#34;&#39;&#62;",
            "rel=\"next\"",
        ],
    );
    assert!(!long.contains("id=\"L3000\""));
    let last = page(&server.get("/crates/Foo/1.1.0/src/long.txt?line=3000"), 200);
    has(&last, &["id=\"L3000\"", "rel=\"prev\""]);
    assert_eq!(server.get("/crates").headers["location"], "/");
    for path in ["src", "src/"] {
        let folder = server.get(&format!("/crates/Foo/1.1.0/src/{path}"));
        assert_eq!(folder.status, 302, "{path}");
        assert_eq!(folder.headers["location"], "/crates/Foo/1.1.0/src/");
    }
    for path in ["absent", "sr", "src//lib.rs", "src/lib.rs/"] {
        let missing = server.get(&format!("/crates/Foo/1.1.0/src/{path}"));
        has(&page(&missing, 404), &["has no such file"]);
    }
    for path in [
        "Foo/1.1.0/src/src%2flib.rs",
        "Foo/1.1.0/src%2f",
        "Foo%2F1.1.0",
        "Foo%2F1.1.0/src",
        "%2F%2Fhost.example/src",
        "Foo/1.0.0...1.1.0%2Freadme",
        "Foo/1.1.0/src/%00",
        "Foo%00",
        "Foo/%ff",
        "/Foo",
        "/Foo/1.1.0",
        "Foo/versions/x",
    ] {
        let missing = server.get(&format!("/crates/{path}"));
        has(&page(&missing, 404), &["There is no such page"]);
    }
    for (path, there) in [
        ("Foo/", "/crates/Foo"),
        ("Foo/versions/", "/crates/Foo/versions"),
        ("Foo/1.0.0/", "/crates/Foo/1.0.0"),
        ("Foo/1.0.0%2Bb/", "/crates/Foo/1.0.0+b"),
        ("Foo%3F/", "/crates/Foo%3F"),
        ("Foo/1.1.0/src", "/crates/Foo/1.1.0/src/"),
    ] {
        let led = server.get(&format!("/crates/{path}"));
        assert_eq!((led.status, led.header("location")), (302, Some(there)));
    }
    has(
        &page(&server.get("/crates/Foo/9.9.9/src/"), 404),
        &["Foo has no version 9.9.9"],
    );
    has(
        &page(&server.get("/crates/absent/1.0.0/src/"), 404),
        &["There is no crate absent"],
    );
    let wrong = page(&server.get("/crates/Foo/1.2.0/src/"), 404);
    has(
        &wrong,
        &[
            "The crate file of Foo 1.2.0 cannot be read",
            "It is not what cargo makes: it cannot be unpacked",
        ],
    );
    let readme = page(&server.get("/crates/Foo/1.1.0/readme"), 200);
    has(
        &readme,
        &["<h3 id=\"readme-foo\">", "/crates/Foo/1.1.0/src/README.md"],
    );

    let files = value(&server, "/api/v1/crates/foo/1.1.0/files");
    let build = json!({ "path": "build.rs", "size": 13, "sha256": sha256(b"fn main() {}\n") });
    assert_eq!(files["files"][2], build, "{files}");
    assert_eq!(server.get("/api/v1/crates/Foo/1.0.0/files").status, 404);
}

#[test]
fn two_versions_are_compared_both_ways() {
    let site = site();
    let server = serve(&site);
    fetch(&server, &["1.1.0"]);
    let absent = page(&server.get("/crates/Foo/1.0.0...1.1.0"), 404);
    has(&absent, &["The files of Foo 1.0.0 are not here yet"]);
    fetch(&server, &["1.0.0", "1.2.0"]);
    let changed = page(&server.get("/crates/Foo/1.0.0...1.1.0"), 200);
    has(
        &changed,
        &[
            "3 files changed, 2 files added, 1 file removed, 1 file renamed;",
            "<span class=\"state good\">added</span> <span class=\"number\">+1 -0</span> <span class=\"dim\">runs while the crate is built",
            "<b>src/deep/is moved#.rs</b>",
            "was src/moved.rs",
            "no text: 3 B before, 3 B after",
            "href=\"/crates/Foo/1.1.0...1.0.0\"",
            "<tr class=\"gone\"><td>3</td><td></td><td>-version = <span class=\"str\">&#34;1.0.0&#34;</span></td></tr>",
            "<tr class=\"came\"><td></td><td>1</td><td>+<span class=\"kw\">fn</span> new() {} <span class=\"com\">// \\u{202e}hidden</span></td></tr>",
            "<tr><td>2</td><td>2</td><td> <span class=\"com\">// the same</span></td></tr>",
        ],
    );
    let (manifest, build) = (changed.find(">Cargo.toml<"), changed.find(">build.rs<"));
    assert!(manifest < build && build < changed.find(">data.bin<"));
    let back = page(&server.get("/crates/Foo/1.1.0...1.0.0"), 200);
    has(
        &back,
        &["1 file added, 2 files removed", "was src/deep/is moved#.rs"],
    );
    let file = page(&server.get("/crates/Foo/1.0.0...1.1.0?file=long.txt"), 200);
    has(
        &file,
        &[
            "+line 1 &#60;",
            "+3,000 -0",
            "rel=\"next\"",
            "?file=long.txt&#38;page=2",
        ],
    );
    let same = server.get("/crates/Foo/1.0.0...1.1.0?file=README.md");
    assert_eq!(same.header("location"), Some("/crates/Foo/1.0.0...1.1.0"));
    let twice = page(&server.get("/crates/Foo/1.1.0...1.1.0"), 200);
    has(&twice, &["That is the same version twice"]);
    for (path, told) in [
        (
            "/crates/Foo/1.0.0...1.2.0",
            "The crate file of Foo 1.2.0 cannot be read",
        ),
        ("/crates/Foo/1.0.0...x", "Foo has no version x"),
        ("/crates/Foo/...", "Foo has no version"),
        ("/crates/absent/1.0.0...1.1.0", "There is no crate absent"),
    ] {
        has(&page(&server.get(path), 404), &[told]);
    }

    let json = value(&server, "/api/v1/crates/Foo/1.0.0...1.1.0");
    let paths: Vec<_> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "Cargo.toml",
            "build.rs",
            "data.bin",
            "gone.txt",
            "long.txt",
            "src/deep/is moved#.rs",
            "src/lib.rs"
        ]
    );
    assert_eq!(json["files"][5]["old_path"], "src/moved.rs");
    assert_eq!(server.get("/api/v1/crates/Foo/1.0.0...9.9.9").status, 404);
}

#[test]
fn no_page_of_a_hostile_crate_file_is_large_or_slow() {
    let mut site = Site::new();
    let escaped = "<&\"'>".repeat(40_000);
    let lines = "<&\"'>\n".repeat(150_000);
    // Two marks each three letters.
    let many_marks = format!("{}\n", "1\"\"".repeat(1_330)).repeat(60);
    let nested = format!(
        "{}{}{}",
        "> ".repeat(50_000),
        "[".repeat(50_000),
        "<b>".repeat(50_000)
    );
    let many: Vec<(String, String)> = (0..2_000)
        .map(|number| {
            (
                format!("{}/<b>{number}\"'&", "é<i>".repeat(30)),
                format!("{number}\n"),
            )
        })
        .collect();
    for (version, readme) in [("1.0.0", &nested), ("1.1.0", &escaped), ("1.2.0", &lines)] {
        let mut manifest = format!("[package]\nname = \"Foo\"\nversion = \"{version}\"\n");
        // No two versions have a file in common.
        manifest.push_str(&format!("# {version} {}", "<".repeat(100_000)));
        let marks = format!("{}// {version}\n", "fn <'a>();\n".repeat(10_000));
        let mut files = vec![
            ("Cargo.toml", manifest.as_str()),
            ("README.md", readme),
            ("line", escaped.as_str()),
            ("lines", lines.as_str()),
            ("marks.rs", &marks),
            ("many.rs", &many_marks[..200_000]),
        ];
        let changed: Vec<_> = many
            .iter()
            .map(|(path, text)| (path, format!("{version} {text}")))
            .collect();
        files.extend(
            changed
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str())),
        );
        site.publish("Foo", version, &crate_archive("Foo", version, &files));
    }
    let server = serve(&site);
    fetch(&server, &["1.0.0", "1.1.0", "1.2.0"]);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        for below in [
            "",
            "/readme",
            "/src/",
            "/src/?page=9",
            "/src/line",
            "/src/lines",
            "/src/README.md?page=3",
            "/src/Cargo.toml",
            "/src/marks.rs",
            "/src/many.rs",
        ] {
            page(&server.get(&format!("/crates/Foo/{version}{below}")), 200);
        }
    }
    for query in [
        "",
        "?page=2",
        "?file=README.md",
        "?file=Cargo.toml",
        "?file=marks.rs",
        "?file=README.md&page=99",
    ] {
        page(
            &server.get(&format!("/crates/Foo/1.1.0...1.2.0{query}")),
            200,
        );
    }
    page(&server.get("/crates/Foo/versions"), 200);
}

fn stop(server: Server) {
    server.signal("TERM");
    let (end, log) = server.end();
    assert!(end.success(), "{log}");
}

#[test]
fn what_the_server_did_survives_a_restart_and_its_loss_is_harmless() {
    let site = site();
    let server = serve(&site);
    fetch(&server, &["1.0.0", "1.1.0"]);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
    let away = site.folder.path().join("away.git");
    std::fs::rename(site.index.path(), &away).unwrap();
    server.push_hook();
    server.wait_for("the failure", || {
        server
            .get("/status")
            .text()
            .contains("The last refresh failed")
    });
    stop(server);
    std::fs::rename(away, site.index.path()).unwrap();

    let server = site.serve(&[]);
    let status = page(&server.get("/status"), 200);
    has(
        &status,
        &[
            "33 % of 3 requests for crate files were answered from here",
            "1 from here, 2 fetched</title>",
            "<a href=\"/crates/Foo\">Foo</a> <span class=\"number\">3</span>",
            "<span class=\"state bad\">failed</span> refresh, ",
            "<th scope=\"col\">At most behind</th>",
        ],
    );
    let json = value(&server, "/api/v1/status");
    let history = &json["history"];
    assert_eq!(
        history["most_fetched"],
        json!([{ "name": "Foo", "requests": 3 }])
    );
    let sum: u64 = history["hours"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hour| hour["misses"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 2);
    assert_eq!(history["events"][0]["kind"], "refresh");
    stop(server);

    std::fs::write(site.data().join("history.sqlite"), "damaged ".repeat(1000)).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.data().join(format!("history.sqlite{end}")));
    }
    let server = site.serve(&[]);
    has(&page(&server.get("/status"), 200), &["<h2>Store</h2>"]);
    assert!(
        server
            .log()
            .contains("the history of this server begins again")
    );
}
