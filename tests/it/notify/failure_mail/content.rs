//! What a mail says.

use super::{PROTECTED, Post, mails};
use crate::support::repo::git;
use crate::support::upstream::Commit;

const JOB: [(&str, &str); 5] = [
    ("CI_JOB_NAME", "sync"),
    ("CI_JOB_URL", "https://gitlab.example/rust/mirror/-/jobs/7"),
    (
        "CI_PIPELINE_URL",
        "https://gitlab.example/rust/mirror/-/pipelines/3",
    ),
    ("CI_PROJECT_PATH", "rust/mirror"),
    ("CI_PROJECT_URL", "https://gitlab.example/rust/mirror"),
];

#[test]
fn a_refused_push_is_mailed_with_all_that_helps() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    let (code, object) = post.sync(&JOB);
    assert_eq!((code, &object["error"]["kind"]), (3, &"permission".into()));
    let mails = mails(&post.exim, 1);
    let mail = &mails[0];
    assert!(
        mail.subject.starts_with("sync failed: 127.0.0.1:"),
        "{}",
        mail.subject
    );
    assert!(
        mail.subject.ends_with(": permission denied"),
        "{}",
        mail.subject
    );
    let tip = &post.scene.old[..7];
    for body in [&mail.text, &mail.html] {
        for part in [
            PROTECTED.trim_start_matches("GitLab: "),
            "permission (exit code 3)",
            "3 commits (advanced)",
            &format!("to {tip}"),
            "crates-ferry sync --dry-run -v",
            "rust/mirror",
            JOB[1].1,
            JOB[2].1,
            object["error"]["advice"]
                .as_str()
                .unwrap()
                .get(1..40)
                .unwrap(),
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
    }
}

#[test]
fn the_headers_are_those_of_a_machine_that_keeps_to_one_thread() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    post.sync(&[]);
    post.sync(&[]);
    let mails = mails(&post.exim, 2);
    for mail in &mails {
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(
            mail.header("Date").ends_with("+0000"),
            "{}",
            mail.header("Date")
        );
        assert!(mail.header("Subject").len() < 78 - "Subject: ".len());
        assert!(
            mail.header("Content-Type")
                .starts_with("multipart/alternative")
        );
    }
    assert_eq!(mails[0].header("References"), mails[1].header("References"));
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
}

#[test]
fn an_upstream_that_is_down_is_mailed_with_what_the_mirror_still_shows() {
    let Some(post) = Post::new() else { return };
    let (code, _) = post.sync(&[("FERRY_UPSTREAM_URL", "git://127.0.0.1:1/index.git")]);
    assert_eq!(code, 1);
    let mail = &mails(&post.exim, 1)[0];
    assert!(
        mail.subject.ends_with(": network error"),
        "{}",
        mail.subject
    );
    for part in [
        "last moved   20",
        "behind       unknown: ",
        "may go away by itself",
    ] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
}

#[test]
fn a_mirror_that_is_down_is_mailed_too() {
    let Some(post) = Post::new() else { return };
    let (code, _) = post.sync(&[("FERRY_MIRROR_URL", "git://127.0.0.1:1/index.git")]);
    assert_eq!(code, 1);
    let mail = &mails(&post.exim, 1)[0];
    for part in ["last moved   unknown: ", "behind       unknown: "] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
}

#[test]
fn a_config_json_that_changed_upstream_is_mailed_as_a_warning() {
    let Some(mut post) = Post::new() else { return };
    let other = Commit::new("Serve crates from elsewhere");
    let other = other.file(
        "config.json",
        "{\"dl\": \"https://elsewhere.example/dl\"}\n",
    );
    post.scene.source.commit([other]);
    let (code, object) = post.sync(&[]);
    assert_eq!((code, &object["outcome"]), (0, &"merge".into()));
    let mail = &mails(&post.exim, 1)[0];
    assert!(
        mail.subject.starts_with("sync warning: "),
        "{}",
        mail.subject
    );
    assert!(
        mail.text.contains("upstream changed its config.json"),
        "{}",
        mail.text
    );
    assert_ne!(
        git(&post.scene.mirror_path(), &["rev-parse", "master"]),
        post.scene.old
    );
}

#[test]
fn a_sync_that_succeeds_a_dry_run_and_a_configuration_error_mail_nothing() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    let dry = post.run(
        &["sync", "--dry-run"],
        &[("FERRY_UPSTREAM_URL", "/no/such/index")],
    );
    assert!(!dry.status.success());
    let (code, _) = post.sync(&[("FERRY_MIRROR_URL", "")]);
    assert_eq!(code, 2);
    post.accept();
    let (code, _) = post.sync(&[]);
    assert_eq!(code, 0);
    let (code, _) = post.sync(&[]);
    assert_eq!(code, 0);
    mails(&post.exim, 0);
}

#[test]
fn an_upstream_that_renames_its_branch_is_mailed_and_a_key_that_is_none_is_not() {
    let Some(post) = Post::new() else { return };
    let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----";
    let (code, _) = post.sync(&[
        ("FERRY_MIRROR_URL", "ssh://git@127.0.0.1:1/x"),
        ("SSH_PRIVATE_KEY", broken),
    ]);
    assert_eq!(code, 2);
    mails(&post.exim, 0);

    git(
        post.scene.source.path(),
        &["branch", "-m", "master", "main"],
    );
    let (code, report) = post.sync(&[]);
    assert_eq!((code, &report["error"]["kind"]), (2, &"config".into()));
    let [mail] = &mails(&post.exim, 1)[..] else {
        panic!("one mail");
    };
    assert!(
        mail.text.contains("it has no branch master"),
        "{}",
        mail.text
    );
    assert!(mail.text.contains("config (exit code 2)"), "{}", mail.text);
}
