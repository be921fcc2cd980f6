//! What a repository refuses, and its hooks.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use crates_ferry::git::transport::local::LocalRemote;
use crates_ferry::git::transport::{Service, Stream};
use crates_ferry::git::wire::PacketWriter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{History, Stage, fsck};
use crate::support::costly_pack;
use crate::support::repo::{git, git_command};
use crate::support::upstream::{Commit, commit_to};

/// A repository of some commits, and a clone with more.
struct Pair {
    stage: Stage,
    work: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let stage = Stage::new();
        let mut history = History::new(7);
        history.commits("master", None, 20);
        history.import(&stage.served());
        let work = stage.clone("work.git", &[]);
        commit_to(&work, [Commit::new("More").file("more/file", "more\n")]);
        Self { stage, work }
    }

    fn configure(&self, key: &str, value: &str) {
        git(&self.stage.served(), &["config", key, value]);
    }

    fn tip(&self) -> String {
        git(&self.stage.served(), &["rev-parse", "master"])
    }

    /// Pushes where that must succeed; returns what git says.
    fn push(&self, options: &[&str]) -> String {
        let arguments = [options, &["master:master"]].concat();
        let output = self.stage.try_push(&self.work, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(self.tip(), git(&self.work, &["rev-parse", "master"]));
        fsck(&self.stage.served());
        said
    }

    fn refused(&self, refspec: &str) -> String {
        self.stage.refused_push(&self.work, &[refspec])
    }

    /// Returns what a hook has written to a file beside the repository.
    fn noted(&self, name: &str) -> String {
        std::fs::read_to_string(self.stage.path(name)).unwrap()
    }
}

#[test]
fn a_hook_refuses_in_its_own_words_and_nothing_is_left_behind() {
    let pair = Pair::new();
    let deployed = pair.stage.path("deployed");
    let deploy = format!("touch {}", deployed.display());
    pair.stage.hook("post-receive", &deploy);
    pair.stage
        .hook("pre-receive", "echo 'not on a Sunday' >&2; exit 1");
    let said = pair.refused("master:master");
    assert!(said.contains("remote: not on a Sunday"), "{said}");
    assert!(said.contains("(pre-receive hook declined)"), "{said}");
    pair.stage.hook("pre-receive", "cat");
    pair.stage.hook("update", "echo \"no $1 from $2\"; exit 1");
    let (old, said) = (pair.tip(), pair.refused("master:master"));
    assert!(
        said.contains(&format!("remote: no refs/heads/master from {old}")),
        "{said}"
    );
    assert!(said.contains("(hook declined)"), "{said}");
    assert!(said.contains(&format!("remote: {old} ")), "{said}");
    pair.stage.hook("update", "");
    pair.stage
        .hook("reference-transaction", "test \"$1\" != prepared");
    let output = pair.stage.try_push(&pair.work, &["master:master"]);
    assert!(!output.status.success());
    assert_eq!(pair.tip(), old);
    assert!(
        !deployed.exists(),
        "a hook followed a push that was refused"
    );
}

#[test]
fn a_hook_that_says_nothing_and_reads_nothing_agrees() {
    let pair = Pair::new();
    for hook in [
        "pre-receive",
        "update",
        "reference-transaction",
        "post-receive",
        "post-update",
    ] {
        pair.stage.hook(hook, "exec <&- >&- 2>&-");
    }
    pair.push(&[]);
}

#[test]
fn a_hook_sees_the_pushed_objects_in_quarantine_and_the_push_options() {
    let pair = Pair::new();
    pair.configure("receive.advertisePushOptions", "true");
    let log = pair.stage.path("log");
    let script = format!(
        "read old new ref; git cat-file -t $new >{0} && git cat-file -t $old >>{0}\n\
         echo $GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0 $GIT_PUSH_OPTION_1 >>{0}\n\
         test -d \"$GIT_QUARANTINE_PATH\" && test \"$GIT_QUARANTINE_PATH\" = \"$GIT_OBJECT_DIRECTORY\" || exit 1\n\
         git update-ref refs/heads/other $new 2>>{0}; exit 0",
        log.display()
    );
    pair.stage.hook("pre-receive", &script);
    let after = format!(
        "read old new ref; echo $ref \"$GIT_QUARANTINE_PATH\" >{0}; git rev-parse master >>{0}; echo done",
        pair.stage.path("after").display()
    );
    pair.stage.hook("post-receive", &after);
    pair.stage.hook(
        "post-update",
        &format!("echo $@ >{}", pair.stage.path("updated").display()),
    );
    let said = pair.push(&["-o", "ci.skip", "-o", "second one"]);
    assert!(said.contains("remote: done"), "{said}");
    let noted = pair.noted("log");
    assert!(
        noted.starts_with("commit\ncommit\n2 ci.skip second one\n"),
        "{noted}"
    );
    assert!(
        noted.contains("ref updates forbidden inside quarantine environment"),
        "{noted}"
    );
    assert_eq!(
        pair.noted("after"),
        format!("refs/heads/master \n{}\n", pair.tip())
    );
    assert_eq!(pair.noted("updated"), "refs/heads/master\n");
}

#[test]
fn a_hook_inherits_what_any_program_needs_and_nothing_else() {
    // This process has more than that: cargo's own variables.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let pair = Pair::new();
    pair.stage.hook(
        "pre-receive",
        &format!("env >{}", pair.stage.path("env").display()),
    );
    pair.push(&[]);
    let noted = pair.noted("env");
    assert!(
        noted.contains("PATH=") && noted.contains("GIT_DIR=."),
        "{noted}"
    );
    assert!(!noted.contains("CARGO"), "{noted}");
}

#[test]
fn what_the_settings_forbid_is_refused() {
    let pair = Pair::new();
    pair.configure("receive.denyNonFastForwards", "true");
    git(&pair.work, &["branch", "back", "master~3"]);
    let said = pair.refused("+back:master");
    assert!(said.contains("(non-fast-forward)"), "{said}");
    pair.configure("receive.denyNonFastForwards", "false");
    pair.configure("receive.hideRefs", "refs/hidden");
    let said = pair.refused("master:refs/hidden/one");
    assert!(said.contains("(deny updating a hidden ref)"), "{said}");
    let said = pair.refused(":master");
    assert!(said.contains("does not support deleting refs"), "{said}");
    pair.configure("receive.maxInputSize", "100");
    let said = pair.refused("master:master");
    assert!(said.contains("pack exceeds maximum allowed size"), "{said}");
    pair.configure("receive.maxInputSize", "1m");
    git(&pair.work, &["branch", "-f", "master", "back"]);
    pair.push(&["--force"]);
}

#[test]
fn a_fast_forward_is_one_whatever_the_clocks_said() {
    let pair = Pair::new();
    pair.configure("receive.denyNonFastForwards", "true");
    // Of one second, and older than what they build on.
    for date in [
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z",
        "2019-01-01T00:00:00Z",
    ] {
        let tree = git(&pair.work, &["rev-parse", "master^{tree}"]);
        let commit = ["commit-tree", "-p", "master", "-m", "skewed", &tree];
        let mut made = git_command(&pair.work);
        made.args(commit)
            .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)]);
        let made = String::from_utf8(made.output().unwrap().stdout).unwrap();
        git(
            &pair.work,
            &["update-ref", "refs/heads/master", made.trim()],
        );
    }
    pair.push(&[]);
}

#[test]
fn the_branch_of_a_work_tree_stays_unless_the_settings_say_otherwise() {
    let pair = Pair::new();
    pair.configure("core.bare", "false");
    let said = pair.refused("master:master");
    assert!(said.contains("(branch is currently checked out)"), "{said}");
    pair.configure("receive.denyCurrentBranch", "warn");
    let said = pair.push(&[]);
    assert!(
        said.contains("remote: warning: updating the current branch"),
        "{said}"
    );
}

#[test]
fn the_setting_for_the_branch_of_a_work_tree_is_read_as_git_reads_it() {
    let pair = Pair::new();
    pair.configure("core.bare", "false");
    for (number, value) in ["Ignore", "WARN", "No", "OFF", "0", ""]
        .into_iter()
        .enumerate()
    {
        pair.configure("receive.denyCurrentBranch", value);
        commit_to(
            &pair.work,
            [Commit::new("More").file("n", number.to_string())],
        );
        let output = pair.stage.try_push(&pair.work, &["master:master"]);
        assert!(output.status.success(), "{value:?}: {output:?}");
    }
    commit_to(&pair.work, [Commit::new("Last").file("n", "last")]);
    for value in ["Refuse", "Yes", "true"] {
        pair.configure("receive.denyCurrentBranch", value);
        let said = pair.refused("master:master");
        assert!(
            said.contains("(branch is currently checked out)"),
            "{value}: {said}"
        );
    }
    git(
        &pair.stage.served(),
        &["config", "--unset", "receive.denyCurrentBranch"],
    );
    let config = pair.stage.served().join("config");
    let text = std::fs::read_to_string(&config).unwrap();
    // Without a value it is on.
    std::fs::write(&config, text + "[receive]\n\tdenyCurrentBranch\n").unwrap();
    let said = pair.refused("master:master");
    assert!(said.contains("(branch is currently checked out)"), "{said}");
}

#[test]
fn a_pack_is_kept_from_a_repack_until_the_ref_has_moved() {
    let pair = Pair::new();
    let kept = pair.stage.path("kept");
    let repack = format!(
        "test \"$1\" = prepared || exit 0\ngit repack -a -d -q || exit 1\nls objects/pack >{}",
        kept.display()
    );
    let keeps = || {
        let names = std::fs::read_dir(pair.stage.served().join("objects/pack")).unwrap();
        names
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "keep"))
            .count()
    };
    pair.stage
        .hook("reference-transaction", &format!("{repack}; exit 1"));
    let output = pair.stage.try_push(&pair.work, &["master:master"]);
    assert!(!output.status.success());
    assert!(pair.noted("kept").contains(".keep"));
    assert_eq!(keeps(), 0, "left behind by a push that failed");
    std::fs::remove_file(&kept).unwrap();
    pair.stage.hook("reference-transaction", &repack);
    pair.push(&[]);
    assert!(pair.noted("kept").contains(".keep"));
    assert_eq!(keeps(), 0, "left behind by a push");
}

#[test]
fn what_cannot_be_run_or_read_refuses_the_push_and_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let pair = Pair::new();
    let before = pair.tip();
    for (hook, reason) in [
        ("pre-receive", "pre-receive hook declined"),
        ("update", "hook declined"),
        ("reference-transaction", "failed to update ref"),
    ] {
        let path = pair.stage.served().join("hooks").join(hook);
        std::fs::write(&path, "#!/nowhere/sh\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let output = pair.stage.try_push(&pair.work, &["master:master"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("({reason})")), "{hook}: {said}");
        assert!(
            said.contains(&format!("cannot run the hook {hook}")),
            "{said}"
        );
        assert_eq!(pair.tip(), before);
        std::fs::remove_file(&path).unwrap();
    }
    pair.configure("receive.fsckObjects", "true");
    pair.configure("receive.fsck.skipList", "nowhere");
    let said = pair.refused("master:master");
    assert!(said.contains("(unpacker error)"), "{said}");
    assert!(
        said.contains("cannot read") && said.contains("nowhere"),
        "{said}"
    );
    // As in git, a relative path is relative to the repository.
    std::fs::write(pair.stage.served().join("nowhere"), "").unwrap();
    pair.push(&[]);
}

#[test]
fn a_hook_that_follows_a_push_ends_as_ever_when_the_client_goes_away() {
    let pair = Pair::new();
    let (number, done) = (pair.stage.path("number"), pair.stage.path("done"));
    // More than all pipes hold, so that it cannot end before the client goes away.
    pair.stage.hook(
        "post-receive",
        &format!(
            "echo $$ >{}; seq 200000 && echo >{}",
            number.display(),
            done.display()
        ),
    );
    let pack = pack_of(&pair, "master");
    let new = git(&pair.work, &["rev-parse", "master"]);
    hand_push(&pair, &pair.tip(), &new, &pack, async |mut stream| {
        let mut said = [0; 4096];
        let mut all = String::new();
        while !all.contains("199") {
            let n = stream.reader.read(&mut said).await.unwrap();
            assert_ne!(n, 0, "{all}");
            all += &String::from_utf8_lossy(&said[..n]);
        }
        // Waits for the end of the service.
        drop(stream);
    });
    assert_eq!(pair.tip(), new);
    assert!(done.exists(), "the hook was ended");
    let number = std::fs::read_to_string(&number).unwrap();
    assert!(
        !std::path::Path::new("/proc").join(number.trim()).exists(),
        "a zombie"
    );
}

#[test]
fn a_repository_that_checks_objects_takes_no_malformed_ones() {
    let pair = Pair::new();
    let work = pair.work.to_str().unwrap();
    let bad_tree = ["-C", work, "mktree"];
    let blob = git(&pair.work, &["rev-parse", "master:more/file"]);
    let dotgit = pair.stage.path("tree");
    std::fs::write(&dotgit, format!("100644 blob {blob}\t.GIT\n")).unwrap();
    let made = std::process::Command::new("git")
        .args(bad_tree)
        .stdin(std::fs::File::open(&dotgit).unwrap())
        .output()
        .unwrap();
    let tree = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let commit = git(
        &pair.work,
        &["commit-tree", "-p", "master", "-m", "bad", &tree],
    );
    git(&pair.work, &["branch", "bad", &commit]);
    pair.configure("transfer.fsckObjects", "true");
    let said = pair.refused("bad:master");
    assert!(said.contains("hasDotgit"), "{said}");
    pair.configure("receive.fsck.hasDotgit", "ignore");
    let output = pair.stage.try_push(&pair.work, &["bad:master"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_commit_that_lacks_something_is_refused() {
    let pair = Pair::new();
    // A tree that names a blob which nobody has.
    let tree = pair.stage.path("tree");
    std::fs::write(&tree, format!("100644 blob {}\tgone\n", "7".repeat(40))).unwrap();
    let made = std::process::Command::new("git")
        .args(["-C", pair.work.to_str().unwrap(), "mktree", "--missing"])
        .stdin(std::fs::File::open(&tree).unwrap())
        .output()
        .unwrap();
    let tree = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let commit = git(
        &pair.work,
        &["commit-tree", "-p", "master", "-m", "lacks", &tree],
    );
    // Git would not push it: the pack is made by hand.
    let pack = pair.stage.path("pack");
    let script = format!(
        "printf '{commit}\\n{tree}\\n' | git -C {} pack-objects --stdout -q >{}",
        pair.work.display(),
        pack.display()
    );
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    let before = pair.stage.state();
    let said = push_by_hand(&pair, &pair.tip(), &commit, &std::fs::read(&pack).unwrap());
    assert!(
        said.contains("unpack ok")
            && said.contains("ng refs/heads/master missing necessary objects"),
        "{said}"
    );
    assert_eq!(pair.stage.state(), before);
    // A pack that is damaged, and one that is cut.
    let mut damaged = std::fs::read(&pack).unwrap();
    let last = damaged.len() - 1;
    damaged[last - 30] ^= 1;
    let said = push_by_hand(&pair, &pair.tip(), &commit, &damaged);
    assert!(
        said.contains("ng refs/heads/master unpacker error"),
        "{said}"
    );
    assert_eq!(pair.stage.state(), before);
    let said = push_by_hand(&pair, &pair.tip(), &commit, &damaged[..last / 2]);
    assert_eq!(said, "");
    assert_eq!(pair.stage.state(), before);
}

#[test]
fn a_small_pack_that_is_endless_work_is_refused() {
    let pair = Pair::new();
    let mut pack = costly_pack::pack_of(&costly_pack::deltas_in_a_chain(4 << 20, 200));
    let checksum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &pack);
    pack.extend_from_slice(checksum.as_ref());
    assert!(pack.len() < 1 << 20);
    let before = pair.stage.state();
    let said = push_by_hand(&pair, &pair.tip(), &"7".repeat(40), &pack);
    assert!(said.contains("bytes inflate to"), "{said}");
    assert_eq!(pair.stage.state(), before);
}

/// Packs what a branch of the clone has.
fn pack_of(pair: &Pair, branch: &str) -> Vec<u8> {
    let script = format!(
        "echo {branch} | git -C {} pack-objects --revs --stdout -q",
        pair.work.display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Pushes to `master` without a client; returns all that the service says.
fn push_by_hand(pair: &Pair, old: &str, new: &str, pack: &[u8]) -> String {
    hand_push(pair, old, new, pack, async |mut stream| {
        let mut said = Vec::new();
        stream.reader.read_to_end(&mut said).await.unwrap();
        String::from_utf8_lossy(&said).into_owned()
    })
}

/// Pushes to `master` without a client, and hands over the stream once all is sent.
fn hand_push<T>(
    pair: &Pair,
    old: &str,
    new: &str,
    pack: &[u8],
    then: impl AsyncFnOnce(Stream) -> T,
) -> T {
    let remote = LocalRemote::new(pair.stage.served(), &crate::support::client::limits());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut stream = remote.open(Service::ReceivePack).await.unwrap();
        crate::support::client::advertisement(&mut stream).await;
        let mut head = PacketWriter::new();
        head.line(&format!(
            "{old} {new} refs/heads/master\0 report-status side-band-64k"
        ))
        .flush();
        stream.writer.write_all(&head.finish()).await.unwrap();
        let _ = stream.writer.write_all(pack).await;
        let _ = stream.writer.shutdown().await;
        then(stream).await
    })
}

#[test]
fn a_ref_that_moved_meanwhile_stays_where_it_is() {
    let pair = Pair::new();
    let seen = git(&pair.stage.served(), &["rev-parse", "master~1"]);
    let before = pair.tip();
    let pack = {
        let script = format!(
            "git -C {} pack-objects --stdout -q </dev/null",
            pair.work.display()
        );
        std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap()
            .stdout
    };
    let said = push_by_hand(
        &pair,
        &seen,
        &git(&pair.stage.served(), &["rev-parse", "master~2"]),
        &pack,
    );
    assert!(
        said.contains("ng refs/heads/master failed to update ref"),
        "{said}"
    );
    assert_eq!(pair.tip(), before);
}
