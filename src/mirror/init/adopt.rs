//! What `init` does where the mirror's branch exists: refuses it or, with `--adopt`, starts on top of what is there.

use super::Init;
use super::first_tree::{Tip, fetch_tip};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::UploadPack;
use crate::git::transport::by_id::fetch_objects;
use crate::git::tree::TreeEntry;
use crate::index::config_json::{CONFIG_JSON, points_to};
use crate::mirror::plan::three_way::Conflict;
use crate::mirror::relay::draft::listed;
use crate::mirror::relay::{Purpose, Session, SyncState, compare_tips, observe};

impl Init<'_> {
    /// Reads what is in the mirror, to start on top of it.
    ///
    /// # Errors
    /// `mirror_exists` for a mirror of upstream, and without `--adopt` for any; as a sync's for one that a sync refuses.
    pub(super) async fn adopted(&self, session: &mut Session<'_>, tip: ObjectId) -> Result<Tip> {
        let is_mirror = match compare_tips(session, tip).await {
            Ok(SyncState::UpToDate(_)) => true,
            // It goes on to say what a sync would: advice that leads to another error is none.
            Ok(SyncState::Behind(behind)) => observe(session, *behind, Purpose::Report)
                .await
                .map(|_| true)?,
            Err(error) if error.kind() == Kind::Unrelated => false,
            Err(error) => return Err(error),
        };
        if is_mirror || !self.options.adopt {
            return Err(self.mirror_exists(tip, is_mirror));
        }
        fetch_tip(&mut session.mirror, tip).await
    }

    fn mirror_exists(&self, tip: ObjectId, is_mirror: bool) -> Error {
        let reference = branch_ref(&self.config.mirror.branch);
        let message = format!(
            "{}: {reference} exists already, at {}",
            self.mirror,
            tip.short()
        );
        Error::new(Kind::MirrorExists, message).advise(match is_mirror {
            true => "Run `crates-ferry sync` to bring this mirror up to date, or `init` on an empty repository.",
            false => {
                "Run `crates-ferry init --adopt` to start on top of what is there, such as a README, and to keep it. Or run \
                 `init` on an empty repository."
            }
        })
    }

    /// Returns the `config.json` that the adopted files have, if it is not upstream's: it stays, as in a sync.
    ///
    /// # Errors
    /// `conflict` for a file that is not the `config.json` of an index.
    pub(super) async fn adopted_config(
        &self,
        mirror: &mut UploadPack<'_>,
        found: &Tip,
        upstream: &Tip,
    ) -> Result<Option<TreeEntry>> {
        let entry = |tip: &Tip| tip.root.get(CONFIG_JSON.as_bytes()).copied();
        let Some(own) = entry(found).filter(|own| Some(*own) != entry(upstream)) else {
            return Ok(None);
        };
        let refused = || {
            let message = format!("{}: its config.json is not one of an index", self.mirror);
            Error::new(Kind::Conflict, message).advise(
                "Nothing was pushed. Remove or rename the file in the mirror: an index has its own config.json at its root.",
            )
        };
        if own.mode.is_tree() {
            return Err(refused());
        }
        // A server that serves no single file may do so unread: whoever adopts the mirror knows it.
        if mirror.can_want_any() {
            let objects = fetch_objects(mirror, &[own.id], &[]).await?;
            let content = objects.get(&own.id).map(|object| &object.content[..]);
            points_to(content.unwrap_or_default()).map_err(|error| refused().because(error))?;
        }
        Ok(Some(own))
    }

    /// Refuses to adopt files where upstream has others.
    pub(super) fn refuse_conflicts(&self, conflicts: &[Conflict]) -> Result<()> {
        if conflicts.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{}: it has paths that upstream has, too: {}",
            self.mirror,
            listed(conflicts)
        );
        Err(Error::new(Kind::Conflict, message).advise(
            "Nothing was pushed. To take upstream's, remove the path in the mirror. To keep the mirror's, add the path to \
             `mirror.keep`. Then run it again.",
        ))
    }
}
