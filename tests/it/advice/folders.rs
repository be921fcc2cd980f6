//! What is wrong on this machine: its disk, its limits, and the files that it is given.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::server::{self, Site};
use crate::support::upstream::{Commit, Upstream};

fn run(pairs: &[(&str, &str)], arguments: &[&str]) -> Output {
    let pairs = pairs.iter();
    let variables: Vec<_> = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    server::command(&variables)
        .args(arguments)
        .output()
        .unwrap()
}

/// Returns all that a command told.
fn told(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

/// The words of libraries that must reach nobody.
fn assert_plain(told: &str) {
    for words in [
        "class=",
        "This is a bug",
        "file is not a database",
        "Os {",
        "SqliteFailure",
    ] {
        assert!(!told.contains(words), "{words}: {told}");
    }
}

#[test]
fn git_init_is_advised_for_a_mirror_alone() {
    let folder = tempfile::tempdir().unwrap();
    Upstream::create(folder.path(), "there.git");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (there, missing) = (place("there.git"), place("missing.git"));
    let data = place("data");
    for (variables, arguments, key, is_init) in [
        (
            [
                ("FERRY_UPSTREAM_URL", &missing),
                ("FERRY_MIRROR_URL", &there),
            ],
            ["sync", "-v"],
            "upstream.url",
            false,
        ),
        (
            [
                ("FERRY_UPSTREAM_URL", &there),
                ("FERRY_MIRROR_URL", &missing),
            ],
            ["sync", "-v"],
            "mirror.url",
            true,
        ),
        (
            [
                ("FERRY_SERVE_INDEX", &missing),
                ("FERRY_SERVE_DATA_DIR", &data),
            ],
            ["prefetch", "--all"],
            "serve.index",
            false,
        ),
    ] {
        let variables = variables.map(|(name, value)| (name, value.as_str()));
        let told = told(&run(&variables, &arguments));
        assert!(
            told.contains("does not exist") && told.contains(key),
            "{told}"
        );
        assert_eq!(told.contains("git init --bare"), is_init, "{told}");
    }
}

#[test]
fn too_few_open_files_are_no_bug() {
    let folder = tempfile::tempdir().unwrap();
    Upstream::create(folder.path(), "there.git");
    let there = folder.path().join("there.git").display().to_string();
    for limit in ["5", "6", "8", "16"] {
        let program = server::command(&[]);
        let output = Command::new("sh")
            .args(["-c", "ulimit -n \"$0\"; exec \"$@\"", limit])
            .arg(program.get_program())
            .arg("check")
            .env_clear()
            .env("FERRY_UPSTREAM_URL", &there)
            .env("FERRY_MIRROR_URL", &there)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = told(&output);
        assert!(told.contains("ulimit -n"), "{limit}: {told}");
        assert_plain(&told);
        assert_eq!(output.status.code(), Some(2), "{told}");
    }
}

/// Makes an upstream of three crates and its mirror, which are folders; returns their addresses as well.
fn two_folders() -> (TempDir, Upstream, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::create(folder.path(), "upstream.git");
    upstream.publish_many("crate", 3);
    let mirror = crate::support::ferry::empty_mirror(folder.path(), "mirror.git");
    let both = [upstream.path(), &*mirror].map(|path| path.display().to_string());
    assert!(run(&variables(&both), &["init"]).status.success());
    (folder, upstream, both)
}

fn variables([upstream, mirror]: &[String; 2]) -> [(&'static str, &str); 2] {
    [
        ("FERRY_UPSTREAM_URL", upstream),
        ("FERRY_MIRROR_URL", mirror),
    ]
}

fn check(both: &[String; 2]) -> Output {
    run(&variables(both), &["check"])
}

#[test]
fn check_tells_of_a_config_json_without_a_dl() {
    let (folder, _upstream, both) = two_folders();
    let shown = told(&check(&both));
    assert!(shown.contains("a sync would end as up-to-date"), "{shown}");
    let mut mirror = Upstream::open(folder.path(), "mirror.git");
    mirror.commit([Commit::new("Empty it").file("config.json", r#"{"dl":""}"#)]);
    let output = check(&both);
    let shown = told(&output);
    assert!(
        shown.contains("FAILED   config.json") && shown.contains("`dl`"),
        "{shown}"
    );
}

#[test]
fn check_tells_of_a_conflict_before_a_sync_does() {
    let (folder, mut upstream, both) = two_folders();
    let mirror = folder.path().join("mirror.git");
    Upstream::open(folder.path(), "mirror.git").commit([Commit::new("Ours").file("both", "ours")]);
    upstream.commit([Commit::new("Theirs").file("both", "theirs")]);
    let tip = crate::support::repo::git(&mirror, &["rev-parse", "master"]);
    let output = check(&both);
    let shown = told(&output);
    assert!(
        shown.contains("FAILED   plan ") && shown.contains("both"),
        "{shown}"
    );
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert_eq!(
        crate::support::repo::git(&mirror, &["rev-parse", "master"]),
        tip
    );
}

#[test]
fn check_tells_of_a_loss_before_a_sync_does() {
    let (_folder, mut upstream, both) = two_folders();
    let path = |number| format!("{number:03}/x");
    let fill = |commit: Commit, number| commit.file(&path(number), "x");
    upstream.commit([(0..500).fold(Commit::new("Fill the root"), fill)]);
    assert!(run(&variables(&both), &["sync"]).status.success());
    let lose = |commit: Commit, number| commit.without(&path(number));
    upstream.commit([(0..200).fold(Commit::new("Lose much"), lose)]);
    let output = check(&both);
    let shown = told(&output);
    assert!(
        shown.contains("FAILED   plan ") && shown.contains("lost 200 of"),
        "{shown}"
    );
    assert!(shown.contains("--allow-loss"), "{shown}");
    assert_eq!(output.status.code(), Some(1), "{shown}");
}

#[test]
fn check_before_adopting_advises_to_adopt() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::create(folder.path(), "upstream.git");
    let mut mirror = Upstream::empty(folder.path(), "mirror.git");
    mirror.commit([Commit::new("Initial commit").file("README.md", "Hello")]);
    let place = |path: &Path| path.display().to_string();
    let (from, to) = (place(upstream.path()), place(mirror.path()));
    let shown = told(&run(
        &[("FERRY_UPSTREAM_URL", &from), ("FERRY_MIRROR_URL", &to)],
        &["check"],
    ));
    assert!(shown.contains("the mirror has no config.json"), "{shown}");
    assert!(!shown.contains("Commit one"), "{shown}");
    assert!(shown.matches("init --adopt").count() >= 2, "{shown}");
}

#[test]
fn a_catalog_that_cannot_be_used_is_told_in_plain_words() {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", b"foo");
    assert!(site.run(&["prefetch", "--all"]).status.success());
    let catalog = site.data().join("catalog.sqlite");

    // None: put aside, with its pins told as lost.
    std::fs::write(
        &catalog,
        "this is no database, but a text of more than a hundred bytes".repeat(9),
    )
    .unwrap();
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(catalog.with_file_name(format!("catalog.sqlite{end}"))).ok();
    }
    let output = site.run(&["prefetch", "--all"]);
    let shown = told(&output);
    assert!(
        output.status.success() && shown.contains("catalog.damaged"),
        "{shown}"
    );
    assert_plain(&shown);

    // A folder in its place.
    std::fs::remove_file(&catalog).unwrap();
    std::fs::create_dir(&catalog).unwrap();
    let output = site.run(&["prefetch", "--all"]);
    let shown = told(&output);
    assert!(
        shown.contains("it can neither be opened nor created"),
        "{shown}"
    );
    assert!(
        shown.contains("help: ") && output.status.code() == Some(2),
        "{shown}"
    );
    assert_plain(&shown);
}

#[test]
fn a_lockfile_that_is_none_is_told_with_its_line() {
    let site = Site::new();
    let file = site.folder.path().join("Cargo.lock");
    for (text, says) in [
        ("", "is empty"),
        ("version = 4\n[[package]]\nname = \n", "line 3"),
        ("version = 99\n", "version 99"),
        (
            "version = 4\n[[package]]\nname = \"foo\"\nversion = \"not one\"\n",
            "line 4, column 11: unexpected character",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = site.run(&["prefetch", &file.display().to_string()]);
        let shown = told(&output);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(
            shown.contains(says) && shown.contains("Cargo.lock"),
            "{says}: {shown}"
        );
    }
}

/// What is damaged, and how.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_mirror_that_is_damaged_is_told_in_plain_words() {
    let (folder, mut upstream, both) = two_folders();
    let mirror = folder.path().join("mirror.git");
    upstream.publish_many("more", 1);
    let damages: [Damage; 4] = [
        ("HEAD", |mirror| {
            std::fs::remove_file(mirror.join("HEAD")).unwrap()
        }),
        ("config", |mirror| {
            std::fs::write(mirror.join("config"), "[core\n").unwrap()
        }),
        ("refs", |mirror| {
            std::fs::write(mirror.join("refs/heads/master"), "nonsense\n").unwrap()
        }),
        ("objects", |mirror| {
            for file in crate::support::server::files_in(&mirror.join("objects")) {
                std::fs::remove_file(file).unwrap();
            }
        }),
    ];
    for (name, damage) in damages {
        let broken = folder.path().join(name);
        crate::support::scene::copy(&mirror, &broken);
        damage(&broken);
        let to = broken.display().to_string();
        let output = run(&variables(&[both[0].clone(), to.clone()]), &["sync"]);
        let shown = told(&output);
        assert!(!output.status.success(), "{name}: {shown}");
        // Advice that leads to another error is none.
        assert!(!shown.contains("crates-ferry init"), "{name}: {shown}");
        assert!(
            shown.contains(&to) && shown.contains("help: "),
            "{name}: {shown}"
        );
        assert_plain(&shown);
    }
}
