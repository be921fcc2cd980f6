//! The manifest of a crate, as cargo rewrote it for the registry.

use toml::{Table, Value};
use url::Url;

use super::ArchiveError;
use super::bounds::BOUNDS;
use super::entries::is_plain;

/// The longest texts, in characters.
pub(in crate::server) const DESCRIPTION: usize = 1000;
pub(in crate::server) const LICENSE: usize = 200;
const WORD: usize = 64;
const ADDRESS: usize = 1000;
/// How many keywords or categories there may be; crates.io takes five.
const WORDS: usize = 20;

/// What a manifest says of a crate, for those who show it or search in it.
///
/// All of it is what the crate's author wrote, within bounds of length. What is of another type than cargo's is left out, as
/// are addresses that are not of the web.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// What the crate is, in a sentence or two; on one line.
    pub description: Option<String>,
    /// Its keywords.
    pub keywords: Vec<String>,
    /// Its categories, by their slugs.
    pub categories: Vec<String>,
    /// Its licence, an SPDX expression; `non-standard`, as on crates.io, where only a file says it.
    pub license: Option<String>,
    /// The address of its page.
    pub homepage: Option<String>,
    /// The address of its documentation.
    pub documentation: Option<String>,
    /// The address of its sources.
    pub repository: Option<String>,
    /// The oldest Rust that it builds with.
    pub rust_version: Option<String>,
    /// The edition of Rust that it is written in.
    pub edition: Option<String>,
    /// Where its README is.
    pub readme: Readme,
    /// Whether it says that the crate has a library. Before 1.80 cargo left out what it found by itself.
    pub has_library: bool,
    /// The programs that it says the crate has; likewise.
    pub binaries: Vec<String>,
}

/// Where the README of a crate is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Readme {
    /// Where cargo looks for it: the manifest does not say.
    #[default]
    Unsaid,
    /// Nowhere.
    None,
    /// At this path in the archive.
    At(String),
}

impl Manifest {
    /// Reads a `Cargo.toml`.
    ///
    /// # Errors
    /// If it is too large, or not TOML.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > BOUNDS.manifest {
            let text = format!("its Cargo.toml has more than {} bytes", BOUNDS.manifest);
            return Err(ArchiveError::new(text));
        }
        let text =
            str::from_utf8(bytes).map_err(|_| ArchiveError::new("its Cargo.toml is not UTF-8"))?;
        let document: Table = text.parse().map_err(|error: toml::de::Error| {
            ArchiveError::of("its Cargo.toml is not TOML", error.message())
        })?;
        // Before 1.0 cargo called it `project`.
        let package = ["package", "project"]
            .iter()
            .find_map(|name| document.get(*name));
        let package = package.and_then(Value::as_table);
        let package =
            package.ok_or_else(|| ArchiveError::new("its Cargo.toml has no [package]"))?;
        Ok(Self {
            has_library: document.get("lib").is_some_and(Value::is_table),
            binaries: binaries(&document),
            ..Self::of(package)
        })
    }

    fn of(package: &Table) -> Self {
        let text = |key: &str, longest: usize| line(package.get(key)?.as_str()?, longest);
        let word = |key: &str| text(key, WORD).filter(|word| is_word(word));
        let address = |key: &str| address(package.get(key)?.as_str()?);
        let has_file = package.get("license-file").is_some_and(Value::is_str);
        Self {
            description: text("description", DESCRIPTION),
            keywords: words(package.get("keywords")),
            categories: words(package.get("categories")),
            license: text("license", LICENSE)
                .or_else(|| has_file.then(|| "non-standard".to_owned())),
            homepage: address("homepage"),
            documentation: address("documentation"),
            repository: address("repository"),
            rust_version: word("rust-version"),
            edition: word("edition"),
            readme: Readme::of(package.get("readme")),
            has_library: false,
            binaries: Vec::new(),
        }
    }
}

impl Readme {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Unsaid,
            Some(Value::Boolean(true)) => Self::At("README.md".to_owned()),
            Some(Value::String(path)) => {
                let path = path.strip_prefix("./").unwrap_or(path);
                match path.len() <= BOUNDS.path && is_plain(path) {
                    true => Self::At(path.to_owned()),
                    false => Self::None,
                }
            }
            Some(_) => Self::None,
        }
    }
}

/// Returns a text on one line, cut where it is too long; `None` where nothing is left.
pub(in crate::server) fn line(text: &str, longest: usize) -> Option<String> {
    let mut line = String::new();
    let mut left = longest;
    for word in text.split_whitespace() {
        if left == 0 {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
            left -= 1;
        }
        let kept = word.chars().take(left).count();
        line.extend(word.chars().take(left));
        left -= kept;
    }
    let end = line.trim_end().len();
    line.truncate(end);
    (!line.is_empty()).then_some(line)
}

/// Returns the words of a list; what is none is left out.
fn words(list: Option<&Value>) -> Vec<String> {
    let list = list
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let texts = list.iter().filter_map(Value::as_str);
    let words = texts.filter(|text| is_word(text)).take(WORDS);
    words.map(str::to_owned).collect()
}

/// Says whether a text is a word as crates.io takes it for a keyword, a category's slug or a version; of any script.
pub(in crate::server) fn is_word(text: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "_-+:.".contains(letter);
    !text.is_empty() && text.len() <= WORD && text.chars().all(is_part)
}

/// Returns an address of the web; others could do more than show a page.
pub(in crate::server) fn address(text: &str) -> Option<String> {
    let url = (text.len() <= ADDRESS)
        .then(|| Url::parse(text.trim()).ok())
        .flatten()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    // What the parser encodes may have become longer.
    (is_web && is_plain && url.as_str().len() <= ADDRESS).then(|| url.into())
}

fn binaries(document: &Table) -> Vec<String> {
    let all = document.get("bin").and_then(Value::as_array);
    let names = all
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str());
    let names = names.filter(|name| is_word(name)).take(WORDS);
    names.map(str::to_owned).collect()
}
