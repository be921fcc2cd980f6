//! A stock cargo that resolves from the mirror's git index.

use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = r#"
[package]
name = "reader"
version = "0.1.0"
edition = "2024"

[dependencies]
alpha = "1"
"#;

/// A project whose crates.io is the mirror gets a lock file out of it, with cargo's own git and with the git program.
pub(crate) fn resolves_from(mirror_url: &str) {
    for with_git_program in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let lock = resolve(folder.path(), mirror_url, with_git_program);
        for package in ["alpha 1.2.3", "beta 0.2.1", "gamma 1.0.0"] {
            assert!(has(&lock, package), "{package} is missing in\n{lock}");
        }
    }
}

fn resolve(folder: &Path, mirror_url: &str, with_git_program: bool) -> String {
    let project = folder.join("project");
    std::fs::create_dir_all(project.join("src")).unwrap();
    std::fs::create_dir_all(project.join(".cargo")).unwrap();
    std::fs::write(project.join("src/lib.rs"), "").unwrap();
    std::fs::write(project.join("Cargo.toml"), MANIFEST).unwrap();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\nregistry = \"{mirror_url}\"\n\n\
         [net]\ngit-fetch-with-cli = {with_git_program}\nretry = 0\n"
    );
    std::fs::write(project.join(".cargo/config.toml"), config).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("RUSTC", rustc())
        .env("HOME", folder)
        .env("CARGO_HOME", folder.join("cargo"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .arg("generate-lockfile")
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read_to_string(project.join("Cargo.lock")).unwrap()
}

/// Returns the compiler itself, since what stands in its place may want the person's home folder.
fn rustc() -> PathBuf {
    let mut command = Command::new("rustc");
    let output = command.args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(output.stdout).unwrap();
    Path::new(sysroot.trim()).join("bin/rustc")
}

fn has(lock: &str, package: &str) -> bool {
    let (name, version) = package.split_once(' ').unwrap();
    lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
}
