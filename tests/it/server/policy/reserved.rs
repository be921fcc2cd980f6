//! Names that upstream may never fill.

use jiff::Timestamp;
use serde_json::Value;

use super::{MIN_AGE, publish};
use crate::support::server::{Server, Site, printed};

const RESERVED: (&str, &str) = ("FERRY_POLICY_RESERVED", "acme-*");

/// Makes a site with a crate whose name is reserved.
fn site() -> Site {
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "acme_core", "1.0.0", Some(Timestamp::now()));
    site
}

fn found(server: &Server, name: &str) -> Option<u64> {
    let got = server.get(&format!("/api/v1/crates?q={name}"));
    let json: Option<Value> = serde_json::from_slice(&got.body).ok();
    json.and_then(|json| json["meta"]["total"].as_u64())
}

#[test]
fn straight_on_upstream_a_crate_with_a_reserved_name_is_not_there() {
    let mut site = site();
    let server = site.serve(&[RESERVED]);
    assert_eq!(server.entry("foo").status, 200);
    server.wait_for("the catalog", || found(&server, "foo") == Some(1));
    let hidden = |server: &Server, name: &str, version: &str| {
        assert_eq!(server.entry(name).status, 404);
        assert_eq!(server.download(name, version).status, 404);
        assert_eq!(found(server, name), Some(0));
        assert_eq!(server.get(&format!("/crates/{name}")).status, 404);
        assert_eq!(server.get(&format!("/api/v1/crates/{name}")).status, 404);
    };
    hidden(&server, "acme_core", "1.0.0");
    // One that comes later, too.
    publish(&mut site, "acme-late", "1.0.0", None);
    publish(&mut site, "other", "1.0.0", None);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("later", || found(&server, "other") == Some(1));
    hidden(&server, "acme-late", "1.0.0");
    let told: Value = serde_json::from_slice(&server.get("/api/v1/policy").body).unwrap();
    assert_eq!(told["reserved"], serde_json::json!(["acme-*"]));

    // The commands read the same.
    let explained = site.run_with(&[RESERVED], &["policy", "explain", "acme_core"]);
    assert_eq!(
        printed(&explained, 0),
        "acme_core is never taken from upstream (policy.reserved: acme-*)"
    );
    let fetched = site.run_with(&[RESERVED], &["prefetch", "--crate", "acme_core"]);
    let said = printed(&fetched, 1);
    assert!(
        said.contains("acme_core: it is never taken from upstream (policy.reserved: acme-*)"),
        "{said}"
    );
    assert!(
        site.host
            .requests()
            .iter()
            .all(|path| !path.contains("acme"))
    );
}

#[test]
fn over_a_mirror_ones_own_crates_are_there_and_not_on_hold() {
    let mut site = site();
    publish(&mut site, "fresh", "1.0.0", Some(Timestamp::now()));
    let (mirror, dl) = (site.index.path().display().to_string(), site.host.dl());
    let pairs = [
        RESERVED,
        MIN_AGE,
        ("FERRY_SERVE_INDEX", mirror.as_str()),
        ("FERRY_SERVE_DL", dl.as_str()),
        ("FERRY_UPSTREAM_URL", "https://upstream.example/index"),
    ];
    let server = site.serve(&pairs);
    let shown = |name: &str| server.entry(name).text().contains("\"yanked\":true");
    assert!(!shown("acme_core") && shown("fresh"));
    assert_eq!(server.download("acme_core", "1.0.0").status, 200);
    drop(server);
    let explained = site.run_with(&pairs, &["policy", "explain", "acme_core"]);
    assert_eq!(
        printed(&explained, 0),
        "acme_core 1.0.0: allowed: policy.reserved: acme-*"
    );
    // So are the paths that the mirror keeps.
    let kept = [
        MIN_AGE,
        ("FERRY_MIRROR_URL", mirror.as_str()),
        ("FERRY_MIRROR_KEEP", "fr/es/*"),
        ("FERRY_SERVE_DL", dl.as_str()),
        ("FERRY_UPSTREAM_URL", "https://upstream.example/index"),
    ];
    let server = site.serve(&kept);
    let shown = |name: &str| server.entry(name).text().contains("\"yanked\":true");
    assert!(!shown("fresh") && shown("acme_core"));
    let explained = site.run_with(&kept, &["policy", "explain", "fresh"]);
    assert_eq!(
        printed(&explained, 0),
        "fresh 1.0.0: allowed: mirror.keep: fr/es/*"
    );
}
