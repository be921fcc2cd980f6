#![allow(clippy::unwrap_used)]

use super::*;
use crate::wire::Head;
use crate::wire::testing::{dribbled, lines, now, packets};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn read(text: &[String]) -> Result<Advertisement> {
    let text: Vec<&str> = text.iter().map(String::as_str).collect();
    now(Advertisement::read(&mut dribbled(&lines(&text))))
}

fn heads(advertisement: &Advertisement) -> Vec<&str> {
    let refs = advertisement.refs.as_ref().unwrap();
    refs.branches.keys().map(String::as_str).collect()
}

#[test]
fn version_2_tells_capabilities_and_no_refs() {
    let told = read(&[
        "version 2\n".to_owned(),
        "agent=git/2.47\n".to_owned(),
        "ls-refs=unborn\n".to_owned(),
        "fetch=shallow wait-for-done filter\n".to_owned(),
        "object-format=sha1\n".to_owned(),
    ])
    .unwrap();
    assert_eq!(told.protocol, Protocol::V2);
    assert!(told.refs.is_none());
    let capabilities = &told.capabilities;
    assert!(capabilities.has("fetch") && !capabilities.has("filter"));
    assert!(capabilities.value_has("fetch", "filter") && !capabilities.value_has("fetch", "filt"));
    assert_eq!(capabilities.value("agent"), Some("git/2.47"));
}

#[test]
fn versions_0_and_1_tell_refs_with_the_capabilities_behind_the_first() {
    let refs = [
        format!("{A} HEAD\0multi_ack thin-pack symref=HEAD:refs/heads/main symref=refs/x:refs/y\n"),
        format!("{A} refs/heads/main\n"),
        format!("{B} refs/heads/snapshot\n"),
        format!("{B} refs/tags/v1\n"),
        format!("{A} refs/tags/v1^{{}}\n"),
        format!("shallow {B}\n"),
    ];
    let version_1 = [&["version 1\n".to_owned()], &refs[..]].concat();
    for text in [&refs[..], &version_1] {
        let told = read(text).unwrap();
        assert_eq!(told.protocol, Protocol::V0);
        assert!(told.capabilities.has("thin-pack"));
        assert_eq!(told.capabilities.values("symref").count(), 2);
        assert_eq!(heads(&told), ["refs/heads/main", "refs/heads/snapshot"]);
        let refs = told.refs.unwrap();
        assert_eq!(refs.head, Head::Branch("refs/heads/main".to_owned()));
        assert_eq!(refs.branches["refs/heads/snapshot"], B.parse().unwrap());
    }
}

#[test]
fn an_empty_repository_tells_capabilities_alone() {
    let zero = crate::ObjectId::ZERO;
    let told = read(&[format!("{zero} capabilities^{{}}\0report-status\n")]).unwrap();
    assert!(told.capabilities.has("report-status"));
    assert_eq!(heads(&told), Vec::<&str>::new());
    assert_eq!(told.refs.unwrap().head, Head::Unknown);
    // Older servers say nothing at all of it.
    let silent = read(&[]).unwrap();
    assert_eq!(heads(&silent), Vec::<&str>::new());
}

#[test]
fn a_head_without_symref_is_detached() {
    let told = read(&[
        format!("{A} HEAD\0thin-pack\n"),
        format!("{A} refs/heads/main\n"),
    ])
    .unwrap();
    let head = Head::Detached(A.parse().unwrap());
    assert_eq!(told.refs.unwrap().head, head);
}

#[test]
fn a_sha256_repository_is_refused_by_name() {
    let long = "c".repeat(64);
    for text in [
        vec![
            "version 2\n".to_owned(),
            "object-format=sha256\n".to_owned(),
        ],
        vec![format!("{long} HEAD\0thin-pack object-format=sha256\n")],
    ] {
        let error = read(&text).unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported(why) if why.contains("sha256")),
            "{error:?}"
        );
    }
}

#[test]
fn what_is_no_advertisement_is_garbage_or_the_servers_word() {
    let denied = read(&["ERR no such repository\n".to_owned()]).unwrap_err();
    assert!(matches!(denied, Error::Remote(text) if text == "no such repository"));
    for text in ["hello", "xyz refs/heads/main\0caps", "version 3"] {
        assert!(
            matches!(read(&[text.to_owned()]), Err(Error::Garbage(_))),
            "{text}"
        );
    }
    let web_page = now(Advertisement::read(&mut packets(b"<html>")));
    assert!(matches!(web_page, Err(Error::Garbage(_))));
}

#[test]
fn a_list_that_does_not_end_in_a_flush_packet_is_not_believed() {
    let whole = lines(&[
        &format!("{A} HEAD\0thin-pack\n"),
        &format!("{A} refs/heads/main\n"),
    ]);
    for at in 0..whole.len() {
        assert!(
            now(Advertisement::read(&mut packets(&whole[..at]))).is_err(),
            "{at}"
        );
    }
    let delimited = [&whole[..whole.len() - 4], b"0001"].concat();
    assert!(now(Advertisement::read(&mut packets(&delimited))).is_err());
}

#[test]
fn capabilities_without_end_are_refused() {
    let mut text = vec!["version 2\n".to_owned()];
    text.extend((0..300).map(|number| format!("capability-{number}\n")));
    assert!(matches!(read(&text), Err(Error::Limit { .. })));
    let long = format!("{}\n", "x".repeat(60_000));
    let few = ["version 2\n".to_owned(), long.clone()];
    assert!(read(&few).is_ok());
    let mut many = few.to_vec();
    many.extend(vec![long; 5]);
    assert!(matches!(read(&many), Err(Error::Limit { .. })));
}
