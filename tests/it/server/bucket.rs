//! Crate files in a bucket of a real S3 server.

use crate::support::relay::{Fate, Relay};
use crate::support::s3::S3;
use crate::support::server::{Server, Site, files_in, noise, printed};

/// One that stays in memory, one that does not, one that is uploaded in parts.
const SIZES: [usize; 3] = [10_000, 2_000_000, 9_000_000];

fn site() -> (Site, Vec<Vec<u8>>, S3) {
    let mut site = Site::new();
    let files: Vec<_> = SIZES
        .iter()
        .map(|size| noise(*size, *size as u64))
        .collect();
    for (number, bytes) in files.iter().enumerate() {
        site.publish("foo", &format!("{number}.0.0"), bytes);
    }
    let s3 = S3::start(&site.folder.path().join("s3"));
    (site, files, s3)
}

fn kept(site: &Site) -> Vec<std::path::PathBuf> {
    let mut files = files_in(&site.folder.path().join("s3/crates/kept/here"));
    files.retain(|path| path.extension().is_some_and(|ending| ending == "crate"));
    files
}

#[test]
fn several_servers_share_what_one_has_fetched() {
    let (site, files, s3) = site();
    let (one, other) = (s3.serve(&site, "one", &[]), s3.serve(&site, "other", &[]));
    for (number, bytes) in files.iter().enumerate() {
        let version = format!("{number}.0.0");
        assert!(one.download("foo", &version).body == *bytes);
        one.wait_for("kept", || kept(&site).len() == number + 1);
        let got = other.download("foo", &version);
        assert!(got.is_whole && got.body == *bytes);
    }
    assert_eq!(site.host.requests().len(), files.len());
    assert!(!one.log().contains("secret-key"));
    let mut variables = site.variables();
    variables.extend(s3.variables());
    let run = |arguments: &[&str]| {
        let mut command = crate::support::server::command(&variables);
        command.args(arguments).output().unwrap()
    };
    assert!(printed(&run(&["prefetch", "--all"]), 0).contains("3 stored before"));
    assert_eq!(printed(&run(&["cache", "ls"]), 0).lines().count(), 3);
    assert!(printed(&run(&["cache", "verify"]), 0).starts_with("3 crate files are intact"));
    assert_eq!(run(&["cache", "evict", "foo"]).status.code(), Some(2));
}

#[test]
fn a_damaged_object_is_dropped_and_fetched_again() {
    let (site, files, s3) = site();
    let server = s3.serve(&site, "one", &[]);
    for (number, bytes) in files[..2].iter().enumerate() {
        let version = format!("{number}.0.0");
        assert!(server.download("foo", &version).body == *bytes);
        server.wait_for("kept", || kept(&site).len() == number + 1);
    }
    drop(server);
    for path in kept(&site) {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let server = s3.serve(&site, "two", &[]);
    assert!(server.download("foo", "0.0.0").body == files[0]);
    let got = server.download("foo", "1.0.0");
    assert!(got.is_whole && got.body == files[1]);
    assert_eq!(server.metric("crates_ferry_damaged_files_total"), 2.0);
}

#[test]
fn a_server_that_went_away_is_done_without_and_used_again() {
    let (site, files, s3) = site();
    let server = s3.serve(&site, "one", &[]);
    let (folder, address) = (site.folder.path().join("s3"), s3.address());
    drop(s3);
    let got = server.download("foo", "0.0.0");
    assert!(got.is_whole && got.body == files[0], "{}", server.log());
    server.wait_for("told", || {
        server.log().contains("cannot store the crate file")
    });
    let _s3 = S3::start_at(&folder, address);
    assert!(server.download("foo", "1.0.0").body == files[1]);
    server.wait_for("kept", || kept(&site).len() == 1);
}

/// Serves from a bucket behind a relay.
fn serve_behind(relay: &Relay, site: &Site, s3: &S3, pairs: &[(&str, &str)]) -> Server {
    let address = format!("http://{}", relay.address());
    let mut all = vec![("AWS_ENDPOINT_URL", address.as_str())];
    all.extend(pairs);
    s3.serve(site, "behind", &all)
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_behind_and_is_made_again() {
    let (mut site, _, s3) = site();
    let bytes = noise(26_000_000, 1);
    site.publish("bar", "1.0.0", &bytes);
    let relay = Relay::before(s3.address());
    let pairs = [("FERRY_NETWORK_RETRIES", "0"), ("FERRY_SERVE_MEMORY", "0")];
    let server = serve_behind(&relay, &site, &s3, &pairs);
    for (number, fate) in [Fate::CutUpOnce(3_000_000), Fate::CutUp(3_000_000)]
        .into_iter()
        .enumerate()
    {
        relay.set(fate);
        let got = server.download("bar", "1.0.0");
        assert!(got.is_whole && got.body == bytes);
        let failed = number as f64 + 1.0;
        server.wait_for("told", || {
            server.metric("crates_ferry_store_write_failures_total") == failed
        });
        assert!(kept(&site).is_empty());
        if number == 0 {
            // The parts that came were taken back.
            let left = files_in(&site.folder.path().join("s3"));
            let is_part =
                |path: &&std::path::PathBuf| path.display().to_string().contains("upload");
            assert_eq!(left.iter().find(is_part), None);
        }
    }
    relay.set(Fate::Pass);
    server.wait_for("kept", || {
        let got = server.download("bar", "1.0.0");
        assert!(got.is_whole && got.body == bytes);
        kept(&site).len() == 1
    });
    assert!(std::fs::read(&kept(&site)[0]).unwrap() == bytes);
}

#[test]
fn a_bucket_that_breaks_off_is_done_without() {
    let (site, files, s3) = site();
    let first = s3.serve(&site, "one", &[]);
    for (number, bytes) in files.iter().enumerate() {
        assert!(first.download("foo", &format!("{number}.0.0")).body == *bytes);
        first.wait_for("kept", || kept(&site).len() == number + 1);
    }
    let relay = Relay::before(s3.address());
    let server = serve_behind(&relay, &site, &s3, &[]);
    relay.set(Fate::CutDown(1_000_000));
    let got = server.download("foo", "2.0.0");
    assert!(got.is_whole && got.body == files[2]);
    assert_eq!(site.host.requests().len(), 4);
    relay.set(Fate::Pass);
    let got = server.download("foo", "1.0.0");
    assert!(got.is_whole && got.body == files[1]);
    assert_eq!(server.metric("crates_ferry_damaged_files_total"), 0.0);
}

#[test]
fn a_bucket_that_hangs_holds_up_neither_downloads_nor_places_for_long() {
    let (mut site, _, s3) = site();
    for number in 0..6 {
        site.publish("bar", &format!("{number}.0.0"), &noise(1_000, number));
    }
    let relay = Relay::before(s3.address());
    let pairs = [
        ("FERRY_SERVE_UPSTREAM_CONNECTIONS", "1"),
        ("FERRY_SERVE_MEMORY", "0"),
    ];
    let server = serve_behind(&relay, &site, &s3, &pairs);
    relay.set(Fate::Hang);
    for number in 0..6 {
        let got = server.download("bar", &format!("{number}.0.0"));
        let is_right = got.is_whole && got.body == noise(1_000, number);
        assert!(is_right, "{}: {}", got.text(), server.log());
    }
    server.wait_for("left alone", || {
        server.log().contains("the bucket keeps failing; retry in")
    });
    relay.set(Fate::Pass);
    server.wait_for("used again", || {
        assert!(server.download("bar", "5.0.0").is_whole);
        !kept(&site).is_empty()
    });
}

#[test]
fn an_address_without_its_scheme_is_refused_at_the_start() {
    let site = Site::new();
    let run = |name: &str, value: &str, command: &[&str]| {
        let pairs = [
            ("FERRY_SERVE_STORE", "s3://crates"),
            ("AWS_ACCESS_KEY_ID", "key-of-a-test"),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-a-test"),
            (name, value),
        ];
        let mut program = assert_cmd::Command::from_std(crate::support::server::command(
            &site.variables_and(&pairs),
        ));
        // A server that starts would not end.
        program.timeout(std::time::Duration::from_secs(60));
        let end = program.args(["--format", "json"]).args(command);
        let end = end.output().unwrap();
        let error: serde_json::Value = serde_json::from_str(&printed(&end, 2)).unwrap();
        let error = &error["error"];
        assert_eq!(error["kind"], "config", "{error}");
        let message = error["message"].as_str().unwrap();
        let wanted = format!("the variable {name} ");
        assert!(message.starts_with(&wanted), "{message}");
        let log = String::from_utf8(end.stderr).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        error["advice"].as_str().unwrap().to_owned()
    };
    for command in [&["serve"][..], &["prefetch", "--all"]] {
        let advice = run("AWS_ENDPOINT_URL", "minio.example:9000", command);
        assert!(advice.contains("http://minio.example:9000"), "{advice}");
    }
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "ftp://minio.example"),
        ("AWS_ENDPOINT_URL_S3", "//minio.example"),
        ("AWS_ENDPOINT", "https://me:password@minio.example"),
        ("AWS_ENDPOINT_URL_STS", "sts.example"),
        ("AWS_METADATA_ENDPOINT", "169.254.169.254"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "localhost/x"),
        ("AWS_REGION", "eu central/1"),
    ] {
        let advice = run(name, value, &["serve"]);
        assert!(!advice.contains("password@"), "{advice}");
    }
}
