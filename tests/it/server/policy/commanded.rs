//! Rules that are made by command, while servers run.

use serde_json::Value;

use super::scene::{REFUSE, refresh, site, status};
use super::{day, publish};
use crate::support::clocked::ClockedServer;
use crate::support::s3::S3;
use crate::support::server::{Server, Site, command, printed, sha256};
use crate::support::upstream::Commit;

/// Runs a command of `policy` that succeeds, and returns what it says.
fn say(site: &Site, pairs: &[(&str, &str)], arguments: &[&str]) -> String {
    let pairs = [&[REFUSE, ("USER", "ops")], pairs].concat();
    let arguments = [&["policy"], arguments].concat();
    printed(&site.run_with(&pairs, &arguments), 0)
}

/// Returns a time that the clock of a server can have.
fn tomorrow() -> String {
    let now = jiff::Timestamp::now().as_second();
    let tomorrow = jiff::Timestamp::from_second(now + 86_400);
    tomorrow.unwrap().to_string()
}

/// Returns the decisions in the store.
fn kept(site: &Site) -> usize {
    let folder = site.data().join("crates/state/decisions");
    crate::support::server::files_in(&folder).len()
}

#[test]
fn a_rule_counts_at_once_is_explained_and_can_be_removed() {
    let site = site();
    let server = site.serve(&[REFUSE]);
    assert_eq!(status(&server, "1.1.0"), 200);
    let deny = ["deny", "Foo@>=1.1", "--why", "a stolen account"];
    let dry = say(&site, &[], &[&deny[..], &["--dry-run"]].concat());
    assert!(
        dry.starts_with("would be made: deny Foo@>=1.1: a stolen account; by ops@"),
        "{dry}"
    );
    assert_eq!((kept(&site), status(&server, "1.1.0")), (0, 200));
    let made = say(&site, &[], &deny);
    assert!(
        made.starts_with("made: deny Foo@>=1.1: a stolen account; by ops@")
            && made.contains("within two seconds"),
        "{made}"
    );
    server.wait_for("denied", || status(&server, "1.1.0") == 403);
    let refused = server.download("foo", "1.1.0").text();
    // Who made it is nobody's business.
    assert!(
        refused.starts_with("foo 1.1.0 is denied since 2")
            && refused.trim_end().ends_with(
                " UTC: a stolen account (policy deny: Foo@>=1.1); ask whoever runs this mirror"
            ),
        "{refused}"
    );
    let line = server.entry("foo").text();
    assert!(line.lines().last().unwrap().contains("\"yanked\":true"));
    let told: Value = serde_json::from_slice(&server.get("/api/v1/policy").body).unwrap();
    assert_eq!(
        told["deny"],
        serde_json::json!([{"crate": "Foo@>=1.1", "until": null}])
    );
    let again = say(&site, &[], &deny);
    assert!(
        again.starts_with("nothing to do: deny Foo@>=1.1"),
        "{again}"
    );
    assert_eq!(kept(&site), 1);

    let explained = say(&site, &[], &["explain", "foo@1.1.0"]);
    let said = "foo 1.1.0: denied since 2";
    let why = " UTC: a stolen account (policy deny: Foo@>=1.1); by ops@";
    assert!(
        explained.starts_with(said) && explained.contains(why),
        "{explained}"
    );
    let listed = say(&site, &[], &["list"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with(said)
            && lines[1].starts_with("policy deny Foo@>=1.1: a stolen account; by ops@"),
        "{listed}"
    );
    // Another spelling of the same rule replaces it.
    let allowed = say(
        &site,
        &[],
        &["allow", "foo@>= 1.1", "--until", "2999-01-31"],
    );
    assert!(
        allowed.contains("it replaces: deny Foo@>=1.1: a stolen account"),
        "{allowed}"
    );
    server.wait_for("allowed", || status(&server, "1.1.0") == 200);
    say(&site, &[], &deny);
    server.wait_for("denied", || status(&server, "1.1.0") == 403);
    let removed = say(&site, &[], &["reset", "foo@>=1.1"]);
    assert!(removed.starts_with("removed: deny Foo@>=1.1"), "{removed}");
    server.wait_for("served", || status(&server, "1.1.0") == 200);
    let again = say(&site, &[], &["reset", "foo@>=1.1"]);
    assert!(
        again.contains("no command has made a rule about foo@>=1.1"),
        "{again}"
    );
    assert_eq!(kept(&site), 4);
    let log = server.log();
    for line in [
        "policy deny Foo@>=1.1: a stolen account; by ops@",
        "policy allow foo@>= 1.1 until 2999-01-31 00:00 UTC; by ops@",
        "policy reset: no longer deny Foo@>=1.1: a stolen account; by ops@",
    ] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn the_configuration_wins_over_a_command() {
    let site = site();
    let file = [
        ("FERRY_POLICY_DENY", "foo@1.0.0"),
        ("FERRY_POLICY_ALLOW", "foo@1.1.0"),
    ];
    let said = say(&site, &file, &["allow", "foo"]);
    assert!(
        said.contains("policy.deny: foo@1.0.0 in the configuration wins over it"),
        "{said}"
    );
    let said = say(&site, &file, &["deny", "other"]);
    assert!(!said.contains("wins"), "{said}");
    let said = say(&site, &file, &["deny", "foo"]);
    assert!(
        said.contains("policy.allow: foo@1.1.0 in the configuration wins over it"),
        "{said}"
    );
    let server = site.serve(&[&[REFUSE], &file[..]].concat());
    assert_eq!(
        (status(&server, "1.0.0"), status(&server, "1.1.0")),
        (403, 200)
    );
    assert_eq!(server.download("other", "1.0.0").status, 403);
}

#[test]
fn a_command_that_cannot_be_carried_out_says_why() {
    let site = site();
    for (pairs, arguments, code, why) in [
        (&[][..], &["deny", "foo"][..], 2, "there is no policy"),
        (&[REFUSE], &["deny", "foo@1"], 2, "begins with an operator"),
        (
            &[REFUSE],
            &["allow", "foo", "--until", "soon"],
            2,
            "expected a date such as 2027-01-31",
        ),
        (
            &[REFUSE],
            &["allow", "foo", "--until", "2020-01-01"],
            2,
            "is not in the future",
        ),
    ] {
        let output = site.run_with(pairs, &[&["policy"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    // What cannot be read may be what refuses a version.
    let path = "state/decisions/2026-12-01/081203.000000-deny-0.json";
    let place = site.data().join("crates").join(path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, "{}").unwrap();
    let server = Server::start(&site.variables_and(&[REFUSE]));
    server.wait_for("told", || server.get("/readyz").text().contains(path));
    assert_eq!(status(&server, "1.0.0"), 503);
    std::fs::remove_file(place).unwrap();
    server.wait_until_ready();
}

#[test]
fn all_servers_of_a_bucket_apply_a_rule_and_a_new_one_as_well() {
    let mut site = site();
    let s3 = S3::start(&site.folder.path().join("s3"));
    let mut variables = site.variables_and(&[REFUSE]);
    variables.extend(s3.variables());
    let server = Server::start(&variables);
    server.wait_until_ready();
    let elsewhere = site.folder.path().join("elsewhere").display().to_string();
    let mut others = variables.clone();
    others.push(("FERRY_SERVE_DATA_DIR".to_owned(), elsewhere));
    let denied = command(&others)
        .args(["policy", "deny", "foo@1.1.0"])
        .output();
    let said = printed(&denied.unwrap(), 0);
    assert!(
        said.contains("with their next refresh of the index (serve.refresh: 1h)"),
        "{said}"
    );
    site.publish("mark", "1.0.0", b"mark");
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("denied", || status(&server, "1.1.0") == 403);
    let other = Server::start(&others);
    other.wait_until_ready();
    assert_eq!(
        (status(&other, "1.1.0"), status(&other, "1.0.0")),
        (403, 200)
    );
}

#[test]
fn a_rule_ends_on_time() {
    let mut site = Site::new();
    publish(&mut site, "foo", "1.0.0", None);
    let until = tomorrow();
    say(&site, &[], &["deny", "foo", "--until", &until]);
    let server = ClockedServer::start(&site, &[REFUSE], day(1));
    assert_eq!(server.download("foo", "1.0.0").status, 403);
    server.set_clock(until.parse().unwrap());
    server.wait_for("ended", || server.download("foo", "1.0.0").status == 200);
}

#[test]
fn a_version_that_upstream_took_back_is_released_as_it_was_and_in_no_other_form() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    let before = server.entry("foo").text();
    assert_eq!(status(&server, "1.1.0"), 200);
    server.wait_for("stored", || site.kept("foo", "1.1.0").exists());
    site.withdraw("foo", &["1.1.0"]);
    // Upstream has it no more, and so nobody has but the store.
    site.host.remove_at("foo/1.1.0/download");
    refresh(&mut site, &server);
    assert_eq!(status(&server, "1.1.0"), 403);
    let checksum = sha256(b"bad");
    let aside = site
        .data()
        .join(format!("crates/state/aside/{checksum}.crate"));
    server.wait_for("aside", || aside.exists());

    let allow = ["allow", "foo@1.1.0", "--why", "project X needs it"];
    let said = say(&site, &[], &allow);
    assert!(
        said.contains(&format!(
            "released, though upstream took it back: the crate file with SHA-256 {checksum}"
        )),
        "{said}"
    );
    server.wait_for("released", || status(&server, "1.1.0") == 200);
    assert_eq!(server.download("foo", "1.1.0").body, b"bad");
    assert_eq!(server.entry("foo").text(), before);
    server.wait_for("back", || {
        !aside.exists() && site.kept("foo", "1.1.0").exists()
    });
    let explained = say(&site, &[], &["explain", "foo@1.1.0"]);
    assert!(
        explained.starts_with(
            "foo 1.1.0: allowed: project X needs it (policy allow: foo@1.1.0); by ops@"
        ),
        "{explained}"
    );
    // With other bytes under the same version the released ones stay.
    site.publish("foo", "1.1.0", b"worse");
    refresh(&mut site, &server);
    assert_eq!(server.download("foo", "1.1.0").body, b"bad");
    assert_eq!(server.entry("foo").text(), before);
    // A server that starts anew, and a command that fills the store, do the same.
    drop(server);
    let fetched = site.run_with(&[REFUSE], &["prefetch", "--crate", "foo@1.1.0"]);
    assert_eq!(fetched.status.code(), Some(0), "{fetched:?}");
    let server = site.serve(&[REFUSE]);
    assert_eq!(server.download("foo", "1.1.0").body, b"bad");
    say(&site, &[], &["reset", "foo@1.1.0"]);
    server.wait_for("refused", || status(&server, "1.1.0") == 403);
    server.wait_for("aside again", || {
        aside.exists() && !site.kept("foo", "1.1.0").exists()
    });
}

#[test]
fn a_crate_that_is_gone_as_a_whole_can_be_released_until_a_day() {
    let mut site = site();
    let until = tomorrow();
    let clock = jiff::Timestamp::now();
    let server = ClockedServer::start(&site, &[REFUSE], clock);
    let before = server.entry("foo").text();
    site.withdraw("foo", &["1.0.0", "1.1.0"]);
    server.refresh();
    server.wait_for("gone", || server.entry("foo").status == 404);
    let said = say(&site, &[], &["allow", "foo@1.0.0", "--until", &until]);
    assert!(said.contains("released"), "{said}");
    server.wait_for("back", || server.entry("foo").status == 200);
    let line = before.lines().next().unwrap();
    assert_eq!(server.entry("foo").text(), format!("{line}\n"));
    assert_eq!(server.download("foo", "1.0.0").body, b"good");
    assert_eq!(server.download("foo", "1.1.0").status, 403);
    // Its search finds it, too.
    server.wait_for("found", || server.get("/api/v1/crates/foo").status == 200);
    server.set_clock(until.parse().unwrap());
    server.wait_for("ended", || server.entry("foo").status == 404);
    assert_eq!(server.download("foo", "1.0.0").status, 403);
    // What was fetched meanwhile is kept aside from then on.
    let aside = format!("crates/state/aside/{}.crate", sha256(b"good"));
    server.wait_for("aside", || {
        site.data().join(&aside).exists() && !site.kept("foo", "1.0.0").exists()
    });
}

#[test]
fn while_the_guard_holds_rules_still_count() {
    let mut site = site();
    let server = site.serve(&[REFUSE]);
    let lines: String = (0..51)
        .map(|patch| {
            format!(
                "{{\"name\":\"many\",\"vers\":\"1.0.{patch}\",\"cksum\":\"{}\"}}\n",
                sha256(b"many")
            )
        })
        .collect();
    site.index
        .commit([Commit::new("Update crate `many`").file("ma/ny/many", lines)]);
    refresh(&mut site, &server);
    site.index
        .commit([Commit::new("Update crate `many`").without("ma/ny/many")]);
    assert_eq!(server.push_hook().status, 202);
    server.wait_for("held", || {
        server
            .get("/readyz")
            .text()
            .contains("[guard] 51 versions vanished")
    });
    assert_eq!(server.get("/readyz").status, 200);
    say(&site, &[], &["deny", "foo@1.1.0"]);
    server.wait_for("denied", || status(&server, "1.1.0") == 403);
    assert_eq!(server.entry("many").text().lines().count(), 51);
    // What commands say is so of what the server serves.
    let explained = say(&site, &[], &["explain", "many@1.0.7"]);
    assert_eq!(explained, "many 1.0.7: served");
    drop(server);
    let explained = say(&site, &[], &["explain", "many@1.0.7"]);
    assert_eq!(explained, "many 1.0.7: served");
}
