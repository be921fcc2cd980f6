//! Opens a repository with libgit2, or says why it cannot be opened: because of its owner, or of its format.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use git2::{Config, ConfigEntry, ErrorClass, ErrorCode, Repository, RepositoryOpenFlags};
use rustix::fs::{Access, access};

use crate::error::{Error, Kind};
use crate::shown::shell_word;
use crate::transport::{Service, Side};

/// Why this process does not serve a repository.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// It cannot be served.
    Refused(Error),
    /// Only the git program can serve it. The text says what the repository does that libgit2 does not, after "it".
    NeedsGit(String),
}

/// Opens the repository in a folder, which may also be the work tree that its `.git` lies in.
pub(super) fn open(path: &Path, side: Side, service: Service) -> Result<Repository, Obstacle> {
    let no_ceiling: [&OsStr; 0] = [];
    // Without the search through parent folders: a mistyped path must not end in a repository around it.
    let opened = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, no_ceiling);
    let repository = opened.map_err(|error| obstacle(path, side, error))?;
    let config = repository
        .config()
        .and_then(|mut config| config.snapshot())
        .map_err(|error| obstacle(path, side, error))?;
    // Git fetches what a partial clone lacks on demand. libgit2 opens some partial clones, and fails at the first
    // missing object.
    if is_partial(&config) {
        return Err(Obstacle::NeedsGit(
            "is a partial clone, which libgit2 cannot read".to_owned(),
        ));
    }
    if service == Service::ReceivePack
        && let Some((folder, cause)) = unwritable(&repository)
    {
        return Err(Obstacle::Refused(read_only(&folder, cause)));
    }
    if service == Service::ReceivePack
        && let Some(why) = unusual_push(&repository, &config)
    {
        return Err(Obstacle::NeedsGit(why));
    }
    Ok(repository)
}

/// Returns a folder, if there is one, that a push has to write to and cannot: asked here, so that `check` learns of it and a
/// sync need not wait for upstream's pack.
fn unwritable(repository: &Repository) -> Option<(PathBuf, io::Error)> {
    let folders = ["objects", "objects/pack", "refs", "refs/heads"];
    let mut folders = folders.iter().map(|name| repository.commondir().join(name));
    folders.find_map(|folder| {
        let asked = access(&folder, Access::WRITE_OK | Access::EXEC_OK);
        match asked.map_err(io::Error::from) {
            Ok(()) => None,
            // The push makes it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some((folder, error)),
        }
    })
}

fn read_only(folder: &Path, cause: io::Error) -> Error {
    let folder = folder.display();
    Error::new(Kind::Permission, format!("the folder {folder} cannot be written to"))
        .because(cause)
        .advise(
            "Let the user that runs this write to the whole repository: look at the owner and the mode of its files and \
             folders (`ls -l`, `chown -R`, `chmod -R u+rwX`).",
        )
}

fn is_partial(config: &Config) -> bool {
    any(config, r"^remote\..*\.promisor$", |value| {
        // A key without `=` is on (git-config).
        value.is_none_or(|value| Config::parse_bool(value).unwrap_or(true))
    })
}

/// Returns the setting, if there is one, under which a push does what only git can do.
fn unusual_push(repository: &Repository, config: &Config) -> Option<String> {
    let updates = word(config, "receive.denycurrentbranch");
    if !repository.is_bare() && updates.is_some_and(|word| word == "updateinstead") {
        return Some(
            "updates its work tree on a push (receive.denyCurrentBranch = updateInstead)"
                .to_owned(),
        );
    }
    if config.get_bool("receive.updateserverinfo").unwrap_or(false) {
        return Some(
            "lists its packs for dumb HTTP on a push (receive.updateServerInfo)".to_owned(),
        );
    }
    any(config, r"^receive\.procreceiverefs$", |_| true)
        .then(|| "hands pushes to a hook proc-receive (receive.procReceiveRefs)".to_owned())
}

/// Returns a setting that is one of several words, in lower case: git compares them without regard to it. `None` where it is
/// not set, or has no value.
pub(super) fn word(config: &Config, name: &str) -> Option<String> {
    let entry = config.get_entry(name).ok()?;
    entry
        .has_value()
        .then(|| value(&entry).to_ascii_lowercase())
}

fn any(config: &Config, pattern: &str, accept: impl Fn(Option<&str>) -> bool) -> bool {
    let mut found = false;
    // A configuration that cannot be read has failed in `open`.
    if let Ok(mut entries) = config.entries(Some(pattern)) {
        while let Some(Ok(entry)) = entries.next() {
            found |= accept(entry.has_value().then(|| value(entry)));
        }
    }
    found
}

/// Returns an entry's value; a key without `=` has none.
pub(super) fn value<'entry>(entry: &'entry ConfigEntry<'_>) -> &'entry str {
    match entry.has_value() {
        true => entry.value().unwrap_or_default(),
        false => "",
    }
}

fn obstacle(path: &Path, side: Side, error: git2::Error) -> Obstacle {
    let place = path.display();
    let told = |message: String| Error::new(Kind::Config, message);
    match unreadable_format(path) {
        Some(Format::Hash(name)) => {
            // No git program helps here: it would serve the repository, and then the wrong objects.
            let error = told(format!(
                "the repository {place} has the object format {name}, and the index, which has sha1, cannot be carried to or \
                 from it"
            ));
            return Obstacle::Refused(error.advise(side.other_format()));
        }
        Some(Format::Layout(what)) => {
            return Obstacle::NeedsGit(format!("{what}, which libgit2 cannot read"));
        }
        None => {}
    }
    Obstacle::Refused(match (error.code(), error.class()) {
        (ErrorCode::Owner, _) => told(format!("the repository {place} belongs to another user")).advise(format!(
            "If it is meant, name it as safe for the user that runs this: `git config --global --add safe.directory \
             {}`, or without git the lines `[safe]` and `directory = {place}` in ~/.gitconfig.",
            shell_word(&place.to_string())
        )),
        (ErrorCode::NotFound, ErrorClass::Repository) => {
            told(format!("{place} does not appear to be a git repository"))
                .advise(side.no_repository())
        }
        (_, ErrorClass::Config) => {
            told(format!("the configuration of the repository {place} cannot be read"))
                .because(error.message().to_owned())
                .advise("Correct the configuration file that the cause names.")
        }
        (_, ErrorClass::Os) => told(format!("the repository {place} cannot be opened"))
            .because(error.message().to_owned())
            .advise(
                "Let the user that runs this read the whole repository (`ls -l`, `chown -R`, `chmod -R u+rwX`), and see whether its \
                 disk is sound and how many files this process may open (`ulimit -n`).",
            ),
        _ => told(format!("the repository {place} cannot be opened"))
            .because(error.message().to_owned())
            .advise("Run `git fsck` in that repository."),
    })
}

/// What a repository's configuration says about its format.
enum Format {
    /// It names its objects by this hash.
    Hash(String),
    /// It does this with its files, which git can read.
    Layout(&'static str),
}

/// Reads what a repository's configuration says about a format that libgit2 does not know.
///
/// From the file itself, since libgit2 has refused the repository, and the message of its error is no interface.
fn unreadable_format(path: &Path) -> Option<Format> {
    let files = [path.join("config"), path.join(".git/config")];
    let file = files.iter().find(|file| file.is_file())?;
    let config = Config::open(file).ok()?;
    let has = |name: &str, accept: fn(&str) -> bool| {
        let entry = config.get_entry(&format!("extensions.{name}")).ok()?;
        Some(value(&entry).to_owned()).filter(|value| accept(value))
    };
    // First, since what else is unusual does not matter then.
    if let Some(name) = has("objectformat", |value| value != "sha1") {
        Some(Format::Hash(name))
    } else if has("refstorage", |value| value != "files").is_some() {
        Some(Format::Layout("keeps its refs in a reftable"))
    } else if has("partialclone", |_| true).is_some() {
        Some(Format::Layout("is a partial clone"))
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_makes_a_partial_clone_where_git_reads_its_setting_as_true() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let cases = [
            ("promisor = true", true),
            ("promisor = Yes", true),
            ("promisor = 1", true),
            ("promisor", true),
            ("promisor = neither", true),
            ("promisor = false", false),
            ("promisor = NO", false),
            ("promisor = off", false),
            ("promisor = 0", false),
            ("promisor =", false),
        ];
        for (line, expected) in cases {
            std::fs::write(&file, format!("[remote \"origin\"]\n{line}\n")).unwrap();
            assert_eq!(
                is_partial(&Config::open(&file).unwrap()),
                expected,
                "{line}"
            );
        }
    }
}
