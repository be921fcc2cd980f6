//! A repository's branches and HEAD, from `ls-refs` (v2) or the advertisement (v0, v1).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{Capabilities, Error, Packet, PacketReader, PacketWriter, Result};
use crate::ObjectId;
use crate::shown;

#[cfg(test)]
mod tests;

/// What HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// HEAD points to this ref, which may not exist yet.
    Branch(String),
    /// HEAD is at this commit, and the server does not say to which branch it points.
    Detached(ObjectId),
    /// The server does not list HEAD.
    Unknown,
}

/// Returns a branch's full name.
pub fn branch_ref(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Returns whether git accepts this name for a branch, as `git check-ref-format --branch` does.
pub fn is_branch_name(name: &str) -> bool {
    git2::Branch::name_is_valid(name).unwrap_or(false)
}

/// The branches of a repository, and HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refs {
    /// Each `refs/heads/…`, and where it points.
    pub branches: BTreeMap<String, ObjectId>,
    /// What HEAD is.
    pub head: Head,
    /// Where HEAD is, where the server lists it.
    pub head_id: Option<ObjectId>,
    /// The commits whose parents the repository lacks, being a shallow clone; only v0 lists them with the refs.
    pub shallow: Vec<ObjectId>,
}

/// Builds the v2 command that lists HEAD and the refs that begin with `reference`.
pub fn ls_refs_request(capabilities: &Capabilities, reference: &str) -> Bytes {
    let mut request = PacketWriter::new();
    request.command("ls-refs", capabilities).line("symrefs");
    if capabilities.value_has("ls-refs", "unborn") {
        request.line("unborn");
    }
    request
        .line("ref-prefix HEAD")
        .line(&format!("ref-prefix {reference}"));
    request.flush().finish()
}

/// Reads the response to [`ls_refs_request`]; of the branches it keeps `reference`, whatever else the server lists.
///
/// # Errors
/// `Garbage` for a line that is no ref, `Limit` for a list without end.
pub async fn read_ls_refs<R: AsyncRead + Unpin>(
    packets: &mut PacketReader<R>,
    reference: &str,
) -> Result<Refs> {
    let mut refs = RefsReader::new(Some(reference));
    loop {
        match packets.line().await? {
            Packet::Data(line) => refs.line_v2(&line)?,
            Packet::Flush => return Ok(refs.finish()),
            _ => {
                return Err(Error::garbage(
                    "the list of refs does not end in a flush packet",
                ));
            }
        }
    }
}

/// Collects refs line by line, within bounds.
pub(super) struct RefsReader<'r> {
    refs: Refs,
    /// The branch that is asked for; `None` if that is not known yet, and all are kept.
    wanted: Option<&'r str>,
    lines: usize,
    size: usize,
}

impl<'r> RefsReader<'r> {
    /// Repositories with a million refs exist; a list of more than two million is taken for one without end.
    const LINES_LIMIT: usize = 2_000_000;
    /// The most memory that branches may take, in bytes: room for some 60,000. One name may have as many bytes as a
    /// packet, so that their number is no bound.
    const SIZE_LIMIT: usize = 8 << 20;
    /// What a branch takes besides its name, in bytes.
    const OVERHEAD: usize = 100;

    pub(super) fn new(wanted: Option<&'r str>) -> Self {
        Self {
            refs: Refs {
                branches: BTreeMap::new(),
                head: Head::Unknown,
                head_id: None,
                shallow: Vec::new(),
            },
            wanted,
            lines: 0,
            size: 0,
        }
    }

    /// Takes `id SP name [SP symref-target:NAME] [SP peeled:ID]` or `unborn HEAD symref-target:NAME`.
    fn line_v2(&mut self, line: &[u8]) -> Result<()> {
        self.count()?;
        // Lossy does no harm: a name that is not UTF-8 cannot be that of the configured branch.
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        let (id, name) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let target = words.find_map(|word| word.strip_prefix("symref-target:"));
        // `symrefs` was requested, so a HEAD without a target is detached.
        if name == "HEAD" {
            self.refs.head = match target {
                Some(branch) => Head::Branch(branch.to_owned()),
                None if id == "unborn" => Head::Unknown,
                None => Head::Detached(parse(id)?),
            };
        }
        // The branch of an empty repository has a name and no id.
        if id == "unborn" {
            return Ok(());
        }
        self.keep(id, name)
    }

    /// Takes `id SP name` or `shallow SP id`; `capabilities^{}` is that of a repository without refs.
    pub(super) fn line_v0(&mut self, line: &[u8]) -> Result<()> {
        self.count()?;
        let text = String::from_utf8_lossy(line);
        let Some((id, name)) = text.split_once(' ') else {
            return Err(Error::garbage(format!(
                "the list of refs holds {:?}",
                shorten(&text)
            )));
        };
        if id == "shallow" {
            self.refs.shallow.push(parse(name)?);
            return self.grow(0);
        }
        if name == "capabilities^{}" {
            return Ok(());
        }
        if name == "HEAD" && self.refs.head == Head::Unknown {
            self.refs.head = Head::Detached(parse(id)?);
        }
        self.keep(id, name)
    }

    pub(super) fn head_is(&mut self, branch: Option<&str>) {
        if let Some(branch) = branch {
            self.refs.head = Head::Branch(branch.to_owned());
        }
    }

    pub(super) fn finish(self) -> Refs {
        self.refs
    }

    fn keep(&mut self, id: &str, name: &str) -> Result<()> {
        let id = parse(id)?;
        if name == "HEAD" {
            self.refs.head_id = Some(id);
        }
        let is_kept = match self.wanted {
            Some(wanted) => name == wanted,
            None => name.starts_with("refs/heads/"),
        };
        if !is_kept {
            return Ok(());
        }
        self.grow(name.len())?;
        self.refs.branches.insert(name.to_owned(), id);
        Ok(())
    }

    fn grow(&mut self, by: usize) -> Result<()> {
        self.size += by + Self::OVERHEAD;
        // Not ignored: the branch that is asked for might be among those that follow, and would count as missing.
        if self.size > Self::SIZE_LIMIT {
            return Err(Error::Limit {
                what: "the size of the names of a repository's branches",
                limit: Self::SIZE_LIMIT,
            });
        }
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.lines += 1;
        if self.lines > Self::LINES_LIMIT {
            return Err(Error::Limit {
                what: "the number of a repository's refs",
                limit: Self::LINES_LIMIT,
            });
        }
        Ok(())
    }
}

fn parse(id: &str) -> Result<ObjectId> {
    id.parse()
        .map_err(|_| Error::garbage(format!("the list of refs holds {:?}", shorten(id))))
}

fn shorten(text: &str) -> Cow<'_, str> {
    shown::beginning(text, 60)
}
