//! Remembers the pushes of one command whose fate is unknown, and finds the one that reached the mirror.
//!
//! A proxy before the mirror may give up (504) while the server behind it still processes the push, and the push may then be
//! done at any later time. So all of them are remembered, not only the last one.

use tracing::info;

use super::draft::Draft;
use crate::error::{Error, Kind};
use crate::git::ObjectId;
use crate::git::transport::{Remote, UploadPack};
use crate::mirror::report::Report;

/// The pushes that failed, or whose report was lost.
#[derive(Debug, Default)]
pub struct UnconfirmedPushes(Vec<UnconfirmedPush>);

/// A push that was done if `reference` of the mirror turns out to be at `tip`.
#[derive(Debug)]
struct UnconfirmedPush {
    reference: String,
    tip: ObjectId,
    report: Report,
    failure: Kind,
}

impl UnconfirmedPushes {
    /// Remembers the push of a draft that ended in `error`, with the report of what it does.
    pub fn remember(&mut self, draft: &Draft, report: Report, error: &Error) {
        self.0.push(UnconfirmedPush {
            reference: draft.update.reference.clone(),
            tip: draft.update.new,
            report,
            failure: error.kind(),
        });
    }

    /// Returns the report of the push that was done, if the mirror's tip shows one.
    pub fn arrived(&self, tip: Option<ObjectId>) -> Option<Report> {
        // The first of those that pushed the same commit: how the later ones ended follows from it.
        let push = self.0.iter().find(|push| Some(push.tip) == tip)?;
        info!("{}", push.how());
        Some(push.report.clone())
    }

    /// Looks at the mirror's branch once more, before a command fails; `None` too where that cannot be done.
    pub(super) async fn look(&self, mirror: &Remote) -> Option<Report> {
        // All pushes of a command are to one branch.
        let reference = &self.0.first()?.reference;
        let (_, refs) = UploadPack::open_and_list(mirror, reference).await.ok()?;
        self.arrived(refs.branches.get(reference).copied())
    }
}

impl UnconfirmedPush {
    /// Says how the mirror came to be at the commit of this push.
    fn how(&self) -> &'static str {
        match self.failure {
            // Two syncs of the same second make the same commit.
            Kind::Race => "another push moved the mirror to the same commit; this push was refused",
            Kind::Network => "the push whose report was lost has reached the mirror",
            _ => "the mirror is at the commit of the push that was reported as failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_was_refused_is_not_said_to_have_arrived() {
        let how = |failure| {
            let push = UnconfirmedPush {
                reference: String::new(),
                tip: ObjectId::ZERO,
                report: Report::about(ObjectId::ZERO),
                failure,
            };
            push.how()
        };
        assert!(how(Kind::Network).contains("report was lost"));
        assert!(how(Kind::Race).starts_with("another push"));
        assert!(!how(Kind::Server).contains("lost"));
    }
}
