//! No flood: what the state file remembers, and what happens without one that works.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{PROTECTED, Post, mails, stderr};

const STATE: (&str, &str) = ("FERRY_MAIL_STATE", ".ferry/mail.json");

#[test]
fn the_same_failure_is_mailed_once_and_the_success_after_it_once() {
    let Some(mut post) = Post::new() else { return };
    post.refuse(PROTECTED);
    for _ in 0..3 {
        assert_eq!(post.sync(&[STATE]).0, 3);
    }
    mails(&post.exim, 1);
    let at_once = [STATE, ("FERRY_MAIL_REPEAT_AFTER", "1ms")];
    assert_eq!(post.sync(&at_once).0, 3);
    mails(&post.exim, 2);
    post.accept();
    for _ in 0..2 {
        assert_eq!(post.sync(&[STATE]).0, 0);
    }
    let recovered = &mails(&post.exim, 3)[2];
    assert!(
        recovered.subject.starts_with("sync recovered: "),
        "{}",
        recovered.subject
    );
    assert!(
        recovered.text.contains("4 syncs failed"),
        "{}",
        recovered.text
    );
    post.scene.source.publish_many("later", 1);
    post.refuse(PROTECTED);
    assert_eq!(post.sync(&[STATE]).0, 3);
    let new = &mails(&post.exim, 4)[3];
    assert!(new.text.contains("last success"), "{}", new.text);
}

#[test]
fn a_sync_without_anything_to_tell_says_nothing_of_mails() {
    let Some(post) = Post::new() else { return };
    let output = post.run(&["sync"], &[STATE]);
    assert!(output.status.success());
    assert!(!stderr(&output).contains("mail"), "{}", stderr(&output));
    let state = std::fs::metadata(post.scene.folder.path().join(STATE.1)).unwrap();
    let mode = state.permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "the next job may run as somebody else");
}

#[test]
fn another_kind_of_failure_is_mailed_at_once() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    assert_eq!(post.sync(&[STATE]).0, 3);
    let down = [STATE, ("FERRY_UPSTREAM_URL", "git://127.0.0.1:1/index.git")];
    assert_eq!(post.sync(&down).0, 1);
    assert_eq!(post.sync(&[STATE]).0, 3);
    mails(&post.exim, 2);
}

#[test]
fn without_a_state_file_every_failure_is_mailed() {
    let Some(post) = Post::new() else { return };
    post.refuse(PROTECTED);
    for _ in 0..2 {
        assert_eq!(post.sync(&[]).0, 3);
    }
    post.accept();
    assert_eq!(post.sync(&[]).0, 0);
    mails(&post.exim, 2);
}

#[test]
fn a_state_file_that_is_broken_stops_neither_a_mail_nor_a_sync() {
    let Some(post) = Post::new() else { return };
    let folder = post.scene.folder.path();
    std::fs::write(folder.join("broken"), "{\"mirrors\": [").unwrap();
    std::fs::create_dir(folder.join("a-folder")).unwrap();
    post.refuse(PROTECTED);
    let states = ["broken", "a-folder", "broken/below-a-file"];
    for (already, state) in states.iter().enumerate() {
        let output = post.run(&["sync"], &[("FERRY_MAIL_STATE", state)]);
        assert_eq!(output.status.code(), Some(3), "{state}");
        assert!(
            stderr(&output).contains("mail.state"),
            "{}",
            stderr(&output)
        );
        mails(&post.exim, already + 1);
    }
    let repaired = std::fs::read(folder.join("broken")).unwrap();
    let repaired: serde_json::Value = serde_json::from_slice(&repaired).unwrap();
    assert_ne!(repaired["mirrors"], json!({}));
    post.accept();
    let (code, _) = post.sync(&[("FERRY_MAIL_STATE", "a-folder")]);
    assert_eq!(code, 0);
}
