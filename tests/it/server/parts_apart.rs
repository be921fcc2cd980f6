//! The parts apart, as `ci/compose.yml` has them: two servers behind a proxy, on one bucket.

use std::fmt::Write as _;

use crate::server::real_cargo::Project;
use crate::support::balancer::Balancer;
use crate::support::crate_archive::crate_archive;
use crate::support::s3::S3;
use crate::support::server::{Server, Site, noise};

/// How many crates the project depends on.
const CRATES: usize = 60;
/// After how many of their files upstream pauses, so that a server dies in the middle.
const BEFORE: usize = 20;

/// Publishes crates of a hundred kilobytes each, and makes a project that depends on all of them.
fn project(site: &mut Site) -> Project {
    let mut manifest = "[package]\nname = \"project\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n\n[dependencies]\n".to_owned();
    for number in 0..CRATES {
        let name = format!("part-{number}");
        let its =
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n");
        let data = hex::encode(noise(60_000, number as u64));
        let files = [
            ("Cargo.toml", its.as_str()),
            ("src/lib.rs", ""),
            ("data", &data),
        ];
        site.publish(&name, "1.0.0", &crate_archive(&name, "1.0.0", &files));
        writeln!(manifest, "{name} = \"1\"").unwrap();
    }
    let project = Project::new(site, "project");
    std::fs::write(project.folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(project.folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    project
}

fn serve(site: &Site, s3: &S3, public_url: &str, data: &str) -> Server {
    let data = site.folder.path().join(data).display().to_string();
    let mut variables = site.variables_and(&[
        ("FERRY_SERVE_DATA_DIR", &data),
        ("FERRY_SERVE_PUBLIC_URL", public_url),
    ]);
    variables.extend(s3.variables());
    let server = Server::start(&variables);
    server.wait_until_ready();
    server
}

#[test]
fn a_server_that_is_killed_while_cargo_fetches_is_not_noticed() {
    let mut site = Site::new();
    let project = project(&mut site);
    let s3 = S3::start(&site.folder.path().join("s3"));
    let balancer = Balancer::listen(2);
    let url = format!("http://{}", balancer.address());
    let (one, other) = (
        serve(&site, &s3, &url, "one"),
        serve(&site, &s3, &url, "other"),
    );
    let address = |server: &Server| {
        server
            .url("")
            .trim_start_matches("http://")
            .parse()
            .unwrap()
    };
    balancer.serve(vec![address(&one), address(&other)]);
    let folder = project.folder.display().to_string();
    let public = [("FERRY_SERVE_PUBLIC_URL", url.as_str())];
    let written = site.run_with(&public, &["cargo-config", "--write", &folder]);
    assert!(written.status.success(), "{written:?}");
    project.succeed(&["generate-lockfile"], None);

    site.host.hold_after(BEFORE);
    std::thread::scope(|scope| {
        // As it comes: three retries for what may pass.
        let fetching = scope.spawn(|| project.cargo_with(&[("CARGO_NET_RETRY", "3")], &["fetch"]));
        // cargo has two connections to a host, and so two downloads under way, one through either server.
        site.host.wait_for_requests(BEFORE + 2);
        let taken = balancer.taken();
        assert!(
            taken.iter().all(|connections| *connections > 0),
            "{taken:?}"
        );
        one.kill();
        site.host.release();
        let fetched = fetching.join().unwrap();
        let said = String::from_utf8_lossy(&fetched.stderr).into_owned();
        assert!(fetched.status.success(), "{said}");
    });
    for number in 0..CRATES {
        let name = format!("part-{number}-1.0.0");
        let cache = std::fs::read_dir(project.home.join("registry/cache")).unwrap();
        let mut hosts = cache.map(|host| host.unwrap().path());
        assert!(
            hosts.any(|host| host.join(format!("{name}.crate")).is_file()),
            "{name}"
        );
    }
    // What one of them fetched, upstream is not asked for again by the other.
    let requests = site.host.requests().len();
    project.forget();
    project.succeed(&["fetch", "--locked"], None);
    assert_eq!(site.host.requests().len(), requests);
    drop(other);
}
