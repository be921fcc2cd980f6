//! What a client sends to `receive-pack` before the pack: the refs to move, its capabilities, and its push options.

use super::pipe::{Failure, Result};
use crate::ObjectId;

/// A ref to be moved, and what became of it.
pub(super) struct Command {
    pub(super) old: ObjectId,
    pub(super) new: ObjectId,
    pub(super) reference: String,
    pub(super) refusal: Option<String>,
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        let (old, rest) = line.split_once(' ')?;
        let (new, reference) = rest.split_once(' ')?;
        Some(Self {
            old: old.parse().ok()?,
            new: new.parse().ok()?,
            reference: reference.to_owned(),
            refusal: None,
        })
    }

    pub(super) fn is_deletion(&self) -> bool {
        self.new == ObjectId::ZERO
    }

    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        // The first reason stands: later steps only see that there is one.
        self.refusal.get_or_insert(why.into());
    }
}

/// What the client sends before the pack.
pub(super) struct Push {
    pub(super) commands: Vec<Command>,
    pub(super) capabilities: Vec<String>,
    pub(super) options: Vec<String>,
}

impl Push {
    pub(super) fn parse(lines: &[String]) -> Result<Self> {
        let mut push = Self {
            commands: Vec::new(),
            capabilities: Vec::new(),
            options: Vec::new(),
        };
        for line in lines {
            let (command, capabilities) = line.split_once('\0').unwrap_or((line, ""));
            // Only the first line has capabilities, after a NUL (gitprotocol-pack).
            if push.commands.is_empty() {
                push.capabilities = capabilities
                    .split_ascii_whitespace()
                    .map(str::to_owned)
                    .collect();
            }
            // A push from a shallow clone would have to make this repository shallow. Certificates were not offered.
            if command.starts_with("shallow ") || command.starts_with("push-cert") {
                return Err(Failure::new(format!(
                    "not supported in a push: {command:?}"
                )));
            }
            let parsed = Command::parse(command);
            push.commands.push(parsed.ok_or_else(|| {
                Failure::new(format!(
                    "protocol error: expected old/new/ref, got {command:?}"
                ))
            })?);
        }
        let format = push
            .capabilities
            .iter()
            .find_map(|one| one.strip_prefix("object-format="));
        if let Some(other) = format.filter(|format| *format != "sha1") {
            return Err(Failure::new(format!("mismatched object format '{other}'")));
        }
        Ok(push)
    }

    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|one| one == capability)
    }

    pub(super) fn has_sideband(&self) -> bool {
        self.has("side-band-64k")
    }

    /// Returns the commands that have not been refused so far.
    pub(super) fn accepted(&mut self) -> impl Iterator<Item = &mut Command> {
        self.commands
            .iter_mut()
            .filter(|command| command.refusal.is_none())
    }

    pub(super) fn refuse_all(&mut self, why: &str) {
        self.accepted().for_each(|command| command.refuse(why));
    }

    /// Returns what hooks read: a line for each accepted command.
    pub(super) fn lines(&mut self) -> String {
        let line = |command: &mut Command| {
            let Command {
                old,
                new,
                reference,
                ..
            } = command;
            format!("{old} {new} {reference}\n")
        };
        self.accepted().map(line).collect()
    }
}
