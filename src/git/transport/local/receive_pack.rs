//! `receive-pack`, in version 0 of the protocol: takes objects and moves refs (`gitprotocol-pack`, `githooks`).
//!
//! Stricter than git in one point: whether a ref may move, its hook `update` included, is decided before any object becomes
//! the repository's, so that what is refused leaves nothing behind.

use git2::{Config, Oid, Reference, Repository};

use super::connectivity;
use super::fsck::{self, Strictness};
use super::hidden_refs::HiddenRefs;
use super::hooks::{Hooks, Incoming};
use super::objects::{Objects, from_git2};
use super::pipe::{Failure, Input, Output, Result};
use super::push_request::{Command, Push};
use super::quarantine::Quarantine;
use super::repository;
use super::upload_pack::own_shallow;
use crate::ObjectId;
use crate::wire::{AGENT, PacketWriter};

/// The most refs of one push; a mirror's moves one.
const COMMANDS: usize = 10_000;
/// The most push options.
const OPTIONS: usize = 1_000;

/// Serves one push.
pub(super) fn serve(repository: &Repository, mut input: Input, output: &Output) -> Result<()> {
    let service = ReceivePack::new(repository, output)?;
    service.advertise()?;
    let lines = match input.lines(COMMANDS) {
        Ok((lines, _)) => lines,
        // A client that only wanted to see the refs hangs up here.
        Err(Failure::Gone) => return Ok(()),
        Err(refused) => return Err(refused),
    };
    // The client's capabilities are not known yet, and with them its report and sideband: an ERR packet needs neither.
    let refused = |failure| match failure {
        Failure::Refused(why) => {
            output.packets(PacketWriter::new().line(&format!("ERR {why}")))?;
            Err(Failure::Refused(why))
        }
        gone => Err(gone),
    };
    let mut push = match Push::parse(&lines) {
        Ok(push) if push.commands.is_empty() => return Ok(()),
        Ok(push) => push,
        Err(failure) => return refused(failure),
    };
    if push.has_sideband() {
        output.begin_sideband();
    }
    if push.has("push-options") {
        (push.options, _) = input.lines(OPTIONS)?;
    }
    service.take(&mut push, &mut input)
}

struct ReceivePack<'a> {
    repository: &'a Repository,
    config: Config,
    hidden: HiddenRefs,
    output: &'a Output,
}

impl<'a> ReceivePack<'a> {
    fn new(repository: &'a Repository, output: &'a Output) -> Result<Self> {
        let config = repository.config().and_then(|mut config| config.snapshot());
        let config = config.map_err(|error| unreadable(&error))?;
        Ok(Self {
            repository,
            hidden: HiddenRefs::read(&config, "receive")?,
            config,
            output,
        })
    }

    fn is_on(&self, name: &str, default: bool) -> bool {
        self.config.get_bool(name).unwrap_or(default)
    }

    fn advertise(&self) -> Result<()> {
        // What is implemented. Not `delete-refs` and `atomic`: a sync moves one ref, and never deletes it.
        let mut capabilities = "report-status side-band-64k quiet ofs-delta".to_owned();
        if self.is_on("receive.advertisepushoptions", false) {
            capabilities.push_str(" push-options");
        }
        capabilities.push_str(&format!(" object-format=sha1 agent={AGENT}"));
        let mut lines = Vec::new();
        let references = self
            .repository
            .references()
            .map_err(|error| unreadable(&error))?;
        for reference in references {
            let reference = reference.map_err(|error| unreadable(&error))?;
            let resolved = reference
                .resolve()
                .ok()
                .and_then(|reference| reference.target());
            let Some(id) = resolved else {
                continue;
            };
            let name = reference.name_bytes();
            if !self.hidden.hides(&String::from_utf8_lossy(name)) {
                lines.push((name.to_vec(), id));
            }
        }
        lines.sort_unstable();
        if lines.is_empty() {
            // Capabilities ride on a ref's line, so an empty repository needs a line for them (gitprotocol-pack).
            lines.push((b"capabilities^{}".to_vec(), Oid::ZERO_SHA1));
        }
        let mut message = PacketWriter::new();
        let mut capabilities = Some(capabilities);
        for (name, id) in &lines {
            let mut line = format!("{id} ").into_bytes();
            line.extend_from_slice(name);
            if let Some(capabilities) = capabilities.take() {
                line.extend_from_slice(format!("\0{capabilities}").as_bytes());
            }
            line.push(b'\n');
            message.data(&line);
        }
        // The client must not take what lies before these commits for something that this repository has.
        for id in own_shallow(self.repository)? {
            message.line(&format!("shallow {id}"));
        }
        self.output.packets(message.flush())
    }

    fn take(&self, push: &mut Push, input: &mut Input) -> Result<()> {
        let options = push.options.clone();
        let hooks = Hooks::new(self.repository, &options, self.output, push.has_sideband());
        let unpack_error = match self.unpack(push, input, &hooks) {
            Ok(()) => None,
            Err(Failure::Gone) => return Err(Failure::Gone),
            Err(Failure::Refused(why)) => {
                self.tell(push, &format!("fatal: {why}\n"))?;
                push.refuse_all("unpacker error");
                Some(why)
            }
        };
        // Before the hooks that follow a push: they may take long, and decide nothing any more.
        self.report(push, unpack_error.as_deref())?;
        // As for git: not after a push of which nothing was taken.
        if push.accepted().next().is_some() {
            hooks.run("post-receive", &[], push.lines(), None)?;
        }
        let moved: Vec<_> = push
            .accepted()
            .map(|command| command.reference.clone())
            .collect();
        if !moved.is_empty() {
            let moved: Vec<_> = moved.iter().map(String::as_str).collect();
            hooks.run("post-update", &moved, String::new(), None)?;
        }
        match push.has_sideband() {
            true => self.output.send(b"0000"),
            false => Ok(()),
        }
    }

    /// Takes the pack and moves the refs. Where it refuses, which the report then says, no ref has moved.
    fn unpack(&self, push: &mut Push, input: &mut Input, hooks: &Hooks<'_>) -> Result<()> {
        let objects = self.repository.commondir().join("objects");
        let mut quarantine = Quarantine::create(&objects)?;
        if !push.commands.iter().all(Command::is_deletion) {
            let limit = self.config.get_i64("receive.maxinputsize").ok();
            let limit = limit
                .and_then(|limit| u64::try_from(limit).ok())
                .filter(|limit| *limit > 0);
            quarantine.receive(input, self.output, limit)?;
        }
        // The quarantine first: most of what the checks read was just pushed.
        let incoming = Objects::open(&[quarantine.path(), &objects])?;
        // Before connectivity, which parses these objects: git, too, runs its checks while it indexes the pack.
        if let Some(strictness) = Strictness::read(self.repository, &self.config)?
            && let Some(index) = quarantine.index()
        {
            fsck::check(index, &incoming, &strictness, self.output)?;
        }
        self.judge(push, &incoming, &quarantine, hooks)?;
        // It finds the quarantine's files by paths that the next step takes away.
        drop(incoming);
        if push.accepted().next().is_some() {
            self.apply(push, quarantine, hooks)?;
        }
        Ok(())
    }

    /// Decides which refs may move.
    fn judge(
        &self,
        push: &mut Push,
        incoming: &Objects,
        quarantine: &Quarantine,
        hooks: &Hooks<'_>,
    ) -> Result<()> {
        // Before any hook: hooks run git on the new commits, and must not meet missing objects.
        self.check_connectivity(push, incoming)?;
        let has_sideband = push.has_sideband();
        for command in push.accepted() {
            if let Some(why) = self.forbids(command, incoming, has_sideband)? {
                command.refuse(why);
            }
        }
        let place = Incoming {
            folder: quarantine.path(),
            objects: quarantine.objects(),
        };
        if push.accepted().next().is_none() {
            return Ok(());
        }
        if !hooks.run("pre-receive", &[], push.lines(), Some(place))? {
            push.refuse_all("pre-receive hook declined");
        }
        for command in push.accepted() {
            let (old, new) = (command.old.to_string(), command.new.to_string());
            let arguments = [command.reference.as_str(), &old, &new];
            if !hooks.run("update", &arguments, String::new(), Some(place))? {
                command.refuse("hook declined");
            }
        }
        Ok(())
    }

    fn check_connectivity(&self, push: &mut Push, incoming: &Objects) -> Result<()> {
        let tips: Vec<_> = push
            .accepted()
            .filter(|command| !command.is_deletion())
            .map(|command| command.new)
            .collect();
        match connectivity::check(self.repository, incoming, &tips, self.output) {
            Ok(()) => {}
            Err(Failure::Gone) => return Err(Failure::Gone),
            Err(Failure::Refused(why)) => {
                self.tell(push, &format!("error: {why}\n"))?;
                for command in push.accepted().filter(|command| !command.is_deletion()) {
                    command.refuse("missing necessary objects");
                }
            }
        }
        Ok(())
    }

    /// Says why a ref must not move: because of its name, of the repository's settings, or of what it is now.
    fn forbids(
        &self,
        command: &Command,
        incoming: &Objects,
        has_sideband: bool,
    ) -> Result<Option<String>> {
        let Command {
            old,
            new,
            reference,
            ..
        } = command;
        let because = |why: &str| Ok(Some(why.to_owned()));
        if !reference.starts_with("refs/") || !Reference::is_valid_name(reference) {
            return because("funny refname");
        }
        if self.hidden.hides(reference) {
            return because("deny updating a hidden ref");
        }
        if command.is_deletion() {
            return because(match self.is_on("receive.denydeletes", false) {
                true => "deletion prohibited",
                false => "deletion is not supported here",
            });
        }
        if let Ok(known) = self.repository.find_reference(reference)
            && known.symbolic_target_bytes().is_some()
        {
            // Git moves what it points to. Here that would bypass the checks below, which are made on the name that was
            // pushed.
            return because("it is a symbolic ref");
        }
        if self.is_checked_out(reference) {
            match repository::word(&self.config, "receive.denycurrentbranch").as_deref() {
                Some("ignore") => {}
                Some("warn") if has_sideband => self
                    .output
                    .band(2, b"warning: updating the current branch\n")?,
                Some("warn") => {}
                // The other words are those of a truth value; without a value, or with another word, it is on.
                Some(word) if Config::parse_bool(word) == Ok(false) => {}
                _ => return because("branch is currently checked out"),
            }
        }
        if *old != ObjectId::ZERO
            && self.is_on("receive.denynonfastforwards", false)
            && reference.starts_with("refs/heads/")
            && !connectivity::leads_to(self.repository, incoming, *new, *old, self.output)?
        {
            return because("non-fast-forward");
        }
        Ok(None)
    }

    /// Says whether a ref is what a work tree shows.
    fn is_checked_out(&self, reference: &str) -> bool {
        let is_head = |repository: &Repository| {
            let head = repository.find_reference("HEAD");
            head.is_ok_and(|head| head.symbolic_target_bytes() == Some(reference.as_bytes()))
        };
        if !self.repository.is_bare() && is_head(self.repository) {
            return true;
        }
        let names = self.repository.worktrees();
        let Ok(names) = names else {
            return false;
        };
        names.iter().flatten().flatten().any(|name| {
            let worktree = self.repository.find_worktree(name);
            let opened = worktree.and_then(|worktree| Repository::open_from_worktree(&worktree));
            opened.is_ok_and(|opened| is_head(&opened))
        })
    }

    /// Makes the objects the repository's, then moves the refs.
    fn apply(&self, push: &mut Push, quarantine: Quarantine, hooks: &Hooks<'_>) -> Result<()> {
        // The last moment at which a client that hung up can still be told from one that waits: afterwards the refs
        // move.
        self.output.check()?;
        // Objects before refs: a process that is killed in between leaves unused objects, never a ref to missing ones.
        let kept = match quarantine.migrate() {
            Ok(kept) => kept,
            Err(Failure::Gone) => return Err(Failure::Gone),
            Err(Failure::Refused(why)) => {
                self.tell(push, &format!("error: {why}\n"))?;
                push.refuse_all("unable to migrate objects to permanent storage");
                return Ok(());
            }
        };
        let has_sideband = push.has_sideband();
        for command in push.accepted() {
            let Command {
                old,
                new,
                reference,
                ..
            } = &command;
            let line = || format!("{old} {new} {reference}\n");
            let hook = |phase| hooks.run("reference-transaction", &[phase], line(), None);
            if !hook("prepared")? {
                command.refuse("failed to update ref");
                continue;
            }
            let moved = self.move_ref(command);
            let phase = if moved.is_ok() {
                "committed"
            } else {
                "aborted"
            };
            hook(phase)?;
            if let Err(error) = moved {
                // As git does: the report only says that the ref was not written.
                let why = error.message().trim_end_matches([':', ' ']);
                let words = format!("error: cannot lock ref '{reference}': {why}\n");
                command.refuse("failed to update ref");
                if has_sideband {
                    self.output.band(2, words.as_bytes())?;
                }
            }
        }
        // Only now do the refs lead to the pack.
        drop(kept);
        Ok(())
    }

    /// Moves a ref under its lock, if it still is where the client saw it.
    fn move_ref(&self, command: &Command) -> Result<(), git2::Error> {
        let Command {
            old,
            new,
            reference,
            ..
        } = command;
        let new = Oid::from_bytes(new.as_bytes())?;
        if *old == ObjectId::ZERO {
            // Without `force`: a ref that somebody else created meanwhile stays.
            return self
                .repository
                .reference(reference, new, false, "push")
                .map(drop);
        }
        let known = self
            .repository
            .find_reference(reference)?
            .target()
            .map(from_git2);
        if known == Some(*old) && from_git2(new) == *old {
            return Ok(());
        }
        let old = Oid::from_bytes(old.as_bytes())?;
        // `force` only allows the ref to exist. libgit2 compares `old` while it holds the ref's lock.
        self.repository
            .reference_matching(reference, new, true, old, "push")
            .map(drop)
    }

    /// Sends a message for people, if there is a sideband.
    fn tell(&self, push: &Push, words: &str) -> Result<()> {
        match push.has_sideband() {
            true => self.output.band(2, words.as_bytes()),
            false => Ok(()),
        }
    }

    fn report(&self, push: &Push, unpack_error: Option<&str>) -> Result<()> {
        if !push.has("report-status") {
            return Ok(());
        }
        let mut report = PacketWriter::new();
        report.line(&format!("unpack {}", unpack_error.unwrap_or("ok")));
        for command in &push.commands {
            match &command.refusal {
                None => report.line(&format!("ok {}", command.reference)),
                Some(why) => report.line(&format!("ng {} {why}", command.reference)),
            };
        }
        let report = report.flush().finish();
        match push.has_sideband() {
            true => self.output.band(1, &report),
            false => self.output.send(&report),
        }
    }
}

fn unreadable(error: &git2::Error) -> Failure {
    Failure::because("the repository cannot be read", error.message())
}
