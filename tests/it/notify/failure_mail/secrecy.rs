//! No secret is in a mail, whatever a server repeats.

use super::{Post, mails};

#[test]
fn no_secret_is_in_the_raw_mail() {
    let Some(post) = Post::new() else { return };
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-line-of-the-key\n-----END OPENSSH PRIVATE KEY-----\n";
    let secrets = [
        ("FERRY_MIRROR_TOKEN", "secret-mirror-token"),
        ("SSH_KEY_PASSPHRASE", "secret-passphrase"),
        ("CI_JOB_TOKEN", "secret-job-token"),
        ("GITLAB_TRIGGER_TOKEN", "secret-trigger-token"),
        ("SSH_PRIVATE_KEY", key),
        ("CI_SERVER_HOST", "gitlab.example"),
        (
            "CI_JOB_URL",
            "https://me:secret-in-a-url@gitlab.example/jobs/7",
        ),
    ];
    let repeated = format!(
        "your key is secret-line-of-the-key, your tokens are secret-mirror-token, secret-passphrase, secret-job-token and {}",
        post.exim.password()
    );
    post.refuse(&repeated);
    assert_eq!(post.sync(&secrets).0, 3);
    let mail = &mails(&post.exim, 1)[0];
    assert!(
        mail.text.contains("your tokens are [masked], [masked]"),
        "{}",
        mail.text
    );
    for shown in [&mail.raw, &mail.text, &mail.html, &mail.subject] {
        for secret in ["secret-", post.exim.password()] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}
