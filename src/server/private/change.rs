//! What is changed in the index: decided on the files of a tip, and decided again where another push came first.

use std::collections::HashMap;

use semver::Version;

use super::draft::Draft;
use super::owners::{self, Owners};
use super::refusal::{Failure, Refusal};
use super::rules::{Checked, without_build};
use crate::index::{Checksum, CrateName, Published, folded, shown_yanked};

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of the token.
    pub name: String,
    /// Whether it counts as an owner of the crate, whoever is listed.
    pub counts_as_owner: bool,
}

/// A change of the index, which becomes one commit.
#[derive(Debug, Clone)]
pub enum Change {
    /// A version is published.
    Publish(Box<Publish>),
    /// A version is yanked, or that is undone.
    Yank {
        /// The crate.
        name: CrateName,
        /// The version.
        version: String,
        /// Whether it is yanked from then on.
        is_yanked: bool,
        /// Who asks.
        by: Actor,
    },
    /// Owners are added and removed.
    Owners {
        /// The crate.
        name: CrateName,
        /// Those who become owners.
        added: Vec<String>,
        /// Those who are none any more.
        removed: Vec<String>,
        /// Who asks.
        by: Actor,
    },
}

/// A version that is published, whose crate file is stored.
#[derive(Debug, Clone)]
pub struct Publish {
    /// What it is.
    pub checked: Checked,
    /// The checksum of its crate file.
    pub checksum: Checksum,
    /// The line that it becomes.
    pub line: String,
    /// Who publishes it, and owns the crate if it is new.
    pub by: Actor,
    /// Who else owns it then.
    pub owners: Vec<String>,
    /// Whether it comes from another registry: who takes it in becomes no owner, and what it depends on may come later.
    pub is_import: bool,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The subject of its commit.
    pub subject: String,
    /// What is said to the client, where it is told anything.
    pub told: String,
}

/// The names of the crates that there are, by what look-alikes have in common.
#[derive(Debug, Clone, Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// Takes the names of an index.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter();
        Self(names.map(|name| (folded(&name), name)).collect())
    }

    /// Returns the crate that looks like this one, if there is one.
    fn like(&self, name: &CrateName) -> Option<&str> {
        self.0.get(&folded(name.as_str())).map(String::as_str)
    }

    fn add(&mut self, name: &CrateName) {
        self.0.insert(folded(name.as_str()), name.to_string());
    }
}

impl Change {
    /// Returns who asks for it.
    pub fn by(&self) -> &Actor {
        match self {
            Self::Publish(publish) => &publish.by,
            Self::Yank { by, .. } | Self::Owners { by, .. } => by,
        }
    }

    /// Makes the change in the files of a draft. `names` are those of the tip and of what the draft added; `is_open` says whether an
    /// earlier push with this change may have been applied.
    ///
    /// # Errors
    /// Why it is refused, or that the index cannot be read; the draft is then as far as the change came, and has to go back.
    pub fn apply(
        &self,
        draft: &mut Draft<'_>,
        names: &mut Names,
        is_open: bool,
    ) -> Result<Applied, Failure> {
        match self {
            Self::Publish(publish) => publish.apply(draft, names, is_open),
            Self::Yank {
                name,
                version,
                is_yanked,
                by,
            } => yank(draft, name, version, *is_yanked, by),
            Self::Owners {
                name,
                added,
                removed,
                by,
            } => change_owners(draft, name, (added, removed), by),
        }
    }
}

impl Publish {
    fn apply(
        &self,
        draft: &mut Draft<'_>,
        names: &mut Names,
        is_open: bool,
    ) -> Result<Applied, Failure> {
        let Checked { name, version, .. } = &self.checked;
        let path = name.index_path();
        let there = draft.file(&path)?;
        let is_new = there
            .as_ref()
            .is_none_or(|content| name_in(content).is_none());
        let mut content = there.unwrap_or_default();
        if is_new {
            if let Some(other) = names.like(name) {
                return Err(called_otherwise(name, other).into());
            }
            let mut owners =
                Owners::parse(&draft.file(&owners::path_of(name))?.unwrap_or_default());
            if !self.is_import {
                owners.add(&self.by.name);
            }
            for owner in &self.owners {
                add_owner(draft, &mut owners, owner)?;
            }
            draft.write(&owners::path_of(name), owners.content())?;
        } else {
            check_called(name, &content)?;
            let same = version_in(&content, version.as_str());
            if let Some(same) = same {
                // Ours: the push before this one was applied after all.
                if is_open
                    && same.version == version.as_str()
                    && same.checksum == Some(self.checksum)
                {
                    return Ok(self.applied(is_new));
                }
                let text = format!("crate version `{}` is already uploaded", same.version);
                return Err(Refusal::invalid(text).into());
            }
            check_owner(draft, name, &self.by)?;
        }
        if !self.is_import {
            self.check_dependencies(draft)?;
        }
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        content.extend_from_slice(self.line.as_bytes());
        content.push(b'\n');
        draft.write(&path, content)?;
        names.add(name);
        Ok(self.applied(is_new))
    }

    fn applied(&self, is_new: bool) -> Applied {
        let Checked { name, version, .. } = &self.checked;
        let verb = if is_new { "Create" } else { "Update" };
        Applied {
            subject: format!("{verb} crate `{name}`\n\nPublish {name} {version}"),
            told: String::new(),
        }
    }

    /// Refuses a version that nobody could build, since what it depends on is not here.
    fn check_dependencies(&self, draft: &Draft<'_>) -> Result<(), Failure> {
        let own = self.checked.dependencies.iter();
        let own = own.filter(|dependency| dependency.registry.is_none());
        for dependency in own {
            let package = &dependency.package;
            let content = draft.file(&package.index_path())?;
            let called = content.as_deref().and_then(name_in);
            match called {
                Some(called) if called == package.as_str() => {}
                Some(called) => {
                    let text =
                        format!("the dependency `{package}` is called `{called}` in this registry");
                    return Err(Refusal::invalid(text).into());
                }
                None => {
                    let text = format!(
                        "no known crate named `{package}` in this registry: publish it first, or take it from another registry"
                    );
                    return Err(Refusal::invalid(text).into());
                }
            }
        }
        Ok(())
    }
}

fn yank(
    draft: &mut Draft<'_>,
    name: &CrateName,
    version: &str,
    is_yanked: bool,
    by: &Actor,
) -> Result<Applied, Failure> {
    let (path, content) = existing(draft, name)?;
    check_owner(draft, name, by)?;
    let found = version_in(&content, version);
    let found = found.ok_or_else(|| {
        Refusal::not_found(format!(
            "crate `{name}` does not have a version `{version}`"
        ))
    })?;
    let is_it =
        |line: &[u8]| Published::read(line).is_some_and(|line| line.version == found.version);
    let made = shown_yanked(&content, |line| is_it(line).then_some(is_yanked));
    draft.write(&path, made)?;
    let verb = if is_yanked { "Yank" } else { "Unyank" };
    Ok(Applied {
        subject: format!("{verb} crate `{name}#{}`", found.version),
        told: String::new(),
    })
}

fn change_owners(
    draft: &mut Draft<'_>,
    name: &CrateName,
    (added, removed): (&[String], &[String]),
    by: &Actor,
) -> Result<Applied, Failure> {
    existing(draft, name)?;
    check_owner(draft, name, by)?;
    let path = owners::path_of(name);
    let mut listed = Owners::parse(&draft.file(&path)?.unwrap_or_default());
    for owner in added {
        add_owner(draft, &mut listed, owner)?;
    }
    for owner in removed {
        if !listed.remove(owner) {
            let text = format!(
                "`{}` is no owner of crate `{name}`",
                crate::shown::one_line(owner)
            );
            return Err(Refusal::invalid(text).into());
        }
    }
    if listed.names().next().is_none() {
        let text = format!("cannot remove all owners of crate `{name}`: add another one first");
        return Err(Refusal::invalid(text).into());
    }
    draft.write(&path, listed.content())?;
    let list = |owners: &[String]| owners.join(", ");
    let (subject, told) = match (added.is_empty(), removed.is_empty()) {
        (false, _) => (
            format!("Add owners of crate `{name}`: {}", list(added)),
            format!("{} added to the owners of {name}", list(added)),
        ),
        _ => (
            format!("Remove owners of crate `{name}`: {}", list(removed)),
            format!("{} removed from the owners of {name}", list(removed)),
        ),
    };
    Ok(Applied { subject, told })
}

fn add_owner(draft: &Draft<'_>, listed: &mut Owners, owner: &str) -> Result<(), Failure> {
    owners::check(owner)?;
    if let Some(group) = owners::group(owner) {
        let of_group = owners::path_of_group(group);
        let is_there = of_group
            .map(|path| draft.file(&path))
            .transpose()?
            .flatten();
        if is_there.is_none() {
            let text = format!(
                "there is no group `{group}`: commit the names of its members to .groups/{group} first"
            );
            return Err(Refusal::invalid(text).into());
        }
    }
    if listed.add(owner) && listed.names().count() > owners::MOST {
        let text = format!(
            "a crate has at most {} owners: make a group of them, a file of names in .groups/",
            owners::MOST
        );
        return Err(Refusal::invalid(text).into());
    }
    Ok(())
}

/// Returns the path and the content of the file of a crate that has to be there.
fn existing(draft: &Draft<'_>, name: &CrateName) -> Result<(String, Vec<u8>), Failure> {
    let path = name.index_path();
    let content = draft.file(&path)?;
    let content = content.filter(|content| name_in(content).is_some());
    let content = content.ok_or_else(|| {
        Refusal::not_found(format!("crate `{name}` does not exist in this registry"))
    })?;
    check_called(name, &content)?;
    Ok((path, content))
}

/// Refuses who is not an owner.
fn check_owner(draft: &Draft<'_>, name: &CrateName, by: &Actor) -> Result<(), Failure> {
    if by.counts_as_owner {
        return Ok(());
    }
    let listed = Owners::parse(&draft.file(&owners::path_of(name))?.unwrap_or_default());
    // A token of that name would be the whole group.
    let is_person = !by.name.is_empty() && owners::group(&by.name).is_none();
    if is_person && listed.has(&by.name) {
        return Ok(());
    }
    for group in listed.groups() {
        let members = owners::path_of_group(group).map(|path| draft.file(&path));
        let members = Owners::parse(&members.transpose()?.flatten().unwrap_or_default());
        if is_person && members.has(&by.name) {
            return Ok(());
        }
    }
    let owners: Vec<_> = listed.names().collect();
    let who = match owners.is_empty() {
        true => "it has none: a token with the scope `admin` can add some".to_owned(),
        false => format!("its owners are {}", owners.join(", ")),
    };
    let text = format!("`{}` is not an owner of crate `{name}`; {who}", by.name);
    Err(Refusal::forbidden(text).into())
}

/// Returns the name that a crate's file has, by its first line.
pub fn name_in(content: &[u8]) -> Option<&str> {
    let lines = content.split(|byte| *byte == b'\n');
    let name = lines
        .filter_map(Published::read)
        .map(|line| line.name)
        .next()?;
    match name {
        std::borrow::Cow::Borrowed(name) => Some(name),
        // JSON escapes none of the characters that a name may have.
        std::borrow::Cow::Owned(_) => None,
    }
}

fn check_called(name: &CrateName, content: &[u8]) -> Result<(), Refusal> {
    match name_in(content) {
        Some(other) if other != name.as_str() => Err(called_otherwise(name, other)),
        _ => Ok(()),
    }
}

fn called_otherwise(name: &CrateName, other: &str) -> Refusal {
    Refusal::invalid(format!(
        "crate `{name}` is called `{other}` in this registry: names that differ in case, `-` and `_` only are one crate's"
    ))
}

/// A version that a crate's file lists.
struct Found {
    version: String,
    checksum: Option<Checksum>,
}

/// Finds a version in a crate's file: build metadata does not tell versions apart.
fn version_in(content: &[u8], version: &str) -> Option<Found> {
    let wanted = Version::parse(without_build(version)).ok()?;
    let lines = content.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(Published::read_whole);
    let is_wanted =
        |version: &str| Version::parse(without_build(version)).is_ok_and(|it| it == wanted);
    // The last line of a version counts, as for cargo.
    let found = lines.rfind(|line| is_wanted(&line.version))?;
    Some(Found {
        checksum: found.checksum.and_then(|checksum| checksum.parse().ok()),
        version: found.version.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::error::{Error, Kind};
    use crate::git::ObjectId;
    use crate::server::private::line::line;
    use crate::server::private::rules::check;

    fn missing(id: ObjectId) -> crate::error::Result<Vec<u8>> {
        Err(Error::new(Kind::Server, format!("no {id}")))
    }

    fn by(name: &str) -> Actor {
        Actor {
            name: name.to_owned(),
            counts_as_owner: false,
        }
    }

    fn publish(name: &str, version: &str, who: &str, deps: &[&str], byte: u8) -> Change {
        let deps: Vec<_> = deps
            .iter()
            .map(|name| serde_json::json!({"name": name, "version_req": "^1"}))
            .collect();
        let json = serde_json::json!({"name": name, "vers": version, "deps": deps});
        let checked = check(serde_json::from_value(json).unwrap()).unwrap();
        let checksum = Checksum::from_bytes([byte; 32]);
        Change::Publish(Box::new(Publish {
            line: line(&checked, &checksum, "2026-01-02T03:04:05Z", false),
            checked,
            checksum,
            by: by(who),
            owners: Vec::new(),
            is_import: false,
        }))
    }

    /// Makes changes one after the other; returns what each came to, and the file of a crate.
    fn all(
        changes: &[Change],
        is_open: bool,
        shown: &str,
    ) -> (Vec<Result<String, String>>, String) {
        let mut draft = Draft::on(None, &missing);
        draft.write(".groups/release", b"carol\n".to_vec()).unwrap();
        let mut names = Names::default();
        let mut came_to = Vec::new();
        for change in changes {
            let mark = draft.mark();
            let applied = change.apply(&mut draft, &mut names, is_open);
            came_to.push(match applied {
                Ok(applied) => Ok(applied.subject.lines().next().unwrap().to_owned()),
                Err(Failure::Refused(refused)) => {
                    draft.go_back(mark);
                    Err(refused.detail)
                }
                Err(Failure::Failed(error)) => panic!("{error}"),
            });
        }
        let file = draft.file(shown).unwrap().unwrap_or_default();
        (came_to, String::from_utf8(file).unwrap())
    }

    #[test]
    fn a_version_is_published_once_whatever_its_build_metadata() {
        let (came_to, file) = all(
            &[
                publish("foo", "1.0.0", "alice", &[], 1),
                publish("foo", "1.0.0+b", "alice", &[], 2),
                publish("foo", "1.0.0", "alice", &[], 1),
                publish("foo", "1.1.0+b", "alice", &[], 3),
                publish("foo", "1.1.0", "alice", &[], 3),
            ],
            false,
            "3/f/foo",
        );
        let refused: Vec<_> = came_to.iter().map(|one| one.clone().err()).collect();
        let already =
            |version: &str| Some(format!("crate version `{version}` is already uploaded"));
        assert_eq!(
            refused,
            [
                None,
                already("1.0.0"),
                already("1.0.0"),
                None,
                already("1.1.0+b")
            ]
        );
        assert_eq!(file.lines().count(), 2);
    }

    #[test]
    fn the_same_version_is_taken_for_done_only_where_an_earlier_push_may_have_been() {
        let changes = [
            publish("foo", "1.0.0", "a", &[], 1),
            publish("foo", "1.0.0", "a", &[], 1),
            publish("foo", "1.0.0", "a", &[], 2),
        ];
        let (came_to, file) = all(&changes, true, "3/f/foo");
        assert!(came_to[1].is_ok() && came_to[2].is_err(), "{came_to:?}");
        assert_eq!(file.lines().count(), 1);
    }

    #[test]
    fn a_name_that_looks_like_another_is_refused() {
        let changes = [
            publish("foo-bar", "1.0.0", "a", &[], 1),
            publish("foo_bar", "1.0.0", "a", &[], 1),
            publish("Foo-Bar", "2.0.0", "a", &[], 1),
        ];
        let (came_to, _) = all(&changes, false, "");
        assert!(came_to[0].is_ok());
        for other in &came_to[1..] {
            assert!(
                other.as_ref().unwrap_err().contains("is called `foo-bar`"),
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_a_version_depends_on_here_has_to_be_here() {
        let changes = [
            publish("foo", "1.0.0", "a", &["bar"], 1),
            publish("bar", "1.0.0", "a", &[], 1),
            publish("foo", "1.0.0", "a", &["bar"], 1),
        ];
        let (came_to, _) = all(&changes, false, "");
        assert!(
            came_to[0]
                .as_ref()
                .unwrap_err()
                .contains("no known crate named `bar`")
        );
        assert!(came_to[2].is_ok());
    }

    #[test]
    fn a_crate_has_so_many_owners_and_an_import_makes_no_group() {
        let owners = |added: Vec<String>| Change::Owners {
            name: CrateName::new("foo").unwrap(),
            added,
            removed: Vec::new(),
            by: by("alice"),
        };
        let named = |numbers: std::ops::Range<usize>| -> Vec<_> {
            numbers.map(|number| format!("ci-{number}")).collect()
        };
        let mut imported = publish("bar", "1.0.0", "alice", &[], 2);
        if let Change::Publish(publish) = &mut imported {
            publish.owners = vec!["group:none".to_owned()];
            publish.is_import = true;
        }
        let (came_to, file) = all(
            &[
                publish("foo", "1.0.0", "alice", &[], 1),
                owners(named(0..super::owners::MOST)),
                owners(named(0..super::owners::MOST - 1)),
                imported,
            ],
            false,
            ".owners/3/f/foo",
        );
        let is_done: Vec<_> = came_to.iter().map(Result::is_ok).collect();
        assert_eq!(is_done, [true, false, true, false], "{came_to:#?}");
        assert_eq!(file.lines().count(), super::owners::MOST);
    }

    #[test]
    fn only_owners_publish_yank_and_change_owners() {
        let owners = |added: &[&str], removed: &[&str], who: &str| Change::Owners {
            name: CrateName::new("foo").unwrap(),
            added: added.iter().map(|&name| name.to_owned()).collect(),
            removed: removed.iter().map(|&name| name.to_owned()).collect(),
            by: by(who),
        };
        let yank = |version: &str, is_yanked, who: &str| Change::Yank {
            name: CrateName::new("foo").unwrap(),
            version: version.to_owned(),
            is_yanked,
            by: by(who),
        };
        let (came_to, file) = all(
            &[
                publish("foo", "1.0.0", "alice", &[], 1),
                publish("foo", "1.1.0", "bob", &[], 2),
                yank("1.0.0", true, "bob"),
                owners(&["bob", "group:release"], &[], "bob"),
                owners(&["bob", "group:release"], &[], "alice"),
                publish("foo", "1.1.0", "bob", &[], 2),
                publish("foo", "1.2.0", "carol", &[], 2),
                publish("foo", "1.3.0", "group:release", &[], 2),
                yank("1.0.0", true, "carol"),
                yank("1.1.0", true, "carol"),
                yank("1.1.0", false, "carol"),
                yank("9.0.0", true, "carol"),
                owners(&[], &["alice", "bob", "group:release"], "alice"),
                owners(&[], &["alice"], "alice"),
                owners(&[], &["bob"], "alice"),
                owners(&["group:none"], &[], "bob"),
            ],
            false,
            "3/f/foo",
        );
        let is_done: Vec<_> = came_to.iter().map(Result::is_ok).collect();
        let wanted = [
            true, false, false, false, true, true, true, false, true, true, true, false, false,
            true, false, false,
        ];
        assert_eq!(is_done, wanted, "{came_to:#?}");
        assert!(
            came_to[1]
                .as_ref()
                .unwrap_err()
                .contains("its owners are alice")
        );
        assert_eq!(came_to[8], Ok("Yank crate `foo#1.0.0`".to_owned()));
        let yanked: Vec<_> = file
            .lines()
            .map(|line| line.contains("\"yanked\":true"))
            .collect();
        assert_eq!(yanked, [true, false, false]);
    }
}
