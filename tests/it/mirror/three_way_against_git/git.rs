//! Asks git what it makes of a merge.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crates_ferry::git::ObjectId;
use crates_ferry::mirror::plan::three_way::Sides;

use super::cases::{Files, content};

/// What git makes of a merge.
pub(crate) struct Verdict {
    pub(crate) clean: bool,
    pub(crate) tree: ObjectId,
    pub(crate) conflicted: BTreeSet<String>,
}

fn git(repository: &Path, arguments: &[&str], input: &str) -> Vec<u8> {
    let file = repository.join("input");
    fs::write(&file, input).unwrap();
    let output = Command::new("git")
        .args([
            "-c",
            "merge.renames=false",
            "-c",
            "merge.directoryRenames=false",
        ])
        .args(arguments)
        .current_dir(repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .stdin(Stdio::from(File::open(&file).unwrap()))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "git {arguments:?}"
    );
    output.stdout
}

/// Merges all cases with two git processes, one that makes the commits and one that merges them.
pub(crate) fn verdicts(cases: &[Sides<Files>]) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path();
    git(
        repository,
        &["init", "--quiet", "--bare", "--object-format=sha1"],
        "",
    );
    let mut commits = String::new();
    for (number, case) in cases.iter().enumerate() {
        for (side, files) in [&case.ours, &case.base, &case.theirs]
            .into_iter()
            .enumerate()
        {
            let mark = 3 * number + side + 1;
            write!(
                commits,
                "reset refs/heads/x\n\ncommit refs/heads/x\nmark :{mark}\n"
            )
            .unwrap();
            commits.push_str("committer a <a@a.example> 0 +0000\ndata 0\n");
            for (path, (version, mode)) in files {
                let data = content(path, *version);
                writeln!(
                    commits,
                    "M {mode:o} inline {path}\ndata {}\n{data}",
                    data.len()
                )
                .unwrap();
            }
            commits.push('\n');
        }
    }
    git(
        repository,
        &["fast-import", "--quiet", "--export-marks=marks"],
        &commits,
    );
    let marks = fs::read_to_string(repository.join("marks")).unwrap();
    let commits: HashMap<&str, &str> = marks
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let commit = |number: usize| commits[format!(":{number}").as_str()];
    let mut merges = String::new();
    for first in (1..).step_by(3).take(cases.len()) {
        let (ours, base, theirs) = (commit(first), commit(first + 1), commit(first + 2));
        writeln!(merges, "{base} -- {ours} {theirs}").unwrap();
    }
    let merge_tree = [
        "merge-tree",
        "--write-tree",
        "--stdin",
        "--name-only",
        "--no-messages",
    ];
    read_verdicts(&git(repository, &merge_tree, &merges))
}

/// Reads what `merge-tree --stdin` prints: for each merge status, tree and conflicted paths, then an empty field.
fn read_verdicts(output: &[u8]) -> Vec<Verdict> {
    let mut fields = output
        .split(|byte| *byte == 0)
        .map(|field| str::from_utf8(field).unwrap());
    let mut verdicts = Vec::new();
    while let Some(status) = fields.next().filter(|status| !status.is_empty()) {
        verdicts.push(Verdict {
            clean: status == "1",
            tree: fields.next().unwrap().parse().unwrap(),
            conflicted: fields
                .by_ref()
                .take_while(|path| !path.is_empty())
                .map(str::to_owned)
                .collect(),
        });
    }
    verdicts
}
