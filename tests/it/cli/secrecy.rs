//! No secret is among what the program writes.

use super::{run, stderr, stdout};

/// Arguments, the private key's variable, the mirror's, and `ferry.yml`.
type Case<'a> = (
    &'a [&'a str],
    (&'a str, &'a str),
    (&'a str, &'a str),
    &'a str,
);

const MARKER: &str = "hunter2hunter2";

#[test]
fn no_secret_is_ever_shown() {
    let address = format!("https://me:{MARKER}@mirror.invalid/a");
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{MARKER}\n-----END OPENSSH PRIVATE KEY-----\n"
    );
    let secrets = [
        ("FERRY_MIRROR_TOKEN", MARKER),
        ("SSH_KEY_PASSPHRASE", MARKER),
        ("CI_JOB_TOKEN", MARKER),
        ("CI_SERVER_HOST", "mirror.invalid"),
        ("FERRY_UPSTREAM_URL", "/no/such/upstream"),
    ];
    let file = format!("mirror: {{ url: '{address}' }}");
    let bad_file = format!("mirror: {address}");
    let cases: [Case; 7] = [
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            (
                "FERRY_MIRROR_URL",
                "ftp://me:hunter2hunter2@mirror.invalid/a",
            ),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", MARKER),
            ("FERRY_MIRROR_URL", "/no/such/mirror"),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            (
                "FERRY_MIRROR_URL",
                "ssh://me:hunter2hunter2@mirror.invalid/a",
            ),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", "/no/such/mirror"),
            "",
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            &file,
        ),
        (
            &["sync"],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            &bad_file,
        ),
        (
            &["sync", "--mirror", &address],
            ("SSH_PRIVATE_KEY", &key),
            ("FERRY_MIRROR_URL", ""),
            "",
        ),
    ];
    for (arguments, private_key, mirror, ferry_yml) in cases {
        for format in ["text", "json"] {
            let arguments = [arguments, &["-vv", "--format", format]].concat();
            let variables = [&secrets[..], &[private_key, mirror]].concat();
            let output = run(&arguments, &variables, ferry_yml);
            assert!(!output.status.success(), "{output:?}");
            let shown = stdout(&output) + &stderr(&output);
            assert!(shown.contains("error"), "{shown}");
            assert!(
                !shown.contains(MARKER),
                "{arguments:?} {mirror:?} {ferry_yml}\n{shown}"
            );
        }
    }
}
