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
