//! Certificates that are their own authority.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `cert.pem` and `key.pem` in a folder, for names such as `DNS:localhost,IP:127.0.0.1`, and returns their paths.
pub fn make(folder: &Path, names: &str) -> (PathBuf, PathBuf) {
    openssl(
        folder,
        names,
        &["-addext", "basicConstraints=critical,CA:FALSE"],
    )
}

/// Makes them as `openssl req -x509` does for who asks for nothing else: marked as an authority's.
pub fn make_marked_as_authority(folder: &Path, names: &str) -> (PathBuf, PathBuf) {
    openssl(folder, names, &[])
}

/// Makes them as an authority does that signs its own, valid from one day to another, such as `20200101000000Z`.
pub fn make_for_dates(folder: &Path, names: &str, from: &str, to: &str) -> (PathBuf, PathBuf) {
    std::fs::create_dir_all(folder).unwrap();
    make(folder, names);
    let config = format!(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\npolicy = any\nrand_serial = yes\n\
         x509_extensions = names\n[any]\ncommonName = supplied\n[names]\nsubjectAltName = {names}\n\
         basicConstraints = critical,CA:FALSE\n"
    );
    std::fs::write(folder.join("ca.cnf"), config).unwrap();
    std::fs::write(folder.join("index.txt"), "").unwrap();
    run(
        folder,
        &[
            "req",
            "-new",
            "-key",
            "key.pem",
            "-subj",
            "/CN=a server of a test",
            "-out",
            "req.pem",
        ],
    );
    run(
        folder,
        &[
            "ca",
            "-batch",
            "-selfsign",
            "-config",
            "ca.cnf",
            "-keyfile",
            "key.pem",
            "-md",
            "sha256",
            "-notext",
            "-in",
            "req.pem",
            "-out",
            "cert.pem",
            "-startdate",
            from,
            "-enddate",
            to,
        ],
    );
    (folder.join("cert.pem"), folder.join("key.pem"))
}

fn run(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn openssl(folder: &Path, names: &str, more: &[&str]) -> (PathBuf, PathBuf) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", &format!("subjectAltName={names}")])
        .args(["-out", "cert.pem", "-keyout", "key.pem"])
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (folder.join("cert.pem"), folder.join("key.pem"))
}
