#![allow(clippy::unwrap_used)]

use super::*;
use crate::wire::testing::{dribbled, lines, now};
use crate::wire::{AGENT, Advertisement};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn capabilities(ls_refs: &str) -> Capabilities {
    let bytes = lines(&["version 2\n", "agent=git/2\n", ls_refs]);
    now(Advertisement::read(&mut dribbled(&bytes)))
        .unwrap()
        .capabilities
}

fn read(text: &[&str]) -> Result<Refs> {
    now(read_ls_refs(&mut dribbled(&lines(text)), "refs/heads/main"))
}

#[test]
fn the_command_asks_for_head_and_the_branch_and_for_the_unborn_where_offered() {
    let request = ls_refs_request(&capabilities("ls-refs=unborn\n"), "refs/heads/master");
    let agent = format!("agent={AGENT}\n");
    let head = format!("0014command=ls-refs\n{:04x}{agent}0001", agent.len() + 4);
    let rest =
        "000csymrefs\n000bunborn\n0014ref-prefix HEAD\n0021ref-prefix refs/heads/master\n0000";
    assert_eq!(String::from_utf8_lossy(&request), format!("{head}{rest}"));
    let plain = ls_refs_request(&capabilities("ls-refs\n"), "refs/heads/master");
    assert_eq!(
        String::from_utf8_lossy(&plain),
        format!("{head}{rest}").replace("000bunborn\n", "")
    );
    let silent = ls_refs_request(&Capabilities::default(), "refs/heads/master");
    assert!(
        silent.starts_with(b"0014command=ls-refs\n0001"),
        "{silent:?}"
    );
}

#[test]
fn branches_and_the_head_are_read() {
    let told = read(&[
        &format!("{A} HEAD symref-target:refs/heads/main\n"),
        &format!("{A} refs/heads/main\n"),
        &format!("{A} refs/heads/main-old peeled:{A}\n"),
        &format!("{A} refs/tags/v1\n"),
    ])
    .unwrap();
    assert_eq!(told.head, Head::Branch("refs/heads/main".to_owned()));
    // The prefix has others, too, and a server may list what nobody asked for.
    assert_eq!(
        told.branches.into_keys().collect::<Vec<_>>(),
        ["refs/heads/main"]
    );
}

#[test]
fn an_unborn_head_names_its_branch_which_is_not_there() {
    let told = read(&["unborn HEAD symref-target:refs/heads/main\n"]).unwrap();
    assert_eq!(told.head, Head::Branch("refs/heads/main".to_owned()));
    assert!(told.branches.is_empty());
}

#[test]
fn a_head_alone_is_detached_and_an_empty_list_says_nothing_of_it() {
    assert_eq!(
        read(&[&format!("{A} HEAD\n")]).unwrap().head,
        Head::Detached(A.parse().unwrap())
    );
    assert_eq!(read(&[]).unwrap().head, Head::Unknown);
}

#[test]
fn a_line_that_is_no_ref_is_garbage() {
    let sha256 = "c".repeat(64) + " refs/heads/main\n";
    for line in ["", "hello", "1234 refs/heads/main\n", &sha256] {
        assert!(matches!(read(&[line]), Err(Error::Garbage(_))), "{line:?}");
    }
}

#[test]
fn the_names_of_an_advertisement_have_a_bound_in_bytes() {
    let long = "x".repeat(60_000);
    let many = |count: usize| {
        let names = (0..count).map(|number| format!("{A} refs/heads/{number}{long}\n"));
        let names: Vec<String> = names.collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        now(Advertisement::read(&mut dribbled(&lines(&names))))
    };
    assert_eq!(many(100).unwrap().refs.unwrap().branches.len(), 100);
    let error = many(200).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}
