//! What a version depends on, by kind.

use super::text::{Within, clean};
use crate::index::CrateName;
use crate::index::release::{Dependency, DependencyKind};
use crate::server::private::manifest::is_crates_io;
use crate::server::serve::registry::Registry;

/// How many bytes the rows of dependencies take, with what the template adds to each.
const DEPENDENCIES: usize = 10 << 10;
const MARKUP: usize = 120;

/// The dependencies of a kind.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) is_open: bool,
    pub(super) rows: Vec<DependencyRow>,
}

pub(super) struct DependencyRow {
    pub(super) name: String,
    /// Its page, where it comes from this index.
    pub(super) path: Option<String>,
    pub(super) requirement: String,
    /// What else there is to say of it.
    pub(super) notes: Vec<String>,
    pub(super) kind: DependencyKind,
}

/// Returns the dependencies of a version of this registry by their kind, as far as the budget reaches, and how many are left out.
pub(super) fn groups(registry: Registry, dependencies: &[Dependency]) -> (Vec<Group>, usize) {
    let kinds = [
        (DependencyKind::Normal, "To build it", true),
        (DependencyKind::Build, "For its build script", true),
        (DependencyKind::Dev, "For its tests and examples", false),
    ];
    let mut rows: Vec<_> = dependencies
        .iter()
        .map(|dependency| DependencyRow::new(registry, dependency))
        .collect();
    let place = |kind| kinds.iter().position(|(known, ..)| *known == kind);
    rows.sort_by(|one, other| {
        let key = |row: &DependencyRow| (place(row.kind), row.name.to_ascii_lowercase());
        key(one).cmp(&key(other))
    });
    let within = Within::new(rows, DEPENDENCIES, |row| {
        let notes: usize = row.notes.iter().map(|note| note.len() + 2).sum();
        MARKUP + 2 * row.name.len() + row.requirement.len() + notes
    });
    let mut rows = within.rows.into_iter().peekable();
    let groups = kinds.into_iter().map(|(kind, title, is_open)| {
        let mut group = Vec::new();
        while let Some(row) = rows.next_if(|row| row.kind == kind) {
            group.push(row);
        }
        Group {
            title,
            is_open,
            rows: group,
        }
    });
    let groups = groups.filter(|group| !group.rows.is_empty()).collect();
    (groups, within.left)
}

/// Returns which of the server's registries a dependency comes from, if it is one: the line of a private crate names crates.io by an
/// address, and its own registry not at all.
fn from(registry: Registry, dependency: &Dependency) -> Option<Registry> {
    match &dependency.registry {
        None => Some(registry),
        Some(address) if registry.is_private() && is_crates_io(address) => Some(Registry::Mirror),
        Some(_) => None,
    }
}

impl DependencyRow {
    fn new(registry: Registry, dependency: &Dependency) -> Self {
        let mut notes = Vec::new();
        if let Some(renamed) = &dependency.renamed {
            notes.push(format!("as {}", clean(renamed)));
        }
        if dependency.is_optional {
            notes.push("optional".to_owned());
        }
        if let Some(target) = &dependency.target {
            notes.push(format!("on {}", clean(target)));
        }
        if !dependency.has_default_features {
            notes.push("without default features".to_owned());
        }
        if !dependency.features.is_empty() {
            notes.push(format!("with {}", clean(&dependency.features.join(", "))));
        }
        let from = from(registry, dependency);
        match from {
            None => notes.push("from another registry".to_owned()),
            Some(Registry::Private) => notes.push("private".to_owned()),
            Some(Registry::Mirror) => {}
        }
        let name = CrateName::new(&dependency.package).ok().zip(from);
        Self {
            path: name.map(|(name, from)| from.path(name.as_str())),
            name: clean(&dependency.package),
            requirement: clean(&dependency.requirement),
            notes,
            kind: dependency.kind,
        }
    }
}
