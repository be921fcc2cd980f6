//! What `check` asks of the server's part: the bucket of the store, the policy and its advisories, the repository of the private index, and the lifecycle rules that
//! could take what nothing can bring back. Nothing is changed.

use std::time::Duration;

use tokio::time::timeout;

use super::advisories;
use super::store::{Lifecycle, LifecycleRule, Store};
use crate::config::{ServeConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::git::branch_ref;
use crate::git::transport::{Remote, Service, UploadPack};
use crate::git::wire::Head;

/// The folder of the store that cannot be made again.
const STATE: &str = "state";
const RULES: &str = "Let the rule leave out what begins so, or use a bucket without rules that expire or archive objects: \
                     docs/server.md says what must stay.";

/// One thing that was probed.
#[derive(Debug)]
pub struct Probed {
    /// What, in a word or two.
    pub name: &'static str,
    /// What was found, or what is wrong.
    pub found: Result<Found>,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// All is as it should be.
    Right(String),
    /// It cannot be probed, for this reason.
    Unknown(String),
}

/// Probes what the configuration names.
pub async fn probe(mut config: ServeConfig) -> Vec<Probed> {
    config.take_own_private_index();
    let limit = config.network.timeout;
    let mut probed = Vec::new();
    store(&config, "store", &config.store(), STATE, &mut probed).await;
    policy(&config, &mut probed).await;
    let remote = match config.private_remote() {
        Ok(None) => return probed,
        Ok(Some(remote)) => remote,
        Err(error) => {
            probed.push(Probed {
                name: "private index",
                found: Err(error),
            });
            return probed;
        }
    };
    let private = config.private_store();
    let is_readable = index(&config, &remote, limit).await;
    let is_there = is_readable.is_ok();
    probed.push(Probed {
        name: "private index",
        found: is_readable,
    });
    let found = match is_there {
        true => push(&remote, limit).await,
        false => Ok(Found::Unknown(
            "the private index could not be read".to_owned(),
        )),
    };
    probed.push(Probed {
        name: "private push",
        found,
    });
    store(&config, "private files", &private, "", &mut probed).await;
    probed
}

/// Probes whom the policy reaches, and the repository of its advisories.
async fn policy(config: &ServeConfig, probed: &mut Vec<Probed>) {
    if let Some(reach) = super::policy::probe(config).transpose() {
        probed.push(Probed {
            name: "policy",
            found: reach.map(|said| Found::Right(said.to_owned())),
        });
    }
    if config.policy.advisories.is_some() {
        let found = advisories::probe(config).await;
        probed.push(Probed {
            name: "advisories",
            found: found.map(Found::Right),
        });
    }
}

/// Probes a bucket, and its rules for what is in this folder of it. A folder of the machine has neither.
async fn store(
    config: &ServeConfig,
    name: &'static str,
    url: &StoreUrl,
    folder: &str,
    probed: &mut Vec<Probed>,
) {
    let limit = config.network.timeout;
    let store = match Store::open(url, &config.secrets, &config.network) {
        Ok(Store::Folder(_)) => return,
        Ok(store) => store,
        Err(error) => {
            return probed.push(Probed {
                name,
                found: Err(error),
            });
        }
    };
    let found = in_time(limit, url, store.probe()).await;
    let is_usable = found.is_ok();
    probed.push(Probed {
        name,
        found: found.map(|()| Found::Right(format!("{url} can be used"))),
    });
    if is_usable {
        let found = in_time(limit, url, store.lifecycle(folder)).await;
        probed.push(Probed {
            name: "lifecycle",
            found: found.and_then(|found| rules(url, folder, found)),
        });
    }
}

/// Says what the rules of a bucket do to what is in a folder of it.
fn rules(url: &StoreUrl, folder: &str, found: Lifecycle) -> Result<Found> {
    let what = match folder {
        "" => url.to_string(),
        folder => format!("{url}/{folder}"),
    };
    match found {
        Lifecycle::Known(rules) => match rules.first() {
            None => Ok(Found::Right(format!(
                "no rule expires or archives what is below {what}"
            ))),
            Some(LifecycleRule {
                name,
                prefix,
                is_removing,
            }) => {
                let does = if *is_removing { "expires" } else { "archives" };
                let said = format!(
                    "the lifecycle rule `{name}` {does} objects whose names begin with `{prefix}`, also below {what}, which cannot be \
                     made again"
                );
                Err(Error::new(Kind::Config, said).advise(RULES))
            }
        },
        Lifecycle::Unknown(why) => Ok(Found::Unknown(format!(
            "{url} does not tell its lifecycle rules ({why}; s3:GetLifecycleConfiguration would allow it): see yourself that none \
             expires or archives what is below {what}"
        ))),
    }
}

/// Reads where the branch of the private index is.
async fn index(config: &ServeConfig, remote: &Remote, limit: Duration) -> Result<Found> {
    let named = config.private.branch.as_deref();
    let guess = named.unwrap_or("main");
    in_time(limit, remote, async {
        let (mut server, mut refs) = UploadPack::open_and_list(remote, &branch_ref(guess)).await?;
        let head = match (&refs.head, named) {
            (Head::Branch(head), None) => head.strip_prefix("refs/heads/").unwrap_or(guess),
            _ => guess,
        };
        let branch = head.to_owned();
        let reference = branch_ref(&branch);
        if branch != guess {
            refs = server.refs(&reference).await?;
        }
        let tip = refs.branches.get(&reference).map(|tip| tip.short());
        server.release().await.ok();
        Ok(Found::Right(match tip {
            Some(tip) => format!("{remote}: the tip of {branch} is {tip}"),
            None => format!("{remote} has no branch {branch} yet: the first publish makes it"),
        }))
    })
    .await
}

/// Opens a push session, pushes nothing, and closes it, as the probe of the mirror does.
async fn push(remote: &Remote, limit: Duration) -> Result<Found> {
    in_time(limit, remote, async {
        remote.open(Service::ReceivePack).await?.close().await;
        let said = "the private index accepts a push session; only a real push shows whether the branch is protected";
        Ok(Found::Right(said.to_owned()))
    })
    .await
}

/// Gives up after a while.
async fn in_time<T>(
    limit: Duration,
    place: &impl std::fmt::Display,
    probing: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, probing).await {
        Ok(probed) => probed,
        Err(_) => Err(Error::new(
            Kind::Network,
            format!("{place} did not respond in time"),
        )),
    }
}
