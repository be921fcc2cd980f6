//! Certificates that are their own authority.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `cert.pem` and `key.pem` in a folder, for names such as `DNS:localhost,IP:127.0.0.1`, and returns their paths.
pub fn make(folder: &Path, names: &str) -> (PathBuf, PathBuf) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", &format!("subjectAltName={names}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", "cert.pem", "-keyout", "key.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (folder.join("cert.pem"), folder.join("key.pem"))
}
