//! A project on GitLab, as gitlab-ci-local takes it from a folder, and what its pipelines do.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::repo::git;
use crate::support::skip::skip;

/// This repository's own pipeline, and the files that it includes.
pub(crate) const OWN_FILES: [&str; 3] = [
    ".gitlab-ci.yml",
    "ci/sync.gitlab-ci.yml",
    "templates/sync.yml",
];

/// The folder of a project, and the CI/CD variables of its settings.
pub(crate) struct Project {
    folder: TempDir,
    home: TempDir,
    program: PathBuf,
    variables: Map<String, Value>,
    /// What GitLab says of the commit, where gitlab-ci-local would say something else.
    predefined: BTreeMap<&'static str, String>,
}

/// The images with which jobs run in containers.
pub(crate) struct Docker {
    /// The image of crates-ferry.
    pub(crate) image: String,
    /// The image with which gitlab-ci-local copies files.
    pub(crate) helper: String,
}

impl Docker {
    /// Returns what `ci/check-image` has built, or says that the test is skipped.
    pub(crate) fn built() -> Option<Self> {
        let names = ["FERRY_IMAGE", "FERRY_HELPER_IMAGE"].map(std::env::var);
        let [Ok(image), Ok(helper)] = names else {
            skip("FERRY_IMAGE is not set; ci/check-image builds the image and sets it");
            return None;
        };
        Some(Self { image, helper })
    }
}

/// What a pipeline said, and whether it is green.
pub(crate) struct Ended {
    /// All of the jobs' logs.
    pub(crate) log: String,
    /// Whether every job succeeded.
    pub(crate) is_green: bool,
}

impl Project {
    /// Makes a project that holds these files of this repository; none where gitlab-ci-local is not installed.
    pub(crate) fn with_own(files: &[&str]) -> Option<Self> {
        let project = Self::empty("https://gitlab.example.com/rust/crates-ferry.git")?;
        for file in files {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            project.write(file, &fs::read_to_string(from).unwrap());
        }
        Some(project)
    }

    /// Makes a project of no files whose git host is this one.
    pub(crate) fn empty(remote: &str) -> Option<Self> {
        let Some(program) = find("gitlab-ci-local") else {
            skip("gitlab-ci-local is not there (ci/install-tools)");
            return None;
        };
        if find("rsync").is_none() {
            skip("rsync is not there, which gitlab-ci-local calls");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q", "-b", "main"]);
        git(folder.path(), &["remote", "add", "origin", remote]);
        git(folder.path(), &["config", "user.name", "A Person"]);
        git(folder.path(), &["config", "user.email", "a@b.example"]);
        Some(Self {
            folder,
            home: tempfile::tempdir().unwrap(),
            program,
            variables: Map::new(),
            predefined: BTreeMap::new(),
        })
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes at the end of a file.
    pub(crate) fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.folder.path().join(path)).unwrap();
        self.write(path, &(old + text));
    }

    /// Sets a variable in the project's settings.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.variables.insert(name.to_owned(), value.into().into());
        self
    }

    /// Sets a variable of type file.
    pub(crate) fn set_file(&mut self, name: &str, text: impl Into<String>) -> &mut Self {
        let file = json!({ "type": "file", "values": { "*": text.into() } });
        self.variables.insert(name.to_owned(), file);
        self
    }

    /// Says of the commit what GitLab would say.
    pub(crate) fn predefine(&mut self, name: &'static str, value: impl Into<String>) {
        self.predefined.insert(name, value.into());
    }

    /// Commits all files.
    pub(crate) fn commit(&self) {
        git(self.folder.path(), &["add", "-A"]);
        git(self.folder.path(), &["commit", "-q", "-m", "Files"]);
    }

    /// Makes a bare repository of what is committed.
    pub(crate) fn push_to(&self, path: &Path) {
        let bare = ["clone", "-q", "--bare", ".", path.to_str().unwrap()];
        git(self.folder.path(), &bare);
    }

    /// Runs a pipeline's job in a shell.
    pub(crate) fn run(&self, source: &str, job: &str) -> Ended {
        ended(&self.command(
            source,
            &["--force-shell-executor", "--shell-isolation", job],
        ))
    }

    /// Runs a pipeline's job in a container.
    pub(crate) fn run_in(&self, docker: &Docker, source: &str, job: &str) -> Ended {
        let helper = ["--helper-image", &docker.helper];
        let network = ["--network", "host", "--pull-policy", "if-not-present"];
        ended(&self.command(source, &[&helper[..], &network, &[job]].concat()))
    }

    /// Returns the jobs of a pipeline from such a source, as GitLab would make it.
    pub(crate) fn jobs(&self, source: &str) -> Vec<String> {
        let listed: Value = serde_json::from_str(&self.list(source, "--list-json")).unwrap();
        let jobs = listed.as_array().unwrap().iter();
        jobs.filter(|job| job["when"] != "never")
            .map(|job| job["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns the configuration with all that is included, as YAML.
    pub(crate) fn preview(&self, source: &str) -> String {
        self.list(source, "--preview")
    }

    fn list(&self, source: &str, what: &str) -> String {
        let output = self.command(source, &[what]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns what a job left as its report, if it did.
    pub(crate) fn report(&self, job: &str) -> Option<Value> {
        let artifacts = self.folder.path().join(".gitlab-ci-local/artifacts");
        let text = fs::read_to_string(artifacts.join(job).join(".ferry/report.json")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    fn command(&self, source: &str, arguments: &[&str]) -> Output {
        let variables = serde_json::to_string(&self.variables).unwrap();
        let file = self.folder.path().join(".gitlab-ci-local-variables.yml");
        fs::write(file, variables).unwrap();
        let source = [("CI_PIPELINE_SOURCE", source)];
        let others = self.predefined.iter();
        let others = others.map(|(name, value)| (*name, value.as_str()));
        let predefined = source.into_iter().chain(others);
        let names: Vec<_> = predefined.clone().map(|(name, _)| name).collect();
        Command::new(&self.program)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path_with_ours_first())
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs(std::env::var("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .env("RUSTUP_HOME", rustup_home())
            .args(["--no-color", "--no-artifacts-to-source"])
            .args(["--ignore-predefined-vars", &names.join(",")])
            .args(
                predefined
                    .flat_map(|(name, value)| ["--variable".to_owned(), format!("{name}={value}")]),
            )
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Project {
    /// Removes the files of our variables, which gitlab-ci-local leaves behind; their names do not tell whose they are.
    fn drop(&mut self) {
        let ours = |file: &Path| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(file).ok();
            text.is_some()
                && self
                    .variables
                    .get(&*name)
                    .map(|v| v["values"]["*"].as_str())
                    == Some(text.as_deref())
        };
        let folders = fs::read_dir("/tmp").into_iter().flatten().flatten();
        for folder in folders.filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy()
                .starts_with("gitlab-ci-local-file-variables-")
        }) {
            let mut files = fs::read_dir(folder.path()).into_iter().flatten().flatten();
            if files.any(|file| ours(&file.path())) {
                let _ = fs::remove_dir_all(folder.path());
            }
        }
    }
}

/// Returns where rustup keeps its toolchains, one of which is a job's cargo where that is rustup's.
fn rustup_home() -> OsString {
    let of_user = || {
        let home = std::env::var_os("HOME").unwrap();
        Path::new(&home).join(".rustup").into_os_string()
    };
    std::env::var_os("RUSTUP_HOME").unwrap_or_else(of_user)
}

fn ended(output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        log: text(&output.stdout) + &text(&output.stderr),
        is_green: output.status.success(),
    }
}

/// Finds a program where ci/install-tools puts it, else in `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let ours = target.join(format!("tools/{name}/node_modules/.bin"));
    let path = std::env::var_os("PATH").unwrap();
    let mut folders = std::iter::once(ours).chain(std::env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join(name)).filter(|found| found.is_file()))
}

/// Returns a `PATH` in which `crates-ferry` is the one that was built for this test.
fn path_with_ours_first() -> OsString {
    let ours = assert_cmd::cargo::cargo_bin!("crates-ferry");
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(ours.parent().unwrap().to_owned());
    std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap()
}
