//! The policy: what is on hold or denied, in the index, in downloads, searches, pages and prefetches, and for the real cargo.

mod access_log;
mod advisories;
mod cargo;
mod commanded;
mod commands;
mod database;
mod index;
mod killed;
mod mailed;
mod prefetch;
mod reload;
mod reserved;
mod scene;
mod state;
mod stolen_account;
mod web;
mod withdrawn;

use jiff::{SignedDuration, Timestamp};

use crate::support::crate_archive::crate_archive;
use crate::support::server::Site;

const MIN_AGE: (&str, &str) = ("FERRY_POLICY_MIN_AGE", "7d");

/// Returns a time of the servers with a clock of their own: so many days after their first one.
fn day(number: i64) -> Timestamp {
    let first: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    first + SignedDuration::from_hours(24 * number)
}

/// Publishes a version that cargo can build and install.
fn publish(site: &mut Site, name: &str, version: &str, published: Option<Timestamp>) {
    let manifest =
        format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n");
    let lib = format!("pub const VERSION: &str = \"{version}\";\n");
    let files = [
        ("Cargo.toml", manifest.as_str()),
        ("src/lib.rs", &lib),
        ("src/main.rs", "fn main() {}\n"),
    ];
    let archive = crate_archive(name, version, &files);
    site.publish_at(name, version, &archive, published);
}

/// Makes a site with an old version of `foo` and one that is published on the first day.
fn site() -> Site {
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    publish(&mut site, "foo", "1.1.0", Some(day(0)));
    site
}
