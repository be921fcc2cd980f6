//! The index of the private crates: the git repository that is the truth, and the server's copy of it.
//!
//! A push moves the branch from the tip that the copy is at, or not at all. So any number of servers may push.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::{Connection, Remote, Service, UploadPack};
use crate::git::wire::Head;
use crate::git::wire::receive_pack::{ReportStatus, Update};
use crate::mirror::relay::report_error;
use crate::server::index_copy::{Content, IndexCopy, Snapshot};
use crate::server::shortage::is_shortage;

/// The branch where neither the configuration nor the repository names one.
const BRANCH: &str = "main";
/// Asks GitLab not to start a pipeline for the push; other hosts ignore it.
const PUSH_OPTIONS: [&str; 1] = ["ci.skip"];

/// The index of the private crates.
pub struct PrivateIndex {
    remote: Remote,
    /// The branch that the configuration names.
    named: Option<String>,
    copy: IndexCopy,
    limit: Duration,
    found: Mutex<Found>,
    /// A connection for the next push, opened ahead.
    ahead: Mutex<Option<Ahead>>,
}

/// A connection that was opened before there was anything to push: a host takes longer to open one than to take a push.
struct Ahead {
    since: Instant,
    opening: JoinHandle<Result<Connection>>,
}

/// How long such a connection is kept: a host may close one that says nothing.
const AHEAD: Duration = Duration::from_secs(5);
/// How long a push may take: those that wait behind it are told before cargo gives up, after 30 seconds.
const LONGEST_PUSH: Duration = Duration::from_secs(20);
/// How soon after a push another one comes, where one follows the other.
const BUSY: Duration = Duration::from_secs(1);

/// What is known of the repository.
#[derive(Debug, Clone, Default)]
struct Found {
    branch: Option<String>,
    /// The branch is not there yet.
    is_unborn: bool,
    /// When the last look began that showed where the branch is.
    seen: Option<Instant>,
    /// When the last push began.
    pushed: Option<Instant>,
    /// When the last push of our own ended that moved the branch.
    moved: Option<Instant>,
}

/// How a push ended.
#[derive(Debug)]
pub enum Pushed {
    /// The branch has moved.
    Done,
    /// Another push moved the branch before.
    Lost,
    /// The branch was not moved.
    Refused(Error),
    /// Whether the branch has moved is not known: the connection was cut before the report.
    Unknown(Error),
}

impl PrivateIndex {
    /// Opens the copy below `serve.data_dir`; the repository is not asked yet. `None` where no private index is configured.
    ///
    /// # Errors
    /// `config` if the folder cannot be used, or another process uses it, or a key or certificate cannot be used.
    pub async fn open(config: &ServeConfig) -> Result<Option<Self>> {
        let (Some(remote), Some(url)) = (config.private_remote()?, &config.private.index) else {
            return Ok(None);
        };
        let named = config.private.branch.clone();
        let (data_dir, origin) = (&config.serve.data_dir, url.to_string());
        let copy = IndexCopy::open_beside(data_dir, Content::Private, &origin).await?;
        Ok(Some(Self {
            remote,
            named,
            copy,
            limit: config.network.timeout,
            found: Mutex::default(),
            ahead: Mutex::default(),
        }))
    }

    /// Opens the index for a command, with a copy of its own in a temporary folder, which goes with what is returned: a server may be
    /// using that in `serve.data_dir`.
    ///
    /// # Errors
    /// `config` where there is no private index, or a key or certificate cannot be used.
    pub async fn open_beside(config: &ServeConfig) -> Result<(Self, TempDir)> {
        let mut config = config.clone();
        config.take_own_private_index();
        let folder = tempfile::tempdir().map_err(|error| {
            Error::new(Kind::Config, "cannot make a temporary folder")
                .because(error)
                .advise("Set TMPDIR to a folder that can be written.")
        })?;
        config.serve.data_dir = folder.path().to_owned();
        let index = Self::open(&config).await?;
        let index = index.ok_or_else(|| {
            Error::new(Kind::Config, "private.index is not set")
                .advise("Set private.index to the repository of the private crates' index.")
        })?;
        Ok((index, folder))
    }

    /// Returns the index as it was last seen; `None` if it has no commit yet.
    ///
    /// # Errors
    /// `network` if the repository was not reached yet.
    pub fn snapshot(&self) -> Result<Option<Arc<Snapshot>>> {
        let snapshot = self.copy.snapshot();
        if snapshot.is_none() && !self.found().is_unborn {
            let text = format!("{}: it was not reached yet; the log says why", self.remote);
            return Err(Error::new(Kind::Network, text));
        }
        Ok(snapshot)
    }

    /// Returns when the last look began that showed where the branch is.
    pub fn seen(&self) -> Option<Instant> {
        self.found().seen
    }

    /// Returns the repository, as messages name it.
    pub fn place(&self) -> String {
        self.remote.to_string()
    }

    /// Brings the copy up to date.
    ///
    /// # Errors
    /// As [`IndexCopy::refresh`].
    pub async fn refresh(&self) -> Result<()> {
        let began = Instant::now();
        let branch = match self.found() {
            Found {
                branch: Some(branch),
                is_unborn: false,
                ..
            } => branch,
            _ => match self.find_branch(began).await? {
                Some(branch) => branch,
                None => {
                    self.check_not_lost()?;
                    self.change(|found| found.seen = Some(began));
                    return Ok(());
                }
            },
        };
        self.copy
            .refresh(&self.remote, Some(&branch), self.limit)
            .await?;
        self.change(|found| found.seen = Some(began));
        Ok(())
    }

    /// Looks for pushes of others, over the connection of the last look where there is one; may miss some then.
    ///
    /// # Errors
    /// As [`IndexCopy::refresh`].
    pub async fn peek(&self) -> Result<()> {
        if let Some(branch) = self.found().branch
            && let Ok(true) = self.copy.peek(&self.remote, &branch, self.limit).await
        {
            return Ok(());
        }
        self.refresh().await
    }

    /// Has the copy fetched anew, after an object could not be read; not for want of files or memory.
    pub fn report_damage(&self, error: &Error) {
        if !is_shortage(error) && self.copy.report_damage() {
            warn!(
                "the copy of the private index is damaged; fetching another: {}",
                error.chain()
            );
        }
    }

    /// Compacts the copy, if that is due.
    pub async fn tidy(&self) {
        if let Err(error) = self.copy.tidy().await {
            warn!(
                "cannot repack the copy of the private index: {}",
                error.chain()
            );
        }
    }

    /// Asks for the branch; `None` if it is not there yet.
    async fn find_branch(&self, began: Instant) -> Result<Option<String>> {
        let guess = self.named.as_deref().unwrap_or(BRANCH);
        let (mut server, refs) =
            UploadPack::open_and_list(&self.remote, &branch_ref(guess)).await?;
        let branch = match (&self.named, &refs.head) {
            (None, Head::Branch(head)) => head.strip_prefix("refs/heads/").unwrap_or(guess),
            _ => guess,
        };
        let reference = branch_ref(branch);
        let is_there = match branch == guess {
            true => refs.branches.contains_key(&reference),
            false => server
                .refs(&reference)
                .await?
                .branches
                .contains_key(&reference),
        };
        debug!("{}: branch {branch}, there: {is_there}", self.remote);
        self.change(|found| {
            found.branch = Some(branch.to_owned());
            // A push may have made it meanwhile.
            found.is_unborn = !is_there && found.moved.is_none_or(|moved| moved < began);
        });
        Ok((!self.found().is_unborn).then(|| branch.to_owned()))
    }

    /// Refuses to take a repository without the branch for a new one, where the copy has seen commits of it.
    fn check_not_lost(&self) -> Result<()> {
        let (found, tip) = (self.found(), self.tip());
        match (found.is_unborn, tip) {
            (true, Some(tip)) => {
                let branch = found.branch.as_deref().unwrap_or(BRANCH);
                let text = format!(
                    "{} has no branch {branch} any more, which was at {tip}",
                    self.remote
                );
                Err(Error::new(Kind::Guard, text).advise(
                    "Restore the repository from a backup. To begin anew, stop the server and remove private-index.git in serve.data_dir.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Pushes the pack of commits that lead from the copy's tip to this one.
    pub async fn push(
        self: &Arc<Self>,
        on: Option<ObjectId>,
        new: ObjectId,
        pack: Bytes,
    ) -> Pushed {
        let Some(branch) = self.found().branch else {
            let text = format!("{}: it was not reached yet", self.remote);
            return Pushed::Refused(Error::new(Kind::Network, text));
        };
        // It may have been restored meanwhile.
        if self.check_not_lost().is_err()
            && let Err(error) = self.refresh().await
        {
            return Pushed::Refused(error);
        }
        let update = Update {
            reference: branch_ref(&branch),
            old: on.unwrap_or(ObjectId::ZERO),
            new,
        };
        let limit = self.limit.min(LONGEST_PUSH);
        let sending = timeout(limit, self.send(&update, pack.clone()));
        let pushed = sending.await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let text = format!("{} did not answer a push within {limit}", self.remote);
            let advice = "A hook of the repository may hang.";
            Pushed::Unknown(Error::new(Kind::Network, text).advise(advice))
        });
        if matches!(pushed, Pushed::Done) {
            // The server compared the tip when it moved the branch.
            self.change(|found| {
                found.is_unborn = false;
                found.moved = Some(Instant::now());
                found.seen = found.moved;
            });
            match self.copy.take(pack, on, new).await {
                Ok(true) => {}
                // A look of that moment has fetched it already.
                Ok(false) if self.tip() == Some(new) => {}
                Ok(false) => self.refresh_after(new).await,
                Err(error) => {
                    warn!(
                        "the copy of the private index did not take a push in: {}",
                        error.chain()
                    );
                    self.refresh_after(new).await;
                }
            }
        }
        pushed
    }

    /// Returns where the branch was when it was last seen.
    pub fn tip(&self) -> Option<ObjectId> {
        self.copy.snapshot().map(|snapshot| snapshot.commit())
    }

    /// Opens a connection for a push that is about to come, unless there is one.
    pub fn open_ahead(self: &Arc<Self>) {
        if self.ahead().is_some() {
            return;
        }
        let index = Arc::clone(self);
        let opening = async move { index.remote.open(Service::ReceivePack).await };
        self.keep_ahead(tokio::spawn(opening));
    }

    /// Waits until a push can be sent, as far as that can be opened at all.
    pub async fn until_open(self: &Arc<Self>) {
        self.open_ahead();
        if let Some(receiver) = self.take_ahead().await {
            self.keep_ahead(tokio::spawn(async { Ok(receiver) }));
        }
    }

    /// Keeps a connection for some seconds: then the host is told that nothing comes.
    fn keep_ahead(self: &Arc<Self>, opening: JoinHandle<Result<Connection>>) {
        let since = Instant::now();
        *self.ahead() = Some(Ahead { since, opening });
        let index = Arc::clone(self);
        tokio::spawn(async move {
            sleep(AHEAD).await;
            let unused = index.ahead().take_if(|ahead| ahead.since == since);
            if let Some(unused) = unused
                && let Ok(Ok(connection)) = unused.opening.await
            {
                connection.close().await;
            }
        });
    }

    /// Takes the connection that was opened ahead, if there is one that can be used.
    async fn take_ahead(&self) -> Option<Connection> {
        let ahead = self.ahead().take()?;
        ahead.opening.await.ok()?.ok()
    }

    fn ahead(&self) -> MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches what was just pushed: it is there, whatever becomes of the copy.
    async fn refresh_after(&self, tip: ObjectId) {
        if let Err(error) = self.refresh().await {
            warn!(
                "the private index is at {}, and cannot be fetched: {}",
                tip.short(),
                error.chain()
            );
        }
    }

    async fn send(self: &Arc<Self>, update: &Update, pack: Bytes) -> Pushed {
        // What it advertises may be old by now: the server compares the tip when it moves the branch.
        let mut receiver = match self.take_ahead().await {
            Some(receiver) => receiver,
            None => match self.remote.open(Service::ReceivePack).await {
                Ok(receiver) if !is_at(&receiver, update) => {
                    receiver.close().await;
                    return Pushed::Lost;
                }
                Ok(receiver) => receiver,
                Err(error) => return Pushed::Refused(error),
            },
        };
        // While this one is taken: to open the next one takes longer than that.
        let before = self.found().pushed;
        self.change(|found| found.pushed = Some(Instant::now()));
        if before.is_some_and(|before| before.elapsed() < BUSY) {
            self.open_ahead();
        }
        let capabilities = receiver.advertisement.capabilities.clone();
        if !capabilities.has("report-status") {
            let text = format!(
                "{}: the server does not report the result of pushes",
                self.remote
            );
            return Pushed::Refused(Error::new(Kind::Config, text));
        }
        let head = update.request(&capabilities, &PUSH_OPTIONS);
        let (pieces, received) = mpsc::channel(1);
        let sending = async move {
            // A server that stops reading says why in its report.
            let _ = pieces.send(Ok(pack)).await;
        };
        let (_, pushed) = tokio::join!(sending, receiver.push(head, received));
        if let Err(error) = pushed {
            return match error.kind() {
                Kind::Network | Kind::Server => Pushed::Unknown(error),
                _ => Pushed::Refused(error),
            };
        }
        let report = ReportStatus::read(receiver.packets(), &capabilities, &update.reference).await;
        match report {
            Err(error) => Pushed::Unknown(self.remote.error(
                "pushing to it",
                error,
                &receiver.stderr(),
            )),
            Ok(report) => match report_error(&self.remote, &report) {
                None => Pushed::Done,
                Some(error) if error.kind() == Kind::Race => Pushed::Lost,
                Some(error) => Pushed::Refused(error),
            },
        }
    }

    fn found(&self) -> Found {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Found)) {
        change(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says whether the branch is where a push moves it from, by what the server advertises.
fn is_at(receiver: &Connection, update: &Update) -> bool {
    let refs = receiver.advertisement.refs.as_ref();
    let advertised = refs.and_then(|refs| refs.branches.get(&update.reference).copied());
    advertised.unwrap_or(ObjectId::ZERO) == update.old
}
