//! A world in which the library carries, and what must be so before and after.

use crates_ferry::config::History;
use crates_ferry::error::{Error, Kind, Result};
use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::report::Report;
use crates_ferry::mirror::sync::Options;

use super::proxy::Proxy;
use super::scene::{copy, told};
pub use super::sides::World;
use super::upstream::Upstream;

/// Both modes of a mirror, for a loop.
pub const BOTH: [History; 2] = [History::Merge, History::Snapshot];

impl World {
    /// Makes an upstream of forty crates and a mirror abreast of it.
    pub fn initialised(history: History) -> Self {
        let mut world = Self::empty();
        world.upstream.publish_many("crate", 40);
        world.init(history);
        world
    }

    /// Makes the mirror's first commit.
    pub fn init(&mut self, history: History) -> Report {
        let report = self
            .ferry
            .clone()
            .with("FERRY_MIRROR_HISTORY", history.name())
            .init()
            .unwrap();
        assert_eq!(report.outcome, Outcome::Created);
        self.assert_carried(&report);
        report
    }

    /// Puts a proxy before upstream's server.
    pub fn watch_upstream(&mut self) -> Proxy {
        let proxy = Proxy::before(self.daemon.port());
        self.set(
            "FERRY_UPSTREAM_URL",
            format!("git://127.0.0.1:{}/upstream.git", proxy.port()),
        );
        proxy
    }

    /// Copies upstream as it is now to a repository with objects of its own, which is left as it is from then on.
    pub fn copy_upstream(&self, name: &str) {
        Upstream::empty(self.folder(), name).fetch(self.upstream.path(), &["master:master"]);
    }

    /// Carries from another repository of the folder.
    pub fn turn_to(&mut self, name: &str) -> &mut Self {
        let url = format!("git://127.0.0.1:{}/{name}", self.daemon.port());
        self.set("FERRY_UPSTREAM_URL", url)
    }

    /// Keeps a copy of the mirror as it is.
    pub fn save_mirror(&self) {
        copy(self.mirror.path(), &self.folder().join("saved.git"));
    }

    /// Puts the mirror back to where it was when it was saved.
    pub fn restore_mirror(&self) {
        std::fs::remove_dir_all(self.mirror.path()).unwrap();
        copy(&self.folder().join("saved.git"), self.mirror.path());
    }

    /// Syncs, which must succeed, and holds the result against upstream and against what was before.
    pub fn sync(&self) -> Report {
        self.sync_with(&Options::default())
    }

    /// Syncs with options, as [`Self::sync`] does.
    pub fn sync_with(&self, options: &Options) -> Report {
        let before = self.mirror.tip();
        let report = self
            .ferry
            .sync_with(options)
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        self.mirror.assert_ancestor(&before);
        assert_eq!(report.before.map(|id| id.to_string()), Some(before));
        self.assert_carried(&report);
        report
    }

    /// Carries what is new, with a dry run before, which must change nothing, and a sync after, which must find nothing.
    pub fn carry(&self, outcome: Outcome) -> Report {
        self.carry_with(&Options::default(), outcome)
    }

    /// Carries with options, as [`Self::carry`] does.
    pub fn carry_with(&self, options: &Options, outcome: Outcome) -> Report {
        let (before, objects) = (self.mirror.tip(), self.mirror.objects());
        let dry = Options {
            dry_run: true,
            ..options.clone()
        };
        let planned = self
            .ferry
            .sync_with(&dry)
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(
            (self.mirror.tip(), self.mirror.objects()),
            (before, objects),
            "a dry run changed the mirror"
        );
        let report = self.sync_with(options);
        assert_eq!(report.outcome, outcome, "{report}");
        assert_eq!(
            (
                planned.outcome,
                planned.relation,
                &planned.overlay,
                &planned.warnings,
                planned.commits,
                &planned.crates
            ),
            (
                report.outcome,
                report.relation,
                &report.overlay,
                &report.warnings,
                report.commits,
                &report.crates
            )
        );
        assert_eq!((planned.dry_run, planned.after), (true, None));
        self.mirror.assert_fsck_clean();
        let tip = self.mirror.tip();
        let again = self.ferry.sync().unwrap();
        assert_eq!(again.outcome, Outcome::UpToDate, "{again}");
        assert_eq!(self.mirror.tip(), tip);
        report
    }

    /// Syncs where that must fail and leave the mirror as it was; returns the error.
    pub fn refused(&self, kind: Kind) -> Error {
        let (before, objects) = (self.mirror.tip(), self.mirror.objects());
        let error = self.ferry.sync().expect_err("the sync succeeds");
        assert_eq!(error.kind(), kind, "{}", told(&error));
        assert_eq!(
            (self.mirror.tip(), self.mirror.objects()),
            (before, objects)
        );
        error
    }

    fn assert_carried(&self, report: &Report) {
        assert_eq!(report.upstream.to_string(), self.upstream.id("master"));
        assert_eq!(
            report.after.map(|id| id.to_string()),
            Some(self.mirror.tip())
        );
        if report.outcome != Outcome::UpToDate {
            self.mirror
                .assert_is_upstream_plus_overlay(self.upstream.path(), &report.overlay);
        }
    }
}

/// Returns the error of something that must fail.
pub fn error_of(result: Result<Report>) -> Error {
    result.expect_err("it succeeds")
}
