//! A host whose connection is cut within a push, at each of its packets: a version is published once, and the client is told so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{Registry, Version, entry};
use crate::support::daemon::GitDaemon;
use crate::support::proxy::{Action, Passing, Proxy, Way};

/// Hangs up one connection of a push when so many packets have passed this way.
#[derive(Default)]
struct CutPush {
    at: Option<(Way, usize)>,
    passed: HashMap<usize, usize>,
    pushes: HashSet<usize>,
}

impl CutPush {
    fn arm(&mut self, way: Way, after: usize) {
        self.at = Some((way, after));
        self.passed.clear();
    }

    fn has_cut(&self) -> bool {
        self.at.is_none()
    }

    fn look(&mut self, passing: &mut Passing<'_>) -> Action {
        let connection = passing.connection;
        let opening = b"git-receive-pack";
        let opens = |bytes: &[u8]| bytes.windows(opening.len()).any(|part| part == opening);
        if passing.way == Way::Up && opens(passing.bytes) {
            self.pushes.insert(connection);
        }
        let Some((_, after)) = self.at.filter(|(way, _)| *way == passing.way) else {
            return Action::Pass;
        };
        if !self.pushes.contains(&connection) {
            return Action::Pass;
        }
        let passed = self.passed.entry(connection).or_default();
        *passed += 1;
        match *passed == after {
            true => {
                self.at = None;
                Action::HangUp
            }
            false => Action::Pass,
        }
    }
}

#[test]
fn a_push_that_is_cut_at_any_packet_publishes_once() {
    let registry = Registry::new();
    let daemon = GitDaemon::start(registry.site.folder.path());
    let proxy = Proxy::before(daemon.port());
    let cut = Arc::<Mutex<CutPush>>::default();
    let watching = Arc::clone(&cut);
    proxy.watch(move |passing| watching.lock().unwrap().look(passing));
    let url = format!("git://127.0.0.1:{}/private.git", proxy.port());
    let token = registry.publisher("alice");
    let server = registry.site.serve(&[("FERRY_PRIVATE_INDEX", &url)]);
    let mut number = 0;
    for way in [Way::Up, Way::Down] {
        for after in 1.. {
            number += 1;
            cut.lock().unwrap().arm(way, after);
            let version = format!("1.{number}.0");
            let version = Version {
                name: "acme-core",
                version: &version,
                content: "",
            };
            let got = version.publish(&server, &token);
            assert_eq!(got.status, 200, "{way:?} {after}: {}", got.text());
            assert_eq!(registry.lines("acme-core").len(), number, "{way:?} {after}");
            let shown = entry(&server, &token, "acme-core").text();
            assert!(shown.contains(version.version), "{way:?} {after}");
            if !cut.lock().unwrap().has_cut() {
                assert!(after > 2, "{way:?}");
                break;
            }
        }
    }
    registry.fsck();
    assert_eq!(registry.log().len(), number);
    drop(server);
}
