//! What crates.io's web API answers, as far as a mirror knows it. Its clients expect every field: what is not known is
//! `null` where theirs may be, else 0, and an unknown time is 1970.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;
use serde::Serialize;

use super::lists::{CategoryJson, KeywordJson};
use crate::index::release::{Dependency, Release};
use crate::policy::{Decided, Decision};
use crate::server::catalog::crates::{CrateRow, VersionRow};
use crate::server::decisions::{DecidedFile, Gone};
use crate::shown::one_line;

/// `/api/v1/crates`.
#[derive(Serialize)]
pub(super) struct SearchJson {
    pub(super) crates: Vec<CrateJson>,
    pub(super) meta: MetaJson,
}

/// How many results there are, and where the pages before and after are, as queries.
#[derive(Serialize)]
pub(super) struct MetaJson {
    pub(super) total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_page: Option<String>,
    /// The names near one that nothing matches, beyond what crates.io says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) did_you_mean: Vec<String>,
}

/// A crate.
#[derive(Serialize)]
pub(super) struct CrateJson {
    id: String,
    name: String,
    description: Option<String>,
    default_version: String,
    num_versions: u64,
    yanked: bool,
    max_version: String,
    newest_version: String,
    max_stable_version: Option<String>,
    downloads: u64,
    recent_downloads: Option<u64>,
    created_at: Timestamp,
    updated_at: Timestamp,
    homepage: Option<String>,
    documentation: Option<String>,
    repository: Option<String>,
    exact_match: bool,
    trustpub_only: bool,
    /// The numbers of the versions; in lists of crates `null`.
    versions: Option<Vec<u64>>,
    keywords: Option<Vec<String>>,
    categories: Option<Vec<String>>,
    badges: [(); 0],
    links: CrateLinks,
}

#[derive(Serialize)]
struct CrateLinks {
    version_downloads: String,
    versions: Option<String>,
    owners: String,
    owner_team: String,
    owner_user: String,
    reverse_dependencies: String,
}

impl CrateJson {
    /// Makes it of what the catalog knows.
    pub(super) fn new(row: CrateRow) -> Self {
        let link = |end: &str| format!("/api/v1/crates/{}/{end}", row.name);
        let links = CrateLinks {
            version_downloads: link("downloads"),
            versions: Some(link("versions")),
            owners: link("owners"),
            owner_team: link("owner_team"),
            owner_user: link("owner_user"),
            reverse_dependencies: link("reverse_dependencies"),
        };
        Self {
            id: row.name.clone(),
            name: row.name,
            // `cargo search` prints it as it is.
            description: row.description.map(|text| one_line(&text).into_owned()),
            // As crates.io says where all are yanked.
            max_version: row.max_version.unwrap_or_else(|| "0.0.0".to_owned()),
            default_version: row.default_version,
            num_versions: row.versions,
            yanked: row.is_yanked,
            newest_version: row.newest_version,
            max_stable_version: row.max_stable_version,
            // The dump counts both at other times: what is more of the two is true of all.
            downloads: row.downloads.max(row.recent_downloads).unwrap_or(0),
            recent_downloads: row.recent_downloads,
            created_at: at(row.created),
            updated_at: at(row.updated),
            homepage: row.homepage,
            documentation: row.documentation,
            repository: row.repository,
            exact_match: false,
            trustpub_only: false,
            versions: None,
            keywords: Some(row.keywords),
            categories: Some(row.categories),
            badges: [],
            links,
        }
    }

    /// Says whether its name is what was searched for.
    pub(super) fn matching(self, exact_match: bool) -> Self {
        Self {
            exact_match,
            ..self
        }
    }

    /// Names its versions, by their numbers.
    pub(super) fn with_versions(self, numbers: Vec<u64>) -> Self {
        Self {
            versions: Some(numbers),
            ..self
        }
    }
}

pub(super) fn at(seconds: Option<i64>) -> Timestamp {
    let known = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    known.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `/api/v1/crates/NAME`.
#[derive(Serialize)]
pub(super) struct CrateAnswer {
    #[serde(rename = "crate")]
    pub(super) of: CrateJson,
    pub(super) versions: Vec<VersionJson>,
    pub(super) keywords: Vec<KeywordJson>,
    pub(super) categories: Vec<CategoryJson>,
}

/// `/api/v1/crates/NAME/versions`.
#[derive(Serialize)]
pub(super) struct VersionsAnswer {
    pub(super) versions: Vec<VersionJson>,
    pub(super) meta: MetaJson,
}

/// `/api/v1/crates/NAME/VERSION`.
#[derive(Serialize)]
pub(super) struct VersionAnswer {
    pub(super) version: VersionJson,
}

/// A version.
#[derive(Serialize)]
pub(super) struct VersionJson {
    pub(super) id: u64,
    #[serde(rename = "crate")]
    of: String,
    pub(super) num: String,
    dl_path: String,
    readme_path: String,
    pub(super) created_at: Timestamp,
    updated_at: Timestamp,
    downloads: u64,
    features: BTreeMap<String, Vec<String>>,
    yanked: bool,
    yank_message: Option<String>,
    lib_links: Option<String>,
    license: Option<String>,
    links: VersionLinks,
    crate_size: Option<u64>,
    published_by: Option<()>,
    audit_actions: [(); 0],
    checksum: String,
    rust_version: Option<String>,
}

#[derive(Serialize)]
struct VersionLinks {
    dependencies: String,
    version_downloads: String,
    authors: String,
}

impl VersionJson {
    /// Makes it of an index line.
    pub(super) fn new(id: u64, release: Release) -> Self {
        let path = format!("/api/v1/crates/{}/{}", release.name, release.version);
        let published = release.published.unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            id,
            of: release.name,
            num: release.version.to_string(),
            dl_path: format!("{path}/download"),
            readme_path: format!("{path}/readme"),
            created_at: published,
            updated_at: published,
            downloads: 0,
            features: release.features,
            yanked: release.is_yanked,
            yank_message: None,
            lib_links: release.links,
            license: None,
            links: VersionLinks {
                dependencies: format!("{path}/dependencies"),
                version_downloads: format!("{path}/downloads"),
                authors: format!("{path}/authors"),
            },
            crate_size: None,
            published_by: None,
            audit_actions: [],
            checksum: release.checksum,
            rust_version: release.rust_version,
        }
    }

    /// Makes it of a version that upstream took back and of which the index has no line; `place` is its place among those. `None` if
    /// its number is none.
    pub(super) fn gone(crate_id: u32, place: usize, name: &str, gone: &Gone) -> Option<Self> {
        let release = Release {
            name: name.to_owned(),
            version: Version::parse(&gone.version).ok()?,
            checksum: gone.checksum.to_string(),
            is_yanked: true,
            is_beyond_cargo: false,
            published: None,
            rust_version: None,
            links: None,
            dependencies: Vec::new(),
            features: BTreeMap::new(),
        };
        // From the end on: those of versions that are listed count from the beginning.
        let last = usize::try_from(NUMBERS - 1).unwrap_or(usize::MAX);
        let id = version_number(crate_id, last.saturating_sub(place));
        Some(Self {
            yank_message: Some(one_line(&gone.decided.to_string()).into_owned()),
            ..Self::new(id, release)
        })
    }

    /// Adds why a version is shown as yanked that the index has otherwise, and until when.
    pub(super) fn decided_by(self, decided: Option<&DecidedFile>) -> Self {
        let decided = decided.and_then(|decided| decided.outcome.of(&self.num));
        let is_yanked = |decided: &&Decided| !matches!(decided.decision, Decision::HoldYank { .. });
        let told = decided.filter(is_yanked).map(ToString::to_string);
        Self {
            yank_message: told.map(|told| one_line(&told).into_owned()),
            ..self
        }
    }

    /// Adds the licence of the version whose manifest the catalog knows.
    pub(super) fn licensed_by(self, row: &CrateRow) -> Self {
        let license = row.license.as_deref().map(one_line);
        let license = license.filter(|_| row.described.as_ref() == Some(&self.num));
        Self {
            license: license.map(Cow::into_owned),
            ..self
        }
    }
}

impl VersionJson {
    /// Adds what the dump says of the version.
    pub(super) fn known_as(self, known: VersionRow) -> Self {
        let published = match self.created_at == Timestamp::UNIX_EPOCH {
            true => at(known.created),
            false => self.created_at,
        };
        let license = known.license.as_deref().map(one_line);
        Self {
            created_at: published,
            updated_at: published,
            downloads: known.downloads.unwrap_or(0),
            crate_size: known.size,
            license: self.license.or_else(|| license.map(Cow::into_owned)),
            ..self
        }
    }
}

/// `/api/v1/crates/NAME/VERSION/dependencies`.
#[derive(Serialize)]
pub(super) struct DependenciesAnswer {
    pub(super) dependencies: Vec<DependencyJson>,
}

/// `/api/v1/crates/NAME/reverse_dependencies`.
#[derive(Serialize)]
pub(super) struct DependentsAnswer {
    pub(super) dependencies: Vec<DependencyJson>,
    pub(super) versions: Vec<VersionJson>,
    pub(super) meta: MetaJson,
}

/// A dependency of a version.
#[derive(Serialize)]
pub(super) struct DependencyJson {
    id: u64,
    version_id: u64,
    crate_id: String,
    req: String,
    optional: bool,
    default_features: bool,
    features: Vec<String>,
    target: Option<String>,
    kind: &'static str,
    downloads: u64,
}

impl DependencyJson {
    /// Makes it of a dependency that an index line lists at this place.
    pub(super) fn new(version: u64, place: usize, dependency: Dependency) -> Self {
        Self {
            id: version * NUMBERS + place as u64,
            version_id: version,
            crate_id: dependency.package,
            req: dependency.requirement,
            optional: dependency.is_optional,
            default_features: dependency.has_default_features,
            features: dependency.features,
            target: dependency.target,
            kind: dependency.kind.as_str(),
            downloads: 0,
        }
    }

    /// Adds the downloads of the crate that has it: in lists of dependents that is whose they are.
    pub(super) fn of_dependent(self, downloads: u64) -> Self {
        Self { downloads, ..self }
    }
}

/// How many numbers there are for the versions of a crate, and for the dependencies of a version.
const NUMBERS: u64 = 100_000;

/// Makes the number of a crate's version, by its place from the lowest version on.
pub(super) fn version_number(crate_id: u32, place: usize) -> u64 {
    u64::from(crate_id) * NUMBERS + place as u64
}
