#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use url::Url;

use super::*;
use crate::mirror::report::Topic;

fn failure(kind: Kind) -> Failure {
    Failure {
        kind,
        message:
            "git@gitlab.example:rust/index.git: it refused the push: pre-receive hook declined"
                .to_owned(),
        causes: vec!["You are <not> allowed".to_owned()],
        advice: Some("Let the key push to this branch.".to_owned()),
        is_transient: kind.is_transient(),
    }
}

fn notice(event: Event) -> Notice {
    let page = |path: &str| Some(Url::parse(&format!("https://gitlab.example/{path}")).unwrap());
    let remote = |url: &str| RemoteBranch {
        url: url.to_owned(),
        branch: "master".to_owned(),
    };
    Notice {
        event,
        mirror: remote("git@gitlab.example:rust/index.git"),
        upstream: Some(remote("https://upstream.example/index")),
        mirror_status: MirrorStatus {
            last_moved: Observed::Known(("1234567".to_owned(), 1_780_000_000 - 7_200)),
            behind: Observed::Unknown("cannot reach upstream".to_owned()),
        },
        last_success: Some(1_780_000_000 - 3_600),
        job: Job {
            log: page("jobs/7"),
            pipeline: page("pipelines/3?a=1&b=2"),
            name: Some("sync".to_owned()),
            source: Some("schedule".to_owned()),
            ..Job::default()
        },
        dry_run: "crates-ferry sync --dry-run".to_owned(),
        repeat_after: Some(Duration::from_secs(6 * 3600)),
        now: 1_780_000_000,
    }
}

#[test]
fn the_subject_says_what_where_and_why() {
    let with = |event, url: &str| {
        let mut notice = notice(event);
        notice.mirror.url = url.to_owned();
        notice.subject(str::to_owned)
    };
    let failed = || Event::Failed(failure(Kind::Permission));
    assert_eq!(
        with(failed(), "git@gitlab.example:rust/index.git"),
        "sync failed: gitlab.example:rust/index: permission denied"
    );
    assert_eq!(
        with(Event::Test, "https://gitlab.example/rust/index.git/"),
        "test mail: gitlab.example/rust/index"
    );
    assert_eq!(
        with(
            failed(),
            "ssh://git@gitlab.platform.example:2222/teams/languages/rust/mirrors/crates.io-index.git"
        ),
        "sync failed: ...ages/rust/mirrors/crates.io-index: permission denied"
    );
}

proptest! {
    #[test]
    fn a_subject_is_one_short_line_of_ascii(url in "\\PC{0,200}", kind in 0..4_usize) {
        let kind = [Kind::Race, Kind::HostKey, Kind::Unrelated, Kind::Network][kind];
        for event in [Event::Failed(failure(kind)), Event::Test, Event::Warned(Vec::new())] {
            let mut notice = notice(event);
            notice.mirror.url = url.clone();
            let subject = notice.subject(str::to_owned);
            prop_assert!(subject.len() <= 68, "{}", subject);
            prop_assert!(subject.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{}", subject);
        }
    }
}

#[test]
fn a_failure_is_told_with_its_causes_its_kind_and_what_to_do() {
    let (text, html) = notice(Event::Failed(failure(Kind::Permission)))
        .bodies(str::to_owned)
        .unwrap();
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text, @r"
    gitlab.example:rust/index last moved 2 hours ago. The sync failed. What the mirror has is not affected, but new crates do not reach it.

    What failed
      git@gitlab.example:rust/index.git: it refused the push: pre-receive hook declined
      caused by    You are <not> allowed
      kind         permission (exit code 3)

    What to do
      Let the key push to this branch.
      This does not go away by itself: every sync fails until somebody acts.
      While this lasts, you get a mail at most every 6h, and one more when a sync succeeds again.

    The job
      job          sync https://gitlab.example/jobs/7
      pipeline     https://gitlab.example/pipelines/3?a=1&b=2
      started by   schedule

    The mirror
      mirror       git@gitlab.example:rust/index.git (master)
      upstream     https://upstream.example/index (master)
      last moved   2026-05-28 18:26:40 UTC, 2 hours ago, to 1234567
      behind       unknown: cannot reach upstream
      last success 2026-05-28 19:26:40 UTC, 60 minutes ago

    Try it by hand
      crates-ferry sync --dry-run

    -- 
    crates-ferry VERSION
    ");
    for part in [
        "You are &#60;not&#62; allowed",
        "<a href=\"https://gitlab.example/pipelines/3?a=1&#38;b=2\">",
        ">crates-ferry sync --dry-run</pre>",
    ] {
        assert!(html.contains(part), "{html}");
    }
}

#[test]
fn the_first_words_say_how_far_the_mirror_is_behind() {
    let mut notice = notice(Event::Failed(failure(Kind::Permission)));
    notice.mirror_status.behind = Observed::Known(Some(Behind {
        commits: 1,
        since: 1_780_000_000 - 3 * 3600,
        relation: Relation::Advanced,
    }));
    let (text, _) = notice.bodies(str::to_owned).unwrap();
    let start = "gitlab.example:rust/index is 1 commit and 3 hours behind. The sync failed. ";
    assert!(text.starts_with(start), "{text}");
    assert!(
        text.contains("  behind       1 commit (advanced)\n"),
        "{text}"
    );
    notice.mirror_status = MirrorStatus::default();
    let (text, _) = notice.bodies(str::to_owned).unwrap();
    assert!(text.starts_with("The sync failed. "), "{text}");
}

#[test]
fn what_is_to_be_copied_stands_alone_on_its_line() {
    let mut failure = failure(Kind::HostKey);
    let line = "gitlab.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5";
    failure.advice = Some(format!("Add this line to SSH_KNOWN_HOSTS:\n{line}"));
    let (text, html) = notice(Event::Failed(failure))
        .bodies(str::to_owned)
        .unwrap();
    assert!(text.lines().any(|it| it.trim() == line), "{text}");
    assert!(html.contains(&format!(">{line}</pre>")), "{html}");
}

#[test]
fn a_recovery_says_since_when_and_how_often() {
    let event = Event::Recovered {
        since: 1_779_990_000,
        failures: 3,
    };
    let (text, _) = notice(event).bodies(str::to_owned).unwrap();
    assert!(
        text.starts_with("The sync works again. Since 2026-05-28 17:40:00 UTC, 3 syncs failed.\n"),
        "{text}"
    );
    assert!(!text.contains("What failed"), "{text}");
}

#[test]
fn warnings_are_listed() {
    let warning = Warning::calling(Topic::UpstreamConfig, "upstream changed its config.json");
    let (text, html) = notice(Event::Warned(vec![warning]))
        .bodies(str::to_owned)
        .unwrap();
    for body in [text, html] {
        assert!(body.contains("upstream changed its config.json"), "{body}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut notice = notice(Event::Failed(failure(Kind::Network)));
    notice.job = Job::default();
    notice.mirror_status = MirrorStatus::default();
    notice.last_success = None;
    notice.repeat_after = None;
    notice.dry_run = String::new();
    let (text, _) = notice.bodies(str::to_owned).unwrap();
    for part in [
        "The job",
        "last moved",
        "behind",
        "last success",
        "is mailed",
        "by hand",
    ] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("may go away by itself"), "{text}");
}

#[test]
fn a_date_from_the_end_of_time_is_told_all_the_same() {
    let mut notice = notice(Event::Failed(failure(Kind::Network)));
    for (at, age) in [
        (i64::MIN, "years ago, to 1"),
        (i64::MAX, "0 seconds ago, to 1"),
    ] {
        notice.mirror_status.last_moved = Observed::Known(("1234567".to_owned(), at));
        notice.now = if at < 0 { 1_780_000_000 } else { -1 };
        let (text, _) = notice.bodies(str::to_owned).unwrap();
        assert!(text.contains(age), "{text}");
    }
}
