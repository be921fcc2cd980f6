//! Refuses passwords in addresses where others can read them.

use url::Url;

use super::super::keys::Key;

/// Refuses an address with a password where a file or a process list would show it, and says where it goes instead.
pub(super) fn refuse_password(key: &Key, text: &str) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if url.password().is_some() => Err(format!(
            "the address carries a password, and secrets come from the environment only: leave it out{}",
            instead(key, url.scheme())
        )),
        _ => Ok(()),
    }
}

/// Returns what takes the place of the password.
fn instead(key: &Key, scheme: &str) -> String {
    match (key.path, scheme) {
        ("mail.smtp", _) => " and set FERRY_SMTP_PASSWORD".to_owned(),
        ("trigger.gitlab", _) => " and set GITLAB_TRIGGER_TOKEN".to_owned(),
        ("serve.store", _) => " and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned(),
        ("mirror.url" | "upstream.url" | "serve.index", "ssh" | "git+ssh" | "ssh+git") => {
            "; over ssh the key comes from SSH_PRIVATE_KEY".to_owned()
        }
        ("mirror.url", "https" | "http") => format!(
            " and set FERRY_MIRROR_TOKEN (or give the whole address in {})",
            key.variable()
        ),
        // The mirror's token goes to the mirror's host only.
        ("upstream.url" | "serve.index", "https" | "http") => {
            format!(", or give the whole address in {}", key.variable())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::super::super::sections;
    use super::*;

    fn refusal(key: &str, text: &str) -> String {
        let shown = refuse_password(sections::key(key), text).expect_err(text);
        assert!(!shown.contains("hunter2"), "{shown}");
        shown
            .split_once("leave it out")
            .expect("advice")
            .1
            .to_owned()
    }

    #[test]
    fn the_advice_names_what_the_key_takes_instead_of_a_password() {
        let web = "https://me:hunter2@x.example/a";
        let ssh = "ssh://me:hunter2@x.example/a";
        let table = [
            (
                "mail.smtp",
                "smtps://me:hunter2@x.example",
                " and set FERRY_SMTP_PASSWORD",
            ),
            (
                "mirror.url",
                web,
                " and set FERRY_MIRROR_TOKEN (or give the whole address in FERRY_MIRROR_URL)",
            ),
            (
                "upstream.url",
                web,
                ", or give the whole address in FERRY_UPSTREAM_URL",
            ),
            (
                "serve.index",
                web,
                ", or give the whole address in FERRY_SERVE_INDEX",
            ),
            ("trigger.gitlab", web, " and set GITLAB_TRIGGER_TOKEN"),
            (
                "mirror.url",
                ssh,
                "; over ssh the key comes from SSH_PRIVATE_KEY",
            ),
            (
                "upstream.url",
                ssh,
                "; over ssh the key comes from SSH_PRIVATE_KEY",
            ),
            // What a variable may not hold either is not sent there.
            ("mirror.dl", web, ""),
            (
                "mirror.url",
                "https://:hunter2@x.example/",
                " and set FERRY_MIRROR_TOKEN (or give the whole address in FERRY_MIRROR_URL)",
            ),
            ("mirror.url", "git://me:hunter2@x.example/a", ""),
        ];
        for (key, text, expected) in table {
            assert_eq!(refusal(key, text), expected, "{key} {text}");
        }
    }

    #[test]
    fn an_address_without_a_password_passes() {
        for text in [
            "https://me@x.example/a",
            "me@x.example:a",
            "/a",
            "",
            "15m",
            "Name <a@b>",
        ] {
            assert_eq!(
                refuse_password(sections::key("mirror.url"), text),
                Ok(()),
                "{text}"
            );
        }
    }
}
