//! What happened to `arrayref` in August 2026, from the attack to the mail: somebody who had taken over an account published a
//! malicious version and yanked the good ones before it, and upstream took the version back 86 minutes later.

use super::cargo::{fail, locked_of, project_with};
use super::mailed::{at, read};
use super::{MIN_AGE, publish};
use crate::server::real_cargo::Project;
use crate::support::clocked::ClockedServer;
use crate::support::exim::{Exim, Options};
use crate::support::server::Site;

const GOOD: [&str; 5] = ["0.3.5", "0.3.6", "0.3.7", "0.3.8", "0.3.9"];
const BAD: &str = "0.3.10";

/// A server, and what upstream and a project behind it do.
struct Story {
    site: Site,
    server: ClockedServer,
    project: Project,
}

impl Story {
    fn begin(pairs: &[(&str, &str)]) -> Self {
        let mut site = Site::new();
        for version in GOOD {
            publish(&mut site, "arrayref", version, None);
        }
        let server = ClockedServer::start(&site, pairs, at("07:00"));
        let project = project_with(&site, &server, "project", "arrayref = \"0.3\"");
        Self {
            site,
            server,
            project,
        }
    }

    fn attack(&mut self) {
        self.server.set_clock(at("07:15"));
        publish(&mut self.site, "arrayref", BAD, Some(at("07:15")));
        for version in GOOD {
            self.site.yank("arrayref", version);
        }
        self.server.refresh();
        self.server
            .wait_for("attacked", || self.entry().contains(BAD));
    }

    fn take_back(&mut self) {
        self.server.set_clock(at("08:41"));
        self.site.withdraw("arrayref", &[BAD]);
        for version in GOOD {
            self.site.unyank("arrayref", version);
        }
        self.server.refresh();
        self.server
            .wait_for("taken back", || !self.entry().contains(BAD));
    }

    fn entry(&self) -> String {
        self.server.entry("arrayref").text()
    }

    fn locked(&self) -> String {
        locked_of(&self.project, "arrayref")
    }
}

#[test]
fn without_a_hold_the_bad_version_is_taken_until_it_is_refused_and_a_mail_says_by_whom() {
    let Some(exim) = Exim::start(&Options::default()) else {
        return;
    };
    let variables = exim.variables();
    let mut pairs: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pairs.push(("FERRY_POLICY_WITHDRAWN", "refuse"));
    let mut story = Story::begin(&pairs);
    story.attack();
    story.server.set_clock(at("07:52"));
    story.project.succeed(&["generate-lockfile"], None);
    assert_eq!(story.locked(), BAD);
    story.project.succeed(&["fetch", "--locked"], None);

    story.take_back();
    let (subject, text) = read(&exim.messages(1)[0]);
    assert!(
        subject.starts_with("withdrawn: ") && subject.ends_with(": arrayref 0.3.10"),
        "{subject}"
    );
    let said = "arrayref 0.3.10 was withdrawn upstream at 08:41 UTC: its line is gone from the index. Fetched here at 07:52 by \
                127.0.0.1.";
    assert!(text.contains(said), "{text}");
    // Who has the version in a lockfile gets it from here no more, and an update leads to a good one.
    let refused = story.server.download("arrayref", BAD);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("withdrawn"), "{}", refused.text());
    std::fs::remove_dir_all(story.project.home.join("registry")).unwrap();
    let said = fail(&story.project, &["fetch", "--locked"]);
    assert!(said.contains("arrayref"), "{said}");
    story.project.succeed(&["update"], None);
    assert_eq!(story.locked(), "0.3.9");
    story.project.succeed(&["run", "--quiet", "--locked"], None);
}

#[test]
fn with_a_hold_nobody_ever_takes_the_bad_version() {
    let mut story = Story::begin(&[MIN_AGE]);
    story.attack();
    story.server.set_clock(at("07:52"));
    story.project.succeed(&["generate-lockfile"], None);
    assert_eq!(story.locked(), "0.3.9");
    story.project.succeed(&["run", "--quiet", "--locked"], None);
    story.take_back();
    story.project.succeed(&["update"], None);
    assert_eq!(story.locked(), "0.3.9");
    assert_eq!(story.server.download("arrayref", BAD).status, 403);
    assert!(
        !story.entry().contains("\"yanked\":true"),
        "{}",
        story.entry()
    );
}
