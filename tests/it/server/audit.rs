//! Who fetched which crate file.

use serde_json::Value;

use crate::support::server::{Server, Site, printed, sha256};

fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"one");
    site.publish("foo", "1.1.0", b"two");
    site
}

/// Writes a file of tokens, each with its scopes.
fn tokens(site: &Site, tokens: &[(&str, &str)]) -> String {
    let path = site.folder.path().join("tokens.txt");
    let lines = tokens.iter().map(|(name, scopes)| {
        let hash = sha256(name.as_bytes());
        format!("{hash}  {name} {scopes}\n")
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path.display().to_string()
}

fn download_as(server: &Server, token: &str, version: &str) -> u16 {
    let path = format!("/api/v1/crates/foo/{version}/download");
    server.get_with(&path, &[("authorization", token)]).status
}

#[test]
fn who_fetched_a_file_is_recorded_by_token_or_address_and_told_to_who_may_know() {
    let site = site();
    let auth = tokens(&site, &[("ci-3", ""), ("boss", "scope=admin")]);
    let auth = ("FERRY_SERVE_AUTH", auth.as_str());
    let server = site.serve(&[auth]);
    for _ in 0..2 {
        assert_eq!(download_as(&server, "ci-3", "1.0.0"), 200);
    }
    let path = "/api/v1/crates/foo/1.1.0/download";
    let head = server.ask("HEAD", path, &[("authorization", "ci-3")], b"");
    assert_eq!(head.unwrap().status, 200);
    let audit = |token: &str, path: &str| server.get_with(path, &[("authorization", token)]);
    let told = audit("boss", "/api/v1/audit/Foo");
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    let fetches = told["fetches"].as_array().unwrap();
    assert_eq!(fetches.len(), 1, "{told}");
    assert_eq!(
        (
            &fetches[0]["by"],
            &fetches[0]["is_token"],
            &fetches[0]["count"],
            &fetches[0]["checksum"]
        ),
        (
            &"ci-3".into(),
            &true.into(),
            &2.into(),
            &sha256(b"one").into()
        )
    );
    let none = audit("boss", "/api/v1/audit/foo@1.1.0");
    assert_eq!(
        serde_json::from_slice::<Value>(&none.body).unwrap()["fetches"],
        Value::from(Vec::<Value>::new())
    );
    assert_eq!(audit("ci-3", "/api/v1/audit/foo").status, 403);
    assert_eq!(server.get("/api/v1/audit/foo").status, 401);
    assert_eq!(audit("boss", "/api/v1/audit/no@@crate").status, 404);
    drop(server);

    // Without a token it is an address, which a proxy tells.
    let server = site.serve(&[("FERRY_SERVE_TRUSTED_PROXIES", "127.0.0.1")]);
    let proxied = [("x-forwarded-for", "10.1.2.3")];
    assert_eq!(
        server
            .get_with("/api/v1/crates/foo/1.0.0/download", &proxied)
            .status,
        200
    );
    assert_eq!(server.get("/api/v1/audit/foo").status, 401);
    server.signal("TERM");
    server.end();
    let said = printed(&site.run(&["audit", "foo@1.0.0"]), 0);
    let mut ends: Vec<_> = said
        .lines()
        .map(|line| line.split(" UTC, ").nth(1).unwrap())
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, ["2 times, by token ci-3", "by 10.1.2.3"], "{said}");
    let said = site.run(&["--format", "json", "audit", "foo"]);
    let said: Value = serde_json::from_str(&printed(&said, 0)).unwrap();
    assert_eq!(said["fetches"].as_array().unwrap().len(), 2);
    let none = site.run(&["audit", "bar"]);
    assert_eq!(printed(&none, 0), "");
    assert!(String::from_utf8_lossy(&none.stderr).contains("nobody fetched it"));
}

#[test]
fn nothing_is_recorded_where_that_is_off() {
    let site = site();
    let off = ("FERRY_SERVE_AUDIT", "off");
    let server = site.serve(&[off]);
    assert_eq!(server.download("foo", "1.0.0").status, 200);
    server.signal("TERM");
    server.end();
    assert!(!site.data().join("audit.sqlite").exists());
    let output = site.run_with(&[off], &["audit", "foo"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Set serve.audit to a duration"), "{said}");
}
