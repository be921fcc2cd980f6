//! `upload-pack`, in version 2 of the protocol: lists refs and sends objects (`gitprotocol-v2`).

use std::collections::HashSet;

use git2::{ErrorCode, ObjectType, Reference, Repository};

use super::commits::Commits;
use super::hidden_refs::HiddenRefs;
use super::negotiation::{Negotiation, Request};
use super::objects::{Objects, from_git2};
use super::pack_inventory::Inventory;
use super::pack_output;
use super::pipe::{Failure, Input, Output, Result};
use super::reachable::{self, Found};
use crate::ObjectId;
use crate::transport::host_messages::DAMAGED_REF;
use crate::wire::pack::ObjectKind;
use crate::wire::{AGENT, Packet, PacketWriter};

/// The most lines of one request: a client with many refs names each of them once.
const LINES: usize = 200_000;

/// Serves commands until the client has no more.
pub(super) fn serve(repository: &Repository, mut input: Input, output: &Output) -> Result<()> {
    let service = UploadPack::new(repository, output)?;
    service.advertise()?;
    loop {
        let answered = match input.lines(LINES) {
            // An empty request ends the conversation in order (gitprotocol-v2).
            Ok((lines, Packet::Flush)) if lines.is_empty() => return Ok(()),
            Ok((head, end)) => service.command(&head, end, &mut input),
            Err(Failure::Gone) => return Ok(()),
            Err(refused) => Err(refused),
        };
        if let Err(Failure::Refused(why)) = &answered {
            output.packets(PacketWriter::new().line(&format!("ERR {why}")))?;
        }
        // Ends the service, as git's: what comes next may be the rest of the request that was refused.
        answered?;
    }
}

struct UploadPack<'a> {
    repository: &'a Repository,
    hidden: HiddenRefs,
    filters: bool,
    output: &'a Output,
}

impl<'a> UploadPack<'a> {
    fn new(repository: &'a Repository, output: &'a Output) -> Result<Self> {
        let config = repository.config().map_err(unreadable)?;
        Ok(Self {
            repository,
            hidden: HiddenRefs::read(&config, "uploadpack")?,
            // Off in git by default, to spare a server. Here client and server are one process, which filters save work.
            filters: config.get_bool("uploadpack.allowfilter").unwrap_or(true),
            output,
        })
    }

    fn advertise(&self) -> Result<()> {
        let filter = if self.filters { " filter" } else { "" };
        let mut message = PacketWriter::new();
        message
            .line("version 2")
            .line(&format!("agent={AGENT}"))
            .line("ls-refs=unborn")
            .line(&format!("fetch=shallow wait-for-done{filter}"))
            .line("object-format=sha1")
            .flush();
        self.output.packets(&mut message)
    }

    fn command(&self, head: &[String], end: Packet, input: &mut Input) -> Result<()> {
        let arguments = match end {
            Packet::Delimiter => match input.lines(LINES)? {
                (arguments, Packet::Flush) => arguments,
                _ => {
                    return Err(Failure::new(
                        "a request that does not end in a flush packet",
                    ));
                }
            },
            _ => Vec::new(),
        };
        let format = head
            .iter()
            .find_map(|line| line.strip_prefix("object-format="));
        if let Some(other) = format.filter(|format| *format != "sha1") {
            return Err(Failure::new(format!("mismatched object format '{other}'")));
        }
        let command = head.iter().find_map(|line| line.strip_prefix("command="));
        match command {
            Some("ls-refs") => self.list_refs(&arguments),
            Some("fetch") => self.fetch(&Request::parse(&arguments)?),
            Some(other) => Err(Failure::new(format!("invalid command '{other}'"))),
            None => Err(Failure::new("no command requested")),
        }
    }

    fn list_refs(&self, arguments: &[String]) -> Result<()> {
        let prefixes: Vec<_> = arguments
            .iter()
            .filter_map(|line| line.strip_prefix("ref-prefix "))
            .collect();
        let listing = Listing {
            service: self,
            symrefs: arguments.iter().any(|line| line == "symrefs"),
            peel: arguments.iter().any(|line| line == "peel"),
        };
        let is_asked = |name: &str| {
            prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut message = PacketWriter::new();
        if is_asked("HEAD") {
            listing.head(arguments.iter().any(|line| line == "unborn"), &mut message);
        }
        // The list leaves out what cannot be read, and a client would take the branch for one that is not there yet.
        for name in prefixes.iter().filter(|name| name.starts_with("refs/")) {
            match self.repository.find_reference(name) {
                Err(error) if error.code() == ErrorCode::GenericError => {
                    return Err(Failure::new(format!(
                        "{DAMAGED_REF}: {name}; run `git fsck` there"
                    )));
                }
                _ => {}
            }
        }
        let references = self.repository.references().map_err(unreadable)?;
        let mut lines: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for reference in references {
            let reference = reference.map_err(unreadable)?;
            let name = reference.name_bytes().to_vec();
            let text = String::from_utf8_lossy(&name);
            if is_asked(&text) && !self.hidden.hides(&text) {
                lines.extend(listing.line(&reference).map(|line| (name, line)));
            }
        }
        lines.sort_unstable();
        for (_, line) in &lines {
            message.data(line);
        }
        self.output.packets(message.flush())
    }

    fn fetch(&self, request: &Request) -> Result<()> {
        if request.is_empty() {
            return self.output.send(b"0000");
        }
        if request.filter != reachable::Filter::None && !self.filters {
            return Err(Failure::new(
                "filters are switched off (uploadpack.allowFilter)",
            ));
        }
        let folder = self.repository.commondir();
        let objects = Objects::open(&[&folder.join("objects")])?;
        let own_shallow = own_shallow(self.repository)?;
        let is_named = |id| self.is_named(id, &objects);
        let mut negotiation = Negotiation::new(&objects, request, &own_shallow, is_named)?;
        if request.is_negotiating() && !self.acknowledge(request, &mut negotiation)? {
            return Ok(());
        }
        // Also if the client said nothing of it: whoever clones a shallow repository must learn where history ends.
        if request.is_shallow() || !own_shallow.is_empty() {
            let mut message = PacketWriter::new();
            message.line("shallow-info");
            for id in &negotiation.shallow {
                message.line(&format!("shallow {id}"));
            }
            for id in &negotiation.unshallow {
                message.line(&format!("unshallow {id}"));
            }
            self.output.packets(message.delimiter())?;
        }
        self.output.packets(PacketWriter::new().line("packfile"))?;
        self.output.begin_sideband();
        // The sideband ends with the pack: the next command's response is plain lines again.
        let sent = self.send_pack(request, &mut negotiation);
        self.output.end_sideband();
        if let Err(Failure::Refused(why)) = &sent {
            self.output.band(3, why.as_bytes())?;
            // The client has been told in band 3; an ERR packet after it would be one too many.
            return Err(Failure::Gone);
        }
        sent
    }

    /// Says whether a ref names an object, or the commit of which it is the root tree: what is wanted and never there without
    /// damage.
    fn is_named(&self, id: ObjectId, objects: &Objects) -> bool {
        let references = self.repository.references();
        let Ok(references) = references else {
            return false;
        };
        let mut tips = references
            .flatten()
            .filter_map(|reference| reference.target());
        let mut commits = Commits::new(objects, HashSet::new());
        tips.any(|tip| {
            let tip = from_git2(tip);
            tip == id || commits.get(tip).is_ok_and(|commit| commit.tree == id)
        })
    }

    /// Sends the acknowledgments; says whether the pack follows.
    fn acknowledge(&self, request: &Request, negotiation: &mut Negotiation<'_>) -> Result<bool> {
        let mut message = PacketWriter::new();
        message.line("acknowledgments");
        if negotiation.common.is_empty() {
            message.line("NAK");
        }
        for id in &negotiation.common {
            message.line(&format!("ACK {id}"));
        }
        let is_ready = negotiation.is_ready(request)?;
        match is_ready {
            true => message.line("ready").delimiter(),
            false => message.flush(),
        };
        self.output.packets(&mut message)?;
        Ok(is_ready)
    }

    fn send_pack(&self, request: &Request, negotiation: &mut Negotiation<'_>) -> Result<()> {
        let alive = || self.output.keep_alive();
        let roots = negotiation.roots(alive)?;
        let mut inventory = Inventory::default();
        for (id, kind) in negotiation.singles() {
            let before = None;
            inventory.add(Found { id, kind, before });
        }
        let objects = negotiation.objects();
        let commits = &mut negotiation.commits;
        let mut visit = |found: Found| {
            if found.kind == ObjectKind::Commit {
                self.output.keep_alive()?;
            }
            inventory.add(found);
            Ok(())
        };
        reachable::walk(objects, commits, &roots, request.filter, &mut visit)?;
        if request.include_tag {
            self.include_tags(&mut inventory)?;
        }
        tracing::debug!("sending {} objects", inventory.len());
        pack_output::send(objects, &inventory, request.abilities, self.output)
    }

    /// Adds the annotated tags that point to what is sent.
    fn include_tags(&self, inventory: &mut Inventory) -> Result<()> {
        let tags = self
            .repository
            .references_glob("refs/tags/*")
            .map_err(unreadable)?;
        for tag in tags {
            let tag = tag.map_err(unreadable)?;
            let peeled = tag
                .peel(ObjectType::Any)
                .map(|object| from_git2(object.id()));
            let Some(id) = tag.target().map(from_git2) else {
                continue;
            };
            // A lightweight tag has no object that could be sent.
            if peeled.is_ok_and(|peeled| peeled != id && inventory.has(peeled)) {
                let (kind, before) = (ObjectKind::Tag, None);
                inventory.add(Found { id, kind, before });
            }
        }
        Ok(())
    }
}

/// Writes the lines of `ls-refs`.
struct Listing<'a> {
    service: &'a UploadPack<'a>,
    symrefs: bool,
    peel: bool,
}

impl Listing<'_> {
    fn head(&self, unborn: bool, message: &mut PacketWriter) {
        let Ok(head) = self.service.repository.find_reference("HEAD") else {
            return;
        };
        match (self.line(&head), head.symbolic_target()) {
            (Some(line), _) => {
                message.data(&line);
            }
            (None, Ok(Some(branch))) if unborn => {
                let symref = match self.symrefs {
                    true => format!(" symref-target:{branch}"),
                    false => String::new(),
                };
                message.line(&format!("unborn HEAD{symref}"));
            }
            _ => {}
        }
    }

    /// Writes a ref's line; `None` for a ref that points to nothing.
    fn line(&self, reference: &Reference<'_>) -> Option<Vec<u8>> {
        let id = reference.resolve().ok()?.target()?;
        let mut line = format!("{id} ").into_bytes();
        line.extend_from_slice(reference.name_bytes());
        if self.symrefs
            && let Some(target) = reference.symbolic_target_bytes()
        {
            line.extend_from_slice(b" symref-target:");
            line.extend_from_slice(target);
        }
        if self.peel
            && let Ok(peeled) = reference.peel(ObjectType::Any)
            && peeled.id() != id
        {
            line.extend_from_slice(format!(" peeled:{}", peeled.id()).as_bytes());
        }
        line.push(b'\n');
        Some(line)
    }
}

/// Reads where the repository's own history is cut off.
pub(super) fn own_shallow(repository: &Repository) -> Result<HashSet<ObjectId>> {
    let text = match std::fs::read_to_string(repository.commondir().join("shallow")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(Failure::because("the file `shallow` cannot be read", error)),
    };
    text.lines()
        .map(|line| {
            line.parse()
                .map_err(|_| Failure::new("the file `shallow` cannot be read"))
        })
        .collect()
}

fn unreadable(error: git2::Error) -> Failure {
    Failure::because("the repository cannot be read", error.message())
}
