//! Buckets that cannot be used: told at the start, with what to do.

use std::process::Output;

use crate::support::certificate;
use crate::support::s3::{Refuses, S3};
use crate::support::server::{Server, Site, command, files_in, noise, printed};

/// Returns the variables of a server over a bucket, and further ones.
fn variables(site: &Site, s3: &S3, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = site.variables();
    variables.extend(s3.variables());
    let pairs = pairs.iter();
    variables.extend(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

/// Runs a command that ends by itself.
fn run(variables: &[(String, String)], arguments: &[&str]) -> Output {
    let mut program = assert_cmd::Command::from_std(command(variables));
    program.timeout(std::time::Duration::from_secs(60));
    program.args(arguments).output().unwrap()
}

/// Returns kind, message with causes, and advice of a command's failure.
fn failure(variables: &[(String, String)], arguments: &[&str], code: i32) -> [String; 3] {
    let arguments = [&["--format", "json"], arguments].concat();
    let json = printed(&run(variables, &arguments), code);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let error = &json["error"];
    let causes = error["causes"].to_string();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    [
        text("kind"),
        format!("{} {causes}", text("message")),
        text("advice"),
    ]
}

fn site() -> Site {
    let mut site = Site::new();
    site.publish("foo", "1.0.0", &noise(10_000, 1));
    site
}

#[test]
fn what_a_bucket_refuses_is_told_at_the_start_with_its_code_and_a_cure() {
    let site = site();
    let folder = site.folder.path().join("s3");
    for (code, kind, exit, cure) in [
        ("AuthorizationHeaderMalformed", "config", 2, "AWS_REGION"),
        ("NoSuchBucket", "config", 2, "serve.store"),
        ("RequestTimeTooSkewed", "config", 2, "clock"),
        ("InvalidAccessKeyId", "auth", 3, "AWS_ACCESS_KEY_ID"),
    ] {
        let s3 = S3::refusing(&folder, Refuses::All(code));
        for command in [&["serve"][..], &["prefetch", "--all"]] {
            let [found, message, advice] = failure(&variables(&site, &s3, &[]), command, exit);
            assert_eq!(found, kind, "{code}");
            assert!(message.contains(code), "{message}");
            assert!(
                message.starts_with("s3://crates at http://127.0.0.1:"),
                "{message}"
            );
            assert!(!message.contains("Generic S3"), "{message}");
            assert!(advice.contains(cure), "{advice}");
        }
    }
    let s3 = S3::start(&folder);
    let wrong = [("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-it")];
    let [kind, message, _] = failure(&variables(&site, &s3, &wrong), &["serve"], 3);
    assert!(
        kind == "auth" && message.contains("SignatureDoesNotMatch"),
        "{message}"
    );
}

#[test]
fn check_probes_the_bucket() {
    let site = site();
    let folder = site.folder.path().join("s3");
    let index = site.index.path().display().to_string();
    let both = [
        ("FERRY_UPSTREAM_URL", &*index),
        ("FERRY_MIRROR_URL", &*index),
    ];
    for (s3, wanted) in [
        (
            S3::refusing(&folder, Refuses::All("NoSuchBucket")),
            "FAILED   store ",
        ),
        (S3::start(&folder), "passed   store "),
    ] {
        let output = run(&variables(&site, &s3, &both), &["check"]);
        let told = printed(&output, 1);
        let store = told
            .lines()
            .find(|line| line.contains("  store  "))
            .unwrap();
        assert!(store.starts_with(wanted), "{told}");
    }
}

#[test]
fn a_key_that_may_not_list_finds_and_stores_crate_files() {
    let site = site();
    let folder = site.folder.path().join("s3");
    let s3 = S3::refusing(&folder, Refuses::Absent);
    let fetched = run(&variables(&site, &s3, &[]), &["prefetch", "--all"]);
    assert!(printed(&fetched, 0).contains("1 fetched"), "{fetched:?}");
    let log = String::from_utf8(fetched.stderr).unwrap();
    assert_eq!(log.matches("s3:ListBucket").count(), 1, "{log}");
    let server = Server::start(&variables(&site, &s3, &[]));
    server.wait_until_ready();
    let path = "/api/v1/crates/foo/1.0.0/download";
    assert_eq!(server.ask("HEAD", path, &[], b"").unwrap().status, 200);
    assert!(server.download("foo", "1.0.0").body == noise(10_000, 1));
    assert_eq!(site.host.requests().len(), 1, "{}", server.log());
}

#[test]
fn a_bucket_that_is_full_is_told_as_that() {
    let site = site();
    let folder = site.folder.path().join("s3");
    let s3 = S3::refusing(&folder, Refuses::Writes("QuotaExceeded"));
    let server = Server::start(&variables(&site, &s3, &[]));
    server.wait_until_ready();
    assert!(server.download("foo", "1.0.0").body == noise(10_000, 1));
    server.wait_for("told", || server.log().contains("the quota is used up"));
    let log = server.log();
    assert!(
        log.contains("QuotaExceeded") && log.contains("lifecycle rule"),
        "{log}"
    );
}

#[test]
fn a_bucket_that_cannot_be_reached_is_done_without_and_told_at_the_start() {
    let site = site();
    let s3 = S3::start(&site.folder.path().join("s3"));
    for (endpoint, told) in [
        ("http://127.0.0.1:1", "cannot connect"),
        ("http://no-such-host.invalid", "AWS_ENDPOINT_URL"),
    ] {
        let pairs = [("AWS_ENDPOINT_URL", endpoint)];
        let server = Server::start(&variables(&site, &s3, &pairs));
        server.wait_until_ready();
        let log = server.log();
        assert!(
            log.contains(told) && log.contains("are not stored until"),
            "{log}"
        );
        assert!(server.download("foo", "1.0.0").is_whole);
    }
}

#[test]
fn aws_ca_bundle_is_trusted_for_a_bucket() {
    let site = site();
    let certificate = certificate::make(site.folder.path(), "IP:127.0.0.1");
    let folder = site.folder.path().join("s3");
    let s3 = S3::with_certificate(&folder, &certificate);
    let [kind, message, advice] = failure(&variables(&site, &s3, &[]), &["prefetch", "--all"], 2);
    assert!(
        kind == "config" && message.contains("certificate"),
        "{message}"
    );
    assert!(advice.contains("network.ca_file"), "{advice}");
    let bundle = certificate.0.to_str().unwrap();
    let pairs = [("AWS_CA_BUNDLE", bundle)];
    let fetched = run(&variables(&site, &s3, &pairs), &["prefetch", "--all"]);
    assert!(printed(&fetched, 0).contains("1 fetched"), "{fetched:?}");
    assert!(!String::from_utf8_lossy(&fetched.stderr).contains("ignoring"));
    assert!(!files_in(&folder).is_empty());
    let pairs = [("AWS_CA_BUNDLE", "/nowhere/ca.pem")];
    let [_, message, _] = failure(&variables(&site, &s3, &pairs), &["prefetch", "--all"], 2);
    assert!(message.contains("AWS_CA_BUNDLE"), "{message}");
}

#[test]
fn a_store_that_names_a_server_is_refused_with_the_right_form() {
    let site = site();
    let store = [("FERRY_SERVE_STORE", "s3://minio.example:9000/crates/kept")];
    let refused = run(&site.variables_and(&store), &["serve"]);
    assert_eq!(refused.status.code(), Some(2));
    let log = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "s3://crates/kept",
        "AWS_ENDPOINT_URL",
        "http://minio.example:9000",
    ] {
        assert!(log.contains(part), "{log}");
    }
}
