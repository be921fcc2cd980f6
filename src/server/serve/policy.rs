//! The policy: brings what requests see up to date as time passes, refuses what is denied, and `/api/v1/policy`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;
use tracing::{info, warn};

use super::deciding;
use super::state::State;
use crate::config::{self, Rule};
use crate::count::counted;
use crate::git::RemoteUrl;
use crate::http::error_response::{ErrorResponse, Note};
use crate::http::routes::{Authorized, Reply};
use crate::policy::{Class, Decided, Decision, Policy, Verb, days};
use crate::server::decisions::DecidedFile;
use crate::shown::one_line;

/// How often the clock is looked at: the machine's may be set, and holds end on time.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait after index or store could not be read.
const RETRY: Duration = Duration::from_secs(5);

/// Shows what the policy decides, when that changes as time passes.
pub(super) async fn forever(state: &'static State) {
    warn_of_ended(state);
    loop {
        let could = !state.is_decided_anew() || state.update_view().await;
        let pause = if could { POLL } else { RETRY };
        tokio::select! {
            () = sleep(pause), if state.has_policy() || !could => {}
            () = state.has_new_policy.notified() => warn_of_ended(state),
        }
    }
}

/// Says in the log what a policy does.
pub(super) fn describe(policy: &config::Policy) {
    if Policy::of(policy).is_none() {
        return;
    }
    if let Some(age) = policy.min_age {
        info!("policy: versions younger than {} are on hold", days(age));
    }
    for (key, number) in [
        ("policy.deny", policy.deny.len()),
        ("policy.allow", policy.allow.len()),
    ] {
        if number > 0 {
            info!("policy: {} of {key}", counted(number, "rule"));
        }
    }
    if let Some(advisories) = &policy.advisories {
        info!("policy: advisories of {advisories}");
    }
    if !policy.reserved.is_empty() {
        let names: Vec<_> = policy.reserved.iter().map(ToString::to_string).collect();
        info!("policy: never taken from upstream: {}", names.join(", "));
    }
    match policy.withdrawn {
        Some(config::Withdrawn::Serve) => info!("policy: what upstream takes back is served"),
        _ => info!("policy: what upstream takes back is refused"),
    }
}

/// Applies a section `policy` that was read again.
pub(super) async fn apply(state: &'static State, section: config::Policy) {
    // The globs were read when the server started.
    let policy = Policy::of_mirror(&section, &state.config.keep);
    let policy = policy.ok().flatten().map(Arc::new);
    let address = |url: Option<&RemoteUrl>| url.map(ToString::to_string);
    let before = state
        .advisories_url
        .swap(section.advisories.clone().map(Arc::new));
    let is_elsewhere = address(before.as_deref()) != address(section.advisories.as_ref());
    if is_elsewhere {
        // The task that fetches them opens another copy; those of the last time count until it has them.
        state.handle.refresh_advisories.notify_one();
    }
    if policy == state.policy.load_full() {
        match is_elsewhere {
            true => describe(&section),
            false => info!("the section policy has not changed"),
        }
        // Commands on other machines may have made rules.
        deciding::look_again(state);
        return state.has_new_policy.notify_one();
    }
    state
        .handle
        .set_reserved(state.config.reserved_by(&section));
    state.copy.hide(state.config.hidden_by(&section)).await;
    let text = match &policy {
        Some(_) => "the policy has changed",
        None => "there is no policy any more",
    };
    state.policy.store(policy);
    info!("{text}");
    state.handle.note("policy", false, text);
    describe(&section);
    state.has_new_policy.notify_one();
}

/// Warns of the rules of the configuration that have ended.
fn warn_of_ended(state: &State) {
    let policy = state.policy.load();
    for (key, rule) in policy
        .iter()
        .flat_map(|policy| policy.ended(state.handle.timestamp()))
    {
        warn!(
            "{key}: the rule `{}` has ended: it has no effect any more",
            rule.crates
        );
    }
}

/// Returns what the access log says of a decision; `None` if the version is served as it is.
pub(super) fn note(decision: Decision) -> Option<Note> {
    match decision {
        Decision::Serve => None,
        Decision::Hold { .. } | Decision::HoldYank { .. } => Some(Note::Held),
        Decision::Deny => Some(Note::Denied),
    }
}

/// Refuses a crate file, in one line that cargo shows: why, and whom to ask.
pub(super) fn refusal(state: &State, file: impl Display, denied: &Decided) -> ErrorResponse {
    let whom = match &state.config.serve.contact {
        Some(contact) => format!("ask {contact}"),
        None => "ask whoever runs this mirror".to_owned(),
    };
    let text = format!("{file} is {denied}; {whom}");
    let text = state.mask.apply(&one_line(&text)).into_owned();
    let refusal = ErrorResponse::in_a_line(StatusCode::FORBIDDEN, text);
    match note(denied.decision) {
        Some(note) => refusal.noted(note),
        None => refusal,
    }
}

/// `/api/v1/policy`: that there is one, and what it is. Who made a rule, and why, is not told.
#[derive(Serialize)]
struct PolicyJson {
    /// In seconds, as the next.
    min_age: Option<u64>,
    yank_hold: Option<u64>,
    allow: Vec<RuleJson>,
    deny: Vec<RuleJson>,
    reserved: Vec<String>,
    /// `refuse` or `serve`.
    withdrawn: &'static str,
    /// How many versions are; `null` until it is known, as the next two.
    on_hold: Option<usize>,
    denied: Option<usize>,
    yanks_on_hold: Option<usize>,
    /// What becomes of the versions that advisories are about, by their class; not there where no advisories are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_advisories: Option<BTreeMap<&'static str, &'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advised: Option<usize>,
}

#[derive(Serialize)]
struct RuleJson {
    #[serde(rename = "crate")]
    crates: String,
    until: Option<Timestamp>,
}

impl RuleJson {
    /// Makes all of those that have not ended.
    fn all(rules: &[Rule], by_command: &[Rule], now: Timestamp) -> Vec<Self> {
        let rules = rules
            .iter()
            .chain(by_command)
            .filter(|rule| rule.stands_at(now));
        let rules = rules.map(|rule| Self {
            crates: rule.crates.to_string(),
            until: rule.until,
        });
        rules.collect()
    }
}

/// How many versions a policy holds and denies now.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Numbers {
    pub(super) on_hold: usize,
    pub(super) denied: usize,
    /// Yanked versions that are still shown as not yanked.
    pub(super) yanks_on_hold: usize,
    /// Versions that an advisory is about which counts; `None` where no advisories are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advised: Option<usize>,
}

impl Numbers {
    /// Counts what requests see; `None` without a policy, and before it was applied.
    pub(super) fn of(state: &State) -> Option<Self> {
        let view = state.view().ok()?;
        let decisions = view.as_ref()?.decisions.as_ref()?;
        let advised = |file: &DecidedFile| file.outcome.all_advised().count();
        let all = || decisions.crates().map(|(_, file)| advised(file)).sum();
        let mut numbers = Self {
            advised: state.advisories.load().as_ref().map(|_| all()),
            denied: decisions.gone(),
            ..Self::default()
        };
        for (_, decided) in decisions
            .crates()
            .flat_map(|(_, file)| file.outcome.changed())
        {
            match decided.decision {
                Decision::Hold { .. } => numbers.on_hold += 1,
                Decision::HoldYank { .. } => numbers.yanks_on_hold += 1,
                Decision::Deny => numbers.denied += 1,
                Decision::Serve => {}
            }
        }
        Some(numbers)
    }
}

/// `GET /api/v1/policy`; 404 without one.
pub(super) fn show(state: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    // `probe` takes any success for a policy.
    let Some(policy) = state.policy.load_full() else {
        let detail = "this server has no policy";
        return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail));
    };
    let (numbers, now) = (Numbers::of(state), state.handle.timestamp());
    let view = state.view().ok();
    let decisions = view
        .as_ref()
        .and_then(|view| view.as_ref()?.decisions.clone());
    let by_command = |verb| -> Vec<_> {
        let policy = decisions.as_ref().map(|decisions| decisions.policy());
        let said = policy
            .iter()
            .flat_map(|policy| policy.by_command().with(verb));
        said.map(|said| said.rule.clone()).collect()
    };
    Ok(Reply::now(Json(PolicyJson {
        min_age: policy.min_age().map(|age| age.as_secs()),
        yank_hold: policy.yank_hold().map(|hold| hold.as_secs()),
        allow: RuleJson::all(policy.allowed(), &by_command(Verb::Allow), now),
        deny: RuleJson::all(policy.denied(), &by_command(Verb::Deny), now),
        reserved: policy
            .reserved()
            .patterns()
            .iter()
            .map(ToString::to_string)
            .collect(),
        withdrawn: match policy.refuses_withdrawn() {
            true => "refuse",
            false => "serve",
        },
        on_hold: numbers.map(|numbers| numbers.on_hold),
        denied: numbers.map(|numbers| numbers.denied),
        yanks_on_hold: numbers.map(|numbers| numbers.yanks_on_hold),
        on_advisories: policy.has_advisories().then(|| {
            let classes = [Class::Malicious, Class::Vulnerable, Class::Informational];
            let classes = classes.into_iter();
            classes
                .map(|class| (class.word(), policy.on(class).word()))
                .collect()
        }),
        advised: numbers.and_then(|numbers| numbers.advised),
    })))
}
