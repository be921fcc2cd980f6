//! A host whose connection is cut within a push, at each of its packets: a version is published once, and the client is told so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Registry, Version, entry};
use crate::support::daemon::GitDaemon;
use crate::support::proxy::{Action, Passing, Proxy, Way};

/// Lets so many packets of the first push pass this way, and then hangs up.
struct CutPush {
    way: Way,
    after: usize,
    /// How many packets have passed on the connection of the push, once that is known.
    seen: Option<(usize, usize)>,
    services: HashMap<usize, bool>,
    has_cut: Arc<Mutex<bool>>,
}

impl CutPush {
    fn look(&mut self, passing: &mut Passing<'_>) -> Action {
        let connection = passing.connection;
        if passing.way == Way::Up && !self.services.contains_key(&connection) {
            let is_push = passing
                .bytes
                .windows(16)
                .any(|part| part == b"git-receive-pack");
            self.services.insert(connection, is_push);
            if is_push && self.seen.is_none() {
                self.seen = Some((connection, 0));
            }
        }
        match &mut self.seen {
            Some((pushing, passed)) if *pushing == connection && passing.way == self.way => {
                *passed += 1;
                if *passed == self.after {
                    *self.has_cut.lock().unwrap() = true;
                    return Action::HangUp;
                }
                Action::Pass
            }
            _ => Action::Pass,
        }
    }
}

#[test]
fn a_push_that_is_cut_at_any_packet_publishes_once() {
    let registry = Registry::new();
    let daemon = GitDaemon::start(registry.site.folder.path());
    let proxy = Proxy::before(daemon.port());
    let url = format!("git://127.0.0.1:{}/private.git", proxy.port());
    let token = registry.publisher("alice");
    let server = registry.site.serve(&[("FERRY_PRIVATE_INDEX", &url)]);
    let mut number = 0;
    for way in [Way::Up, Way::Down] {
        for after in 1.. {
            number += 1;
            let has_cut = Arc::<Mutex<bool>>::default();
            let mut cut = CutPush {
                way,
                after,
                seen: None,
                services: HashMap::new(),
                has_cut: Arc::clone(&has_cut),
            };
            proxy.watch(move |passing| cut.look(passing));
            let version = format!("1.{number}.0");
            let version = Version {
                name: "acme-core",
                version: &version,
                content: "",
            };
            let got = version.publish(&server, &token);
            assert_eq!(got.status, 200, "{way:?} {after}: {}", got.text());
            assert_eq!(registry.lines("acme-core").len(), number, "{way:?} {after}");
            assert!(
                entry(&server, &token, "acme-core")
                    .text()
                    .contains(version.version)
            );
            if !*has_cut.lock().unwrap() {
                assert!(after > 2, "{way:?}");
                break;
            }
        }
    }
    registry.fsck();
    assert_eq!(registry.log().len(), number);
    drop(server);
}
