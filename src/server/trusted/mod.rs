//! Trusted publishing: a job of CI shows the OIDC token that its host gave it, and gets a token of 30 minutes for the crates that a
//! rule of `private.trusted` names. Nothing is stored at the host or by a person.
//!
//! What servers of one store must agree on is kept there, and nothing of it is ever changed:
//!
//! ```text
//! state/trusted/key                         signs the short-lived tokens; a secret
//! state/trusted/used/2026-12-01/0f3a…       a token of an issuer that was used, until it expires
//! state/trusted/revoked/2026-12-01/9c04…    a short-lived token that was revoked, until it expires
//! ```

mod claims;
mod issuers;
mod jwt;
mod short_lived;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::config::{ServeConfig, TrustedRule};
use crate::error::{Error, Kind, Result};
use crate::http::logged_failure::LoggedFailure;
use crate::http::scopes::Holder;
use crate::server::store::{Store, failure};
use issuers::Issuer;
use jwt::{Keys, Unverified};
use short_lived::{BEGINNING, Key, random};

/// Where all of it is in the store.
const KEY: &str = "state/trusted/key";
const USED: &str = "state/trusted/used";
const REVOKED: &str = "state/trusted/revoked";
/// The most bytes of such a file.
const SMALL: u64 = 1024;
/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long ago a short-lived token was seen that may still be valid.
const LIVE: SignedDuration = SignedDuration::from_mins(31);

/// What lets jobs of CI publish.
pub struct Trusted {
    /// What the configuration says now.
    current: ArcSwap<Current>,
    key: ArcSwapOption<Key>,
    /// The ids of short-lived tokens that were revoked, as far as this server knows, and until when that matters.
    revoked: Mutex<HashMap<Box<str>, Timestamp>>,
    /// When a short-lived token was seen last, in seconds since 1970.
    seen: AtomicI64,
    /// Wakes the task that reads what other servers have written, when there is a token that they may have revoked.
    pub is_live: Notify,
    failure: LoggedFailure,
}

/// The rules, and those who issue what they are about.
#[derive(Default)]
struct Current {
    rules: Vec<TrustedRule>,
    issuers: Vec<Arc<Issuer>>,
}

impl Current {
    /// Prepares what the rules need. An issuer that is known already keeps its keys, and the count of what it was asked.
    fn of(config: &ServeConfig, before: &Self) -> Result<Self> {
        let rules = config.private.trusted.clone();
        let mut urls: Vec<_> = rules.iter().map(|rule| rule.issuer.as_str()).collect();
        urls.sort_unstable();
        urls.dedup();
        let issuers = urls.into_iter().map(|url| {
            let known = before.issuers.iter().find(|issuer| issuer.is(url));
            known.map_or_else(
                || Issuer::new(config, url).map(Arc::new),
                |known| Ok(Arc::clone(known)),
            )
        });
        Ok(Self {
            issuers: issuers.collect::<Result<_>>()?,
            rules,
        })
    }
}

/// Why a job gets no token.
#[derive(Debug)]
pub enum Refused {
    /// Its token is not right, for this reason.
    Token(String),
    /// It is not known whether it is right.
    Unknown(Error),
}

impl Trusted {
    /// Prepares what the rules of the configuration need; nothing is asked yet.
    ///
    /// # Errors
    /// `config` if the certificates of the configuration cannot be used.
    pub fn open(config: &ServeConfig) -> Result<Self> {
        Ok(Self {
            current: ArcSwap::from_pointee(Current::of(config, &Current::default())?),
            key: ArcSwapOption::empty(),
            revoked: Mutex::default(),
            seen: AtomicI64::new(i64::MIN),
            is_live: Notify::new(),
            failure: LoggedFailure::default(),
        })
    }

    /// Says whether any job may publish.
    pub fn is_used(&self) -> bool {
        self.rules() > 0
    }

    /// Returns how many rules there are.
    pub fn rules(&self) -> usize {
        self.current.load().rules.len()
    }

    /// Takes the rules of another configuration; says whether they are others.
    ///
    /// # Errors
    /// As [`Trusted::open`]: the rules stay what they were.
    pub fn apply(&self, config: &ServeConfig) -> Result<bool> {
        let before = self.current.load_full();
        if before.rules == config.private.trusted {
            return Ok(false);
        }
        let after = Current::of(config, &before)?;
        self.current.store(Arc::new(after));
        // The key is read when there are rules.
        self.is_live.notify_one();
        Ok(true)
    }

    /// Says whether the key could be read by which short-lived tokens are known.
    pub fn has_key(&self) -> bool {
        self.key.load().is_some()
    }

    /// Exchanges the token of an issuer for a short-lived one.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn exchange(
        &self,
        store: &Store,
        token: &str,
        now: Timestamp,
    ) -> Result<String, Refused> {
        let unverified = Unverified::read(token).map_err(Refused::Token)?;
        let current = self.current.load_full();
        let mut issuers = current.issuers.iter();
        let issuer = issuers.find(|issuer| issuer.is(&unverified.issuer));
        let issuer = issuer.ok_or_else(|| {
            let url = claims::shown(&unverified.issuer);
            Refused::Token(format!(
                "no rule of private.trusted is for the issuer `{url}`"
            ))
        })?;
        let keys = issuer.keys_for(&unverified).await;
        let keys = keys.map_err(Refused::Unknown)?;
        let claims = unverified.verify(&keys).map_err(Refused::Token)?;
        let admitted = claims.admit(&current.rules, now).map_err(|why| {
            info!("trusted publishing: refused a job: {why}");
            Refused::Token(why)
        })?;
        let key = self
            .key
            .load_full()
            .ok_or_else(no_key)
            .map_err(Refused::Unknown)?;
        let used = [claims.issuer.as_str(), &admitted.id].join("\n");
        let used = hex::encode(digest(&SHA256, used.as_bytes()));
        let path = dated(USED, admitted.expires, &used);
        if !create(store, &path).await.map_err(Refused::Unknown)? {
            return Err(Refused::Token("the token has been used already".to_owned()));
        }
        let crates = &admitted.crates;
        let issued = key.issue(&admitted.project, crates, now);
        let (token, content) = issued.map_err(Refused::Unknown)?;
        self.mark_seen(now);
        let crates: Vec<_> = crates.iter().map(ToString::to_string).collect();
        info!(
            "trusted publishing: {} ({}) may publish {} until {:.0}",
            admitted.project,
            admitted.about,
            crates.join(", "),
            content.expires()
        );
        Ok(token)
    }

    /// Returns who holds a short-lived token, also one that has expired; `None` if it is none, was revoked, or nobody could know.
    pub fn holder(&self, token: &str, now: Timestamp) -> Option<Arc<Holder>> {
        let content = self.key.load().as_ref()?.open(token)?;
        self.mark_seen(now);
        match self.is_revoked(&content.id) {
            true => None,
            false => content.holder(),
        }
    }

    /// Says whether a text looks like a short-lived token.
    pub fn is_short_lived(token: &str) -> bool {
        token.starts_with(BEGINNING)
    }

    /// Says whether a short-lived token was revoked, also at another server a moment ago.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn is_revoked_anywhere(&self, store: &Store, holder: &Holder) -> Result<bool> {
        let (Some(id), Some(end)) = (&holder.job, holder.expires) else {
            return Ok(false);
        };
        if self.is_revoked(id) {
            return Ok(true);
        }
        let path = dated(REVOKED, end, id);
        in_time(store.has(&path)).await
    }

    /// Revokes a short-lived token, at all servers of the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn revoke(&self, store: &Store, holder: &Holder) -> Result<()> {
        let (Some(id), Some(end)) = (&holder.job, holder.expires) else {
            return Ok(());
        };
        // First here: what fails below must not leave it valid at this server.
        self.revoked().insert(id.clone(), end);
        let path = dated(REVOKED, end, id);
        in_time(store.create(&path, Bytes::new())).await
    }

    /// Reads what other servers have written, and returns how long to wait until it is done again.
    pub async fn refresh(&self, config: &ServeConfig, store: &Store, now: Timestamp) -> Duration {
        const RETRY: Duration = Duration::from_secs(5);
        let refreshed = in_time(self.read(store, now)).await;
        let is_fresh = refreshed.is_ok();
        match refreshed.map_err(|error| error.on(config.store())) {
            Ok(()) => self.failure.end(),
            Err(error) if self.failure.is_new(&error.chain()) => {
                warn!("trusted publishing: {}", error.chain());
            }
            Err(_) => {}
        }
        let since = now
            .as_second()
            .saturating_sub(self.seen.load(Ordering::Relaxed));
        match is_fresh && since > LIVE.as_secs() {
            true => Duration::from_secs(60),
            false => RETRY,
        }
    }

    /// Removes what nobody needs any more, as it has expired.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn sweep(&self, store: &Store, now: Timestamp) -> io::Result<()> {
        // A day more than clocks of servers differ by.
        let last = day(now
            .checked_sub(SignedDuration::from_hours(48))
            .unwrap_or(now));
        for folder in [USED, REVOKED] {
            for name in store.names_from(folder, "0").await? {
                if name.as_str() < last.as_str() {
                    store.remove(&format!("{folder}/{name}")).await?;
                }
            }
        }
        Ok(())
    }

    async fn read(&self, store: &Store, now: Timestamp) -> io::Result<()> {
        let key = match store.read(KEY, SMALL).await? {
            Some(text) => text,
            None => {
                let new = Key::make().map_err(io::Error::other)?;
                // Another server may have been first, and then its key counts.
                store.create_secret(KEY, new.into()).await?;
                store.read(KEY, SMALL).await?.unwrap_or_default()
            }
        };
        let damaged = || {
            let said = format!("{KEY} holds no key: remove it, and a new one is made");
            io::Error::new(io::ErrorKind::InvalidData, said)
        };
        let key = Key::read(&key);
        let is_damaged = key.is_none();
        self.key.store(key.map(Arc::new));
        if is_damaged {
            return Err(damaged());
        }
        let first = day(now.checked_sub(LIVE).unwrap_or(now));
        let names = store.names_from(REVOKED, &first).await?;
        let ids = names.iter().filter_map(|name| name.split_once('/'));
        // No token that is valid now is so for longer.
        let end = now.checked_add(LIVE).unwrap_or(now);
        let mut revoked = self.revoked();
        // One that could not be written down stays revoked here.
        revoked.retain(|_, end| *end > now);
        revoked.extend(ids.map(|(_, id)| (id.into(), end)));
        Ok(())
    }

    fn is_revoked(&self, id: &str) -> bool {
        self.revoked().contains_key(id)
    }

    fn revoked(&self) -> MutexGuard<'_, HashMap<Box<str>, Timestamp>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_seen(&self, now: Timestamp) {
        let now = now.as_second();
        let before = self.seen.swap(now, Ordering::Relaxed);
        if now.saturating_sub(before) > LIVE.as_secs() {
            self.is_live.notify_one();
        }
    }
}

/// Says whether a token is signed by a key of a set, as an exchange does: for whoever looks for bytes that do harm.
pub fn is_signed(token: &str, keys: &[u8]) -> bool {
    let token = Unverified::read(token).ok();
    let keys = Keys::read(keys).ok();
    let verified = token.zip(keys).map(|(token, keys)| token.verify(&keys));
    verified.is_some_and(|claims| claims.is_ok())
}

fn no_key() -> Error {
    Error::new(
        Kind::Server,
        "the key of this server's short-lived tokens could not be read from the store yet; the log says why",
    )
}

/// Creates a file, and says whether nobody had before.
async fn create(store: &Store, path: &str) -> Result<bool> {
    let mark = Bytes::from(random::<16>()?);
    if in_time(store.create_new(path, mark.clone())).await? {
        return Ok(true);
    }
    // It may be ours: a client of a bucket repeats a request whose answer was lost.
    let there = in_time(store.read(path, SMALL)).await?;
    Ok(there.is_some_and(|there| there == mark))
}

/// Waits for the store, but not for good: a job waits, too.
async fn in_time<T>(asking: impl Future<Output = io::Result<T>>) -> Result<T> {
    let said = "the store cannot be used for what servers must agree on";
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => {
            answer.map_err(|error| Error::new(Kind::Server, said).because(failure(error).chain()))
        }
        Err(_) => Err(Error::new(Kind::Server, said).because("it did not respond in time")),
    }
}

/// Returns the path of something that counts until this time.
fn dated(folder: &str, until: Timestamp, name: &str) -> String {
    format!("{folder}/{}/{name}", day(until))
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
