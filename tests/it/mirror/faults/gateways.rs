//! Gateways before the mirror that give up on a push, which the server behind them carries out all the same.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crates_ferry::error::{Kind, Result};
use crates_ferry::mirror::init;
use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::report::Report;
use tempfile::TempDir;

use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::gateway::Gateway;
use crate::support::in_process::clock;
use crate::support::lighttpd::Lighttpd;
use crate::support::repo::git;
use crate::support::scene::told;
use crate::support::upstream::Upstream;

/// An upstream and an empty mirror behind such a gateway.
struct Site {
    source: Arc<Mutex<Upstream>>,
    mirror: std::path::PathBuf,
    ferry: Ferry,
    direct: Ferry,
    pushes: Arc<Mutex<Vec<String>>>,
    _gateway: Gateway,
    _lighttpd: Lighttpd,
    _folder: TempDir,
}

impl Site {
    /// `moves` makes upstream go on at every push, so that each attempt has another commit to push.
    fn new(moves: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Upstream::create(folder.path(), "upstream.git");
        source.publish_many("before", 5);
        let mirror = empty_mirror(folder.path(), "mirror.git");
        let lighttpd = Lighttpd::start(folder.path(), None)?;
        let source = Arc::new(Mutex::new(source));
        let pushes = Arc::<Mutex<Vec<String>>>::default();
        let (moved, counted) = (Arc::clone(&source), Arc::clone(&pushes));
        let gateway = Gateway::before(lighttpd.port(), move |commit| {
            let mut pushes = counted.lock().unwrap();
            pushes.push(commit.to_owned());
            if moves {
                let name = format!("meanwhile{}", pushes.len());
                moved.lock().unwrap().publish(&name, "1.0.0");
            }
        });
        let url = lighttpd.url("mirror.git");
        let behind = url.replace(
            &format!(":{}/", lighttpd.port()),
            &format!(":{}/", gateway.port()),
        );
        let upstream = folder.path().join("upstream.git");
        let ferry = |mirror: String| Ferry::new(upstream.to_str().unwrap(), mirror);
        Some(Self {
            ferry: ferry(behind).with("FERRY_NETWORK_RETRIES", "2"),
            direct: ferry(url),
            source,
            mirror,
            pushes,
            _gateway: gateway,
            _lighttpd: lighttpd,
            _folder: folder,
        })
    }

    /// Asserts that a command succeeded by its first push, although there was a second one.
    fn assert_arrived(&self, result: Result<Report>) -> Report {
        let report = result.unwrap_or_else(|error| panic!("{}", told(&error)));
        let pushes = self.pushes.lock().unwrap();
        assert_eq!(pushes.len(), 2);
        assert_eq!(pushes[0], tip(&self.mirror));
        assert_eq!(report.after.unwrap().to_string(), pushes[0]);
        git(&self.mirror, &["fsck", "--full", "--no-dangling"]);
        report
    }
}

fn tip(repo: &Path) -> String {
    git(repo, &["rev-parse", "master"])
}

#[test]
fn a_sync_whose_first_push_arrives_after_its_second_has_succeeded() {
    let Some(site) = Site::new(true) else { return };
    site.direct.init().unwrap();
    let before = tip(&site.mirror);
    site.source.lock().unwrap().publish("new", "1.0.0");
    let report = site.assert_arrived(site.ferry.sync());
    assert_eq!((report.outcome, report.commits), (Outcome::Merge, Some(1)));
    assert_eq!(report.before.unwrap().to_string(), before);
    assert_eq!(report.crates, ["new"]);
    let report = site.direct.sync().unwrap();
    assert_eq!(report.crates, ["meanwhile1", "meanwhile2"]);
}

#[test]
fn an_init_whose_first_push_arrives_after_its_second_has_succeeded() {
    let Some(site) = Site::new(true) else { return };
    let report = site.assert_arrived(site.ferry.init());
    assert_eq!(report.outcome, Outcome::Created);
    assert_eq!(site.direct.sync().unwrap().commits, Some(2));
    let error = site.direct.init().expect_err("it exists");
    assert_eq!(error.kind(), Kind::MirrorExists, "{}", told(&error));
}

/// A clock that goes on by a minute each time it is read.
fn restless() -> SystemTime {
    static READ: AtomicU64 = AtomicU64::new(0);
    clock() + Duration::from_secs(60 * READ.fetch_add(1, Ordering::SeqCst))
}

#[test]
fn attempts_that_find_the_same_push_the_same_commit() {
    let Some(site) = Site::new(false) else { return };
    let pushed = site.ferry.run_at(restless, async |config, around| {
        init::run(config, &init::Options::default(), around).await
    });
    site.assert_arrived(pushed);
    let pushes = site.pushes.lock().unwrap();
    assert_eq!(pushes[0], pushes[1]);
}
