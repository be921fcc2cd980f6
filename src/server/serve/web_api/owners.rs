//! Who owns a crate: the users and teams that the registry's dump lists. `cargo owner --list` asks it.

use axum::http::{Response, StatusCode};
use serde_json::{Value, json as object};

use super::read::json;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::catalog::crates::{Owner, OwnerKind};
use crate::server::serve::crate_reader::{OneCrate, ask};
use crate::shown::one_line;

impl OneCrate {
    /// `GET /api/v1/crates/NAME/owners`, or `owner_user` and `owner_team`, which list those of one kind.
    pub(super) async fn owners(
        self,
        kind: Option<OwnerKind>,
    ) -> Result<Response<Body>, ErrorResponse> {
        let (row, _) = self.read().await?;
        let (state, catalog) = (self.state, self.catalog);
        let known = ask(state, move || {
            Ok((catalog.last_import()?, catalog.owners(row.id)?))
        });
        let (import, owners) = known.await?;
        if import.is_none() {
            let detail = "this server knows no owners before a dump of the registry is imported (catalog.import): ask the registry \
                 itself, which is crates.io with `cargo owner --registry crates-io`";
            return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail));
        }
        let wanted = owners.iter();
        let wanted = wanted.filter(|owner| kind.is_none_or(|kind| owner.kind == kind));
        let listed: Vec<_> = wanted.map(owner).collect();
        // As on crates.io, where both kinds together are users as well.
        let answer = match kind {
            Some(OwnerKind::Team) => object!({ "teams": listed }),
            Some(OwnerKind::User) | None => object!({ "users": listed }),
        };
        json(state, answer).await
    }
}

fn owner(owner: &Owner) -> Value {
    let login = one_line(&owner.login);
    let (kind, page) = match owner.kind {
        OwnerKind::User => ("user", Some(&*login)),
        // `github:ORGANISATION:TEAM`
        OwnerKind::Team => ("team", login.split(':').nth(1)),
    };
    // Such as GitHub takes for one: what else stands there is not made an address.
    let is_plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let page = page
        .filter(is_plain)
        .map(|name| format!("https://github.com/{name}"));
    object!({
        "id": owner.id,
        "login": login,
        "kind": kind,
        "url": page,
        "name": owner.name.as_deref().map(one_line),
        "avatar": owner.avatar,
    })
}
