//! The commands of `token`: they add tokens to the file, list and revoke them. A running server reads the file at once.

pub(super) mod file;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::{ServeConfig, duration, moment};
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::http::scopes::{Holder, Scope, Scopes};
use crate::server::cargo_config::replace;
use crate::server::owner_only;

/// What each token begins with, so that it is recognised where it was left.
const BEGINNING: &str = "ferry_";
/// How many random bytes a token has.
const BYTES: usize = 32;

/// When a new token ends to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After this time.
    After(Duration),
    /// At that moment.
    At(Timestamp),
}

impl Expiry {
    /// Reads a duration such as `90d`, a date, whose beginning in UTC is meant, or a time.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(text: &str) -> Result<Self, String> {
        let is_date = text.contains('-');
        let read = match is_date {
            true => moment(text).map(Self::At),
            false => duration(text).map(Self::After),
        };
        read.map_err(|_| {
            format!(
                "expected a duration such as 90d or a date such as 2027-01-31, found `{}`",
                text.escape_debug()
            )
        })
    }

    fn from(self, now: Timestamp) -> Result<Timestamp, String> {
        let end = match self {
            Self::At(end) => Some(end),
            Self::After(time) => {
                let end = SignedDuration::try_from(time).ok();
                end.and_then(|time| now.checked_add(time).ok())
            }
        };
        // Whole seconds, as a person would write it.
        let end = end.and_then(|end| Timestamp::from_second(end.as_second()).ok());
        match end {
            Some(end) if end > now => Ok(end),
            Some(end) => Err(format!("{end} is past")),
            None => Err("that is too late for a clock".to_owned()),
        }
    }
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends to be valid, if it does.
    pub expires: Option<Expiry>,
    /// Nothing is written.
    pub dry_run: bool,
}

/// A token that was added.
#[derive(Serialize)]
pub struct AddedToken {
    name: String,
    scopes: Vec<String>,
    expires: Option<Timestamp>,
    file: String,
    /// `None` in a dry run. There is no other place where it is.
    token: Option<String>,
    dry_run: bool,
    #[serde(skip)]
    validity: String,
}

/// Adds a token to the file, which is made if there is none.
///
/// # Errors
/// `usage` for a name or an end that a token cannot have, and for a name that is there already; `config` if the file cannot be
/// used.
pub fn add(config: &ServeConfig, new: &NewToken, now: Timestamp) -> Result<AddedToken> {
    let wrong = |flag: &str, why: String| Error::new(Kind::Usage, format!("{flag}: {why}"));
    file::check_name(&new.name).map_err(|why| wrong("the name of a token", why))?;
    let expires = new.expires.map(|expiry| expiry.from(now)).transpose();
    let expires = expires.map_err(|why| wrong("--expires", why))?;
    let holder = Holder {
        name: new.name.as_str().into(),
        scopes: Scopes::new(new.scopes.clone()),
        expires,
        job: None,
    };
    let token = token()?;
    let path = config.tokens_file();
    change(&path, new.dry_run, |text| {
        for line in file::lines(text) {
            let is_taken = line?
                .entry
                .is_some_and(|(_, other)| other.name == holder.name);
            if is_taken {
                let name = &new.name;
                return Err(Error::new(Kind::Usage, format!("there is a token named {name} already"))
                    .advise(format!(
                        "Choose another name, or revoke that one first: `crates-ferry token revoke {name}`."
                    )));
            }
        }
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let line = file::line(&file::hash(&token), &holder);
        Ok(format!("{text}{end}{line}"))
    })?;
    Ok(AddedToken {
        name: new.name.clone(),
        scopes: holder.scopes.iter().map(Scope::to_string).collect(),
        expires,
        file: path.display().to_string(),
        token: (!new.dry_run).then_some(token),
        dry_run: new.dry_run,
        validity: file::validity(expires, now),
    })
}

fn token() -> Result<String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Server, "the system gives no random bytes"))?;
    Ok(format!("{BEGINNING}{}", hex::encode(bytes)))
}

impl fmt::Display for AddedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            validity,
            file,
            ..
        } = self;
        let scopes = self.scopes.join(", ");
        let added = if self.dry_run { "would add" } else { "added" };
        write!(f, "{added} {name} to {file}: {scopes}; {validity}")?;
        match &self.token {
            // The last word, so that a script finds it.
            Some(token) => write!(
                f,
                "\nThe token is kept nowhere else. Give it to `cargo login`, or to a variable of CI:\n{token}"
            ),
            None => Ok(()),
        }
    }
}

/// The tokens of the file.
#[derive(Debug, Serialize)]
pub struct TokenList {
    file: String,
    tokens: Vec<ListedToken>,
}

/// A token of the file.
#[derive(Debug, Serialize)]
struct ListedToken {
    name: String,
    scopes: Vec<String>,
    expires: Option<Timestamp>,
    expired: bool,
    #[serde(skip)]
    validity: String,
}

/// Lists the tokens of the file, in its order.
///
/// # Errors
/// `config` if the file cannot be used.
pub fn ls(config: &ServeConfig, now: Timestamp) -> Result<TokenList> {
    let path = config.tokens_file();
    let text = text_of(&path)?;
    let mut tokens = Vec::new();
    for line in file::lines(&text) {
        let line = line.map_err(|error| error.on(path.display()))?;
        if let Some((_, holder)) = line.entry {
            tokens.push(ListedToken {
                scopes: holder.scopes.iter().map(Scope::to_string).collect(),
                expires: holder.expires,
                expired: holder.has_expired(now),
                validity: file::validity(holder.expires, now),
                name: holder.name.into(),
            });
        }
    }
    Ok(TokenList {
        file: path.display().to_string(),
        tokens,
    })
}

impl fmt::Display for TokenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let names = width(&mut self.tokens.iter().map(|token| token.name.chars().count()));
        let scopes: Vec<_> = self.tokens.iter().map(|it| it.scopes.join(", ")).collect();
        let wide = width(&mut scopes.iter().map(String::len));
        let lines = self.tokens.iter().zip(&scopes).map(|(token, scopes)| {
            let ListedToken { name, validity, .. } = token;
            format!("{name:names$}  {scopes:wide$}  {validity}")
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// Tokens that were revoked.
#[derive(Debug, Serialize)]
pub struct RevokedTokens {
    name: String,
    file: String,
    /// How many had this name: older files may have several.
    revoked: usize,
    dry_run: bool,
}

/// Takes the tokens with this name out of the file.
///
/// # Errors
/// `usage` where there is none; `config` if the file cannot be used.
pub fn revoke(config: &ServeConfig, name: &str, dry_run: bool) -> Result<RevokedTokens> {
    let path = config.tokens_file();
    let mut revoked = 0;
    let unknown = || {
        let message = format!("{} has no token named {name}", path.display());
        Error::new(Kind::Usage, message).advise("`crates-ferry token ls` lists the names.")
    };
    if text_of(&path)?.is_empty() {
        return Err(unknown());
    }
    change(&path, dry_run, |text| {
        let mut kept = String::with_capacity(text.len());
        for line in file::lines(text) {
            let line = line?;
            match line.entry {
                Some((_, holder)) if *holder.name == *name => revoked += 1,
                _ => kept.push_str(line.text),
            }
        }
        match revoked {
            0 => Err(unknown()),
            _ => Ok(kept),
        }
    })?;
    Ok(RevokedTokens {
        name: name.to_owned(),
        file: path.display().to_string(),
        revoked,
        dry_run,
    })
}

impl fmt::Display for RevokedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revoked = if self.dry_run {
            "would revoke"
        } else {
            "revoked"
        };
        let Self { name, file, .. } = self;
        match self.revoked {
            1 => write!(f, "{revoked} {name}, which was in {file}"),
            many => write!(
                f,
                "{revoked} {} named {name}, which were in {file}",
                counted(many, "token")
            ),
        }
    }
}

/// Returns the text of the file; of one that is not there, nothing.
fn text_of(path: &Path) -> Result<String> {
    match fs::exists(path) {
        Ok(false) => Ok(String::new()),
        _ => ServeConfig::read_file(path),
    }
}

/// Changes the file whole or not at all. Two who change it at the same time do so one after the other.
fn change(path: &Path, dry_run: bool, edit: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let edit = |text: &str| {
        edit(text).map_err(|error| match error.kind() {
            Kind::Config => error.on(path.display()),
            _ => error,
        })
    };
    if dry_run {
        return edit(&text_of(path)?).map(drop);
    }
    let unwritten = |error| {
        Error::new(Kind::Config, format!("cannot write {}", path.display()))
            .because(error)
            .advise("Run this as the user that runs the server, or set serve.auth or serve.data_dir to what this user may write.")
    };
    // What a link leads to is replaced, and not the link.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _locked = locked(&place).map_err(unwritten)?;
    let text = edit(&ServeConfig::read_file(&place)?)?;
    replace(&place, &text).map_err(unwritten)
}

/// Opens the file, which is made if there is none, with a lock against others who change it.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = owner_only::file(path)?;
        file.lock()?;
        // Whoever had the lock before has replaced the file.
        let is_same = |about: fs::Metadata, other: fs::Metadata| {
            (about.dev(), about.ino()) == (other.dev(), other.ino())
        };
        if is_same(file.metadata()?, fs::metadata(path)?) {
            return Ok(file);
        }
    }
}
