//! Commits: people's, upstream's, and the relay's own with their trailer.

use crates_ferry::git::ObjectId;
use crates_ferry::git::objects::Author;
use crates_ferry::git::objects::{Commit, NewCommit};
use crates_ferry::git::wire::pack::ObjectKind;
use proptest::prelude::*;

use super::{feed, line, read, repository, write};
use crate::support::repo::git;

const UPSTREAM: &str = "0123456789abcdef0123456789abcdef01234567";

fn author() -> Author {
    Author {
        name: "crates-ferry".to_owned(),
        email: "crates-ferry@localhost".to_owned(),
    }
}

#[test]
fn a_merge_is_read_as_git_made_it() {
    let (_folder, repo) = repository();
    let tree = git(&repo, &["mktree"]);
    let one = git(&repo, &["commit-tree", "-m", "one", &tree]);
    let two = git(&repo, &["commit-tree", "-m", "two", &tree]);
    let arguments = ["commit-tree", "-p", &one, "-p", &two, "-F", "-", &tree];
    let merge = line(feed(&repo, &arguments, "Merge ümläut\n\nbody\n".as_bytes()));
    let commit = Commit::parse(&read(&repo, "commit", &merge)).unwrap();
    assert_eq!(commit.tree.to_string(), tree);
    let parents: Vec<String> = commit.parents.iter().map(ObjectId::to_string).collect();
    assert_eq!(parents, [one, two]);
    assert_eq!(
        (commit.subject(), &commit.message[..]),
        ("Merge ümläut", "Merge ümläut\n\nbody\n")
    );
    let seconds = git(&repo, &["log", "-1", "--format=%ct", &merge]);
    assert_eq!(commit.seconds.to_string(), seconds);
}

#[test]
fn odd_commits_that_git_holds_are_read() {
    let (_folder, repo) = repository();
    let tree = git(&repo, &["mktree"]);
    let who = "A U Thor <a@b.example>";
    let signed = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEz=\n -----END PGP SIGNATURE-----\n";
    for (headers, message) in [
        ("", ""),
        ("", "no newline"),
        ("", "\n\nleading lines"),
        ("encoding ISO-8859-1\n", "gr\u{fc}n\n"),
        (signed, "signed\n"),
    ] {
        let content = format!(
            "tree {tree}\nauthor {who} 1 +0000\ncommitter {who} 1700000000 -0330\n{headers}\n{message}"
        );
        let id = write(&repo, "commit", content.as_bytes());
        let commit = Commit::parse(&read(&repo, "commit", &id)).unwrap();
        assert_eq!(
            (&commit.message[..], commit.seconds),
            (message, 1_700_000_000)
        );
        assert_eq!((commit.parents.len(), commit.upstream_commit()), (0, None));
    }
    let latin = [
        format!("tree {tree}\nauthor {who} 1 +0000\ncommitter {who} 1 +0000\n\n").as_bytes(),
        b"gr\xfcn\n",
    ]
    .concat();
    assert_eq!(Commit::parse(&latin).unwrap().message, "gr\u{fffd}n\n");
}

#[test]
fn what_is_no_commit_is_an_error_and_no_panic() {
    for content in [
        &b""[..],
        b"tree 1234\n",
        b"\0\xff",
        b"author A <a@b.example> 1 +0000\n\nx",
    ] {
        assert!(Commit::parse(content).is_err(), "{content:?}");
    }
}

#[test]
fn a_commit_that_is_made_is_sound_and_carries_its_trailer() {
    let (_folder, repo) = repository();
    let tree = git(&repo, &["mktree"]);
    let parents = ["one", "two"].map(|text| {
        let id = git(&repo, &["commit-tree", "-m", text, &tree]);
        id.parse::<ObjectId>().unwrap()
    });
    let author = author();
    for message in ["Carry 1 commit", "Carry 2 commits\n\nCrates: a, b\n\n"] {
        let new = NewCommit {
            tree: tree.parse().unwrap(),
            parents: &parents,
            author: &author,
            seconds: 1_780_000_000,
            authored_seconds: 1_780_000_000,
            message,
            upstream_commit: UPSTREAM.parse().unwrap(),
        };
        let content = new.content().unwrap();
        let id = write(&repo, "commit", &content);
        assert_eq!(id, ObjectKind::Commit.id_of(&content).to_string());
        git(&repo, &["update-ref", "refs/heads/master", &id]);
        assert_eq!(
            git(&repo, &["fsck", "--strict", "--full", "--no-dangling"]),
            ""
        );
        let shown = git(&repo, &["log", "-1", "--format=%an <%ae> %at %ct %P", &id]);
        let [one, two] = parents;
        assert_eq!(
            shown,
            format!("crates-ferry <crates-ferry@localhost> 1780000000 1780000000 {one} {two}")
        );
        let trailers = git(&repo, &["log", "-1", "--format=%(trailers)", &id]);
        assert_eq!(trailers, format!("Upstream-Commit: {UPSTREAM}"));
        let read = Commit::parse(&content).unwrap();
        assert_eq!(read.upstream_commit(), Some(UPSTREAM.parse().unwrap()));
    }
}

#[test]
fn an_author_that_cannot_stand_in_a_commit_is_refused() {
    for (name, email) in [
        ("a\nparent x", "a@b.example"),
        ("a", "a@b.example>\nparent <x"),
        ("a <", "a@b.example"),
    ] {
        let author = Author {
            name: name.to_owned(),
            email: email.to_owned(),
        };
        let new = NewCommit {
            tree: ObjectId::ZERO,
            parents: &[],
            author: &author,
            seconds: 0,
            authored_seconds: 0,
            message: "x",
            upstream_commit: ObjectId::ZERO,
        };
        assert!(new.content().is_err(), "{name:?} {email:?}");
    }
}

/// Reads the trailer off a message, as of a commit that git holds.
fn trailer(message: &str) -> Option<String> {
    let who = "A U Thor <a@b.example> 1700000000 +0000";
    let content = format!("tree {UPSTREAM}\nauthor {who}\ncommitter {who}\n\n{message}");
    let commit = Commit::parse(content.as_bytes()).unwrap();
    commit.upstream_commit().map(|id| id.to_string())
}

#[test]
fn the_trailer_is_found_where_it_ends_the_message() {
    let ours = format!("Upstream-Commit: {UPSTREAM}");
    for message in [
        format!("Carry 1 commit\n\n{ours}\n"),
        format!("Carry 1 commit\n\n{ours}"),
        format!("Carry 1 commit\n\nCrates: a\n\n{ours}\n"),
        format!("Carry 1 commit\n\n{ours}\nSigned-off-by: A <a@b.example>\n"),
        format!("Carry 1 commit\n\nReviewed-by: A <a@b.example>\n{ours}\n"),
        format!("Carry 1 commit\r\n\r\nCrates: a\r\n\r\n{ours}\r\n"),
    ] {
        assert_eq!(trailer(&message).as_deref(), Some(UPSTREAM), "{message:?}");
    }
}

#[test]
fn what_people_write_is_not_taken_for_the_trailer() {
    let ours = format!("Upstream-Commit: {UPSTREAM}");
    for message in [
        ours.clone(),
        format!("{ours}\n\nwas carried\n"),
        format!("Revert it\n\n{ours}\n\nThis was a mistake.\n"),
        format!("Quote it\n\n> {ours}\n"),
        format!("Quote it\n\n    {ours}\n"),
        format!("Speak of it\n\nLook at {ours}\n"),
        format!("Name it otherwise\n\nNot-{ours}\n"),
        format!("upstream-commit\n\nUpstream: {UPSTREAM}\n"),
        "Cut it\n\nUpstream-Commit: 0123456789\n".to_owned(),
        format!("Lengthen it\n\n{ours}0\n"),
        "Empty it\n\nUpstream-Commit:\n".to_owned(),
    ] {
        assert_eq!(trailer(&message), None, "{message:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_commit_or_none(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(commit) = Commit::parse(&bytes) {
            prop_assert!(commit.message.len() <= 3 * bytes.len());
        }
    }

    #[test]
    fn any_message_is_read_without_a_panic(message in "(?s).{0,200}", ours in any::<bool>()) {
        let tail = if ours { format!("\n\nUpstream-Commit: {UPSTREAM}\n") } else { String::new() };
        trailer(&format!("{message}{tail}"));
    }
}
