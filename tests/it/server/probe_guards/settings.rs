//! What is set wrong: it is told, and nothing is switched.

use std::os::unix::fs::PermissionsExt as _;

use super::{Around, entry};
use crate::support::crate_host::{CrateHost, Manner, raw};
use crate::support::server::printed;

#[test]
fn what_would_change_nothing_or_what_is_somebody_elses_is_refused() {
    let around = Around::new();
    let said = around.fail(&["probe"], 2);
    assert!(said.contains("does not include"), "{said}");
    assert!(said.contains("cargo-config --fallback"), "{said}");
    let config = around.project.path().join(".cargo/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    for (text, told) in [
        (
            "[source.crates-io]\nreplace-with = \"vendored\"\n",
            "`vendored` for good",
        ),
        (
            "[registries.mirror]\nindex = \"sparse+https://other.example/\"\n",
            "its registry `mirror` is",
        ),
        ("include = \"other.toml\"\n", "`include` is not a list"),
    ] {
        std::fs::write(&config, text).unwrap();
        let said = around.fail(&["cargo-config", "--fallback", "--write"], 2);
        assert!(said.contains(told), "{said}");
        assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
    }
    std::fs::write(&config, "[[include]]\npath = \"a.toml\"\n").unwrap();
    printed(
        &around.run(&["cargo-config", "--fallback", "--write"], &[]),
        0,
    );
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("[[include]]\npath = \"mirror-fallback.toml\"\noptional = true\n"),
        "{text}"
    );
    std::fs::write(around.switch(), "[build]\n").unwrap();
    let said = around.fail(&["probe", "--now"], 2);
    assert!(said.contains("was not made by crates-ferry"), "{said}");
    assert_eq!(
        std::fs::read_to_string(around.switch()).unwrap(),
        "[build]\n"
    );
}

#[test]
fn an_older_cargo_is_told() {
    let around = Around::new();
    let bin = around.project.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = bin.join("cargo");
    std::fs::write(&script, "#!/bin/sh\necho 'cargo 1.93.1 (abc 2026-01-01)'\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let set_up = ["cargo-config", "--fallback", "--write"];
    let output = around.run(&set_up, &[("PATH", &path)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cargo 1.93.1 cannot include"), "{said}");
    assert!(said.contains("1.94.0 or newer"), "{said}");
    assert!(!around.project.path().join(".cargo").exists());
}

#[test]
fn a_crate_that_is_yanked_is_told_and_nothing_is_switched() {
    let around = Around::set_up();
    let yanked = entry("1.0.0", b"a small crate").replace("false", "true");
    let path = "/index/cf/g-/cfg-if";
    around.crates_io.0.put_at(path, yanked.clone().into_bytes());
    let said = around.fail(&["probe", "--now"], 2);
    assert!(
        said.contains("crates.io has only yanked versions"),
        "{said}"
    );
    assert!(!around.switch().exists());
    // Of an entry without a version it is the server's fault.
    around.crates_io.0.put_at(path, b"\n".to_vec());
    around.mirror.0.put_at(path, yanked.into_bytes());
    let said = around.fail(&["probe", "--now"], 2);
    assert!(
        said.contains("the mirror has only yanked versions"),
        "{said}"
    );
}

#[test]
fn a_crate_that_nobody_has_is_told_and_nothing_is_switched() {
    let around = Around::set_up();
    let misspelt = [("FERRY_PROBE_CRATE", "cfg-of")];
    // A crate that the mirror has alone is none to judge crates.io by.
    let mirrored = entry("1.0.0", b"a small crate").into_bytes();
    around.mirror.0.put_at("/index/cf/g-/cfg-of", mirrored);
    for _ in 0..4 {
        let said = around.fail_with(&["probe", "--now"], &misspelt, 2);
        assert!(
            said.contains("probe.crate: crates.io has no crate `cfg-of`"),
            "{said}"
        );
        assert!(said.contains("help: Set it (FERRY_PROBE_CRATE)"), "{said}");
    }
    assert!(!around.switch().exists());
    // One that was there before is missed: then crates.io is not well.
    printed(&around.run(&["probe"], &[]), 0);
    around.crates_io.0.remove_at("/index/cf/g-/cfg-if");
    let said = printed(&around.run(&["probe", "--now"], &[]), 0);
    assert!(
        said.starts_with("crates.io is down: cargo now takes"),
        "{said}"
    );
    // The mirror's is told where that is to replace it.
    std::fs::remove_file(around.switch()).unwrap();
    around.mirror.0.remove_at("/index/cf/g-/cfg-if");
    let said = around.fail(&["probe", "--now"], 2);
    assert!(said.contains("the mirror has no crate `cfg-if`"), "{said}");
}

#[test]
fn a_git_repository_is_neither_crates_io_nor_a_mirror() {
    let around = Around::set_up();
    let git = CrateHost::start();
    let address = git.dl().trim_end_matches("/crates").to_owned() + "/crates.io-index";
    let answer = raw(
        "200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement",
        b"001e# service=git-upload-pack\n",
    );
    git.put_at(
        "/crates.io-index/info/refs?service=git-upload-pack",
        Vec::new(),
    );
    git.behave(Manner::Raw(vec![answer]));
    let crates_io = [("FERRY_PROBE_INDEX", address.as_str())];
    let said = around.fail_with(&["probe", "--now"], &crates_io, 2);
    assert!(said.contains("probe.index: "), "{said}");
    assert!(said.contains("is a git repository"), "{said}");
    assert!(said.contains("help: Set it (`--crates-io`"), "{said}");
    assert!(!around.switch().exists());
    let mirror = [("FERRY_SERVE_PUBLIC_URL", address.as_str())];
    let set_up = ["cargo-config", "--fallback", "crates-io"];
    let said = around.fail_with(&set_up, &mirror, 2);
    assert!(said.contains("serve.public_url: "), "{said}");
    assert!(said.contains("is a git repository"), "{said}");
}

#[test]
fn a_server_does_not_replace_itself() {
    let around = Around::set_up();
    let mirror = around.mirror.url();
    for index in [mirror.clone() + "/index/", format!("sparse+{mirror}")] {
        let same = [("FERRY_PROBE_INDEX", index.as_str())];
        for arguments in [
            ["probe", "--now"],
            ["cargo-config", "--fallback"],
            ["cargo-config", "--fallback=crates-io"],
        ] {
            let said = around.fail_with(&arguments, &same, 2);
            assert!(said.contains("is the mirror itself"), "{said}");
        }
    }
}

#[test]
fn a_probe_for_the_other_fallback_changes_nothing() {
    let around = Around::new();
    let mirror_first = ["cargo-config", "--fallback", "crates-io", "--write"];
    printed(&around.run(&mirror_first, &[]), 0);
    for _ in 0..4 {
        let said = around.fail(&["probe"], 2);
        assert!(
            said.contains("prepared with `--fallback crates-io`"),
            "{said}"
        );
        assert!(
            said.contains("help: Give `--fallback crates-io` to `probe`"),
            "{said}"
        );
    }
    assert!(around.switch().exists());
    printed(&around.run(&["probe", "--fallback", "crates-io"], &[]), 0);
    printed(
        &around.run(&["cargo-config", "--fallback", "--write"], &[]),
        0,
    );
    let said = around.fail(&["probe", "--fallback", "crates-io"], 2);
    assert!(said.contains("prepared with `--fallback mirror`"), "{said}");
    printed(&around.run(&["probe", "--now"], &[]), 0);
    assert!(!around.switch().exists());
}

#[test]
fn the_command_that_is_shown_repeats_an_address_that_came_by_a_flag() {
    let around = Around::new();
    let set_up = ["cargo-config", "--fallback", "--write"];
    let said = printed(&around.run(&set_up, &[]), 0);
    assert!(
        said.contains("`crates-ferry probe --project .` makes"),
        "{said}"
    );
    let address = "http://crates.example";
    let by_flag = [&set_up[..], &["--dry-run", "--public-url", address]].concat();
    let said = printed(&around.run(&by_flag, &[]), 0);
    let wanted = format!("`crates-ferry probe --project . --public-url {address}` makes");
    assert!(said.contains(&wanted), "{said}");
}
