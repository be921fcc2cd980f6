//! What the access log says of it.

use jiff::Timestamp;
use serde_json::Value;

use super::{MIN_AGE, publish};
use crate::support::server::Site;

#[test]
fn the_access_log_tells_what_was_held_or_denied() {
    let mut site = Site::new();
    publish(&mut site, "held", "1.0.0", None);
    publish(&mut site, "held", "1.1.0", Some(Timestamp::now()));
    publish(&mut site, "denied", "1.0.0", None);
    publish(&mut site, "plain", "1.0.0", None);
    let server = site.serve(&[MIN_AGE, ("FERRY_POLICY_DENY", "denied")]);
    let requests = [
        ("/index/he/ld/held", Some("held")),
        ("/index/de/ni/denied", Some("denied")),
        ("/index/pl/ai/plain", None),
        ("/api/v1/crates/held/1.1.0/download", Some("held")),
        ("/api/v1/crates/held/1.0.0/download", None),
        ("/api/v1/crates/denied/1.0.0/download", Some("denied")),
        ("/api/v1/crates/plain/1.0.0/download", None),
    ];
    for (path, _) in requests {
        drop(server.get(path));
    }
    // Those that are in memory now, and the last one, whose tag is known.
    for (path, _) in requests {
        drop(server.get(path));
    }
    let tag = server.get("/index/he/ld/held");
    let tag = tag.header("etag").unwrap();
    drop(server.get_with("/index/he/ld/held", &[("if-none-match", tag)]));
    let lines = || -> Vec<Value> {
        let log = server.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let of = |path: &str| -> Vec<Value> {
        let mut lines = lines();
        lines.retain(|line| line["path"] == path);
        lines
    };
    server.wait_for("logged", || {
        let all = requests.iter().all(|(path, _)| of(path).len() >= 2);
        all && of("/index/he/ld/held")
            .iter()
            .any(|line| line["status"] == 304)
    });
    for (path, word) in requests {
        for line in of(path) {
            assert_eq!(line.get("policy").and_then(Value::as_str), word, "{line}");
        }
    }
}
