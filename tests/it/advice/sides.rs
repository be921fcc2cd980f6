//! Who is asked: the command that asks, and the answers that only this side has.

use std::process::Output;

use super::causes::{Cause, Causes};
use crate::support::faulty::Fault;
use crate::support::{server, trigger};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Upstream,
    Mirror,
    Index,
    CrateFiles,
    Gitlab,
    GitlabReads,
    Smtp,
    Bucket,
    Proxy,
}

impl Side {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Upstream,
        Self::Mirror,
        Self::Index,
        Self::CrateFiles,
        Self::Gitlab,
        Self::GitlabReads,
        Self::Smtp,
        Self::Bucket,
        Self::Proxy,
    ];

    /// Its heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream (sync)",
            Self::Mirror => "mirror (sync)",
            Self::Index => "index of the API server (prefetch)",
            Self::CrateFiles => "host of crate files (prefetch)",
            Self::Gitlab => "GitLab's API (fire)",
            Self::GitlabReads => "GitLab's API, once the pipeline is created (fire --wait)",
            Self::Smtp => "mail server (check)",
            Self::Bucket => "bucket (cache stat)",
            Self::Proxy => "proxy (sync)",
        }
    }

    /// Says whether it is asked over TLS as well.
    pub fn speaks_tls(self) -> bool {
        !matches!(self, Self::Proxy | Self::GitlabReads)
    }

    /// Returns what its server may answer.
    pub fn answers(self) -> Vec<(String, Fault)> {
        let with = |content: &'static str, statuses: &[u16], body: fn(u16) -> String| {
            let of = |status: &u16| {
                let fault = Fault::status(*status, content, &body(*status));
                (format!("status {status}"), fault)
            };
            statuses.iter().map(of).collect::<Vec<_>>()
        };
        let usual = [401, 403, 404, 407, 429, 500, 503];
        match self {
            Self::Upstream | Self::Mirror | Self::Index | Self::CrateFiles => {
                with("text/html", &usual, |_| "<p>no</p>".to_owned())
            }
            Self::Gitlab => with("application/json", &usual, |_| {
                "{\"message\":\"no\"}".to_owned()
            }),
            Self::GitlabReads => [401, 403, 404]
                .map(|status| {
                    let created = "{\"id\":1,\"status\":\"created\",\"web_url\":null}";
                    let fault = Fault::once_created(created, status, "{\"message\":\"no\"}");
                    (format!("status {status}"), fault)
                })
                .into(),
            Self::Bucket => with("application/xml", &usual, |_| String::new()),
            Self::Proxy => with("text/plain", &[403, 407, 502], |_| "no".to_owned()),
            Self::Smtp => {
                let greets = ["220 mail.example", "250-mail.example\r\n250 8BITMIME"];
                let says = |lines: &[&str]| {
                    Fault::Says(lines.iter().map(|&line| line.to_owned()).collect())
                };
                let with = |last: &[&str]| says(&[&greets[..], last].concat());
                vec![
                    ("421 at once".to_owned(), says(&["421 too busy"])),
                    ("530 to the sender".to_owned(), with(&["530 log in first"])),
                    ("550 to the sender".to_owned(), with(&["550 no"])),
                    (
                        "450 to the recipient".to_owned(),
                        with(&["250 ok", "450 later"]),
                    ),
                    (
                        "550 to the recipient".to_owned(),
                        with(&["250 ok", "550 no"]),
                    ),
                    ("HTTP".to_owned(), says(&["HTTP/1.1 400 Bad Request"])),
                ]
            }
        }
    }

    /// Runs the command that meets the cause.
    pub fn run(self, causes: &Causes, cause: &Cause) -> Output {
        let (arguments, mut variables) = self.command(causes, cause);
        if self == Self::CrateFiles {
            // Shorter than the first pause before another try.
            variables.push(("FERRY_NETWORK_TIMEOUT", "900ms".to_owned()));
        }
        if cause.is_silence {
            variables.push(("FERRY_NETWORK_IDLE_TIMEOUT", "300ms".to_owned()));
        }
        if let Some(file) = &cause.trusts {
            variables.push(("FERRY_NETWORK_CA_FILE", file.display().to_string()));
        }
        let variables: Vec<(String, String)> = base(causes)
            .into_iter()
            .chain(variables)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut program = match self {
            Self::Gitlab | Self::GitlabReads => trigger::command(&variables),
            _ => server::command(&variables),
        };
        program.args(arguments).output().unwrap()
    }

    fn command(self, causes: &Causes, cause: &Cause) -> (&'static [&'static str], Variables) {
        let address = &cause.address;
        let repository = format!("{address}/index.git");
        let local = causes.folder().join("index.git").display().to_string();
        let sync: &[&str] = &["sync", "--dry-run"];
        match self {
            Self::Upstream => (
                sync,
                vec![
                    ("FERRY_UPSTREAM_URL", repository),
                    ("FERRY_MIRROR_URL", local),
                ],
            ),
            Self::Mirror => (
                sync,
                vec![
                    ("FERRY_UPSTREAM_URL", local),
                    ("FERRY_MIRROR_URL", repository),
                ],
            ),
            Self::Index => (
                &["prefetch", "--all"],
                vec![("FERRY_SERVE_INDEX", repository)],
            ),
            Self::CrateFiles => (
                &["prefetch", "--all"],
                vec![
                    ("FERRY_UPSTREAM_URL", local),
                    ("FERRY_SERVE_DL", format!("{address}/dl")),
                ],
            ),
            Self::Gitlab => (&["fire"], gitlab(address.clone())),
            Self::GitlabReads => (&["fire", "--wait"], gitlab(address.clone())),
            Self::Smtp => {
                let server = match address.strip_prefix("https") {
                    Some(rest) => format!("smtps{}", rest.replace("//", "//me@")),
                    None => format!("{}?tls=none", address.replace("http://", "smtp://")),
                };
                let mut variables = vec![
                    ("FERRY_UPSTREAM_URL", local.clone()),
                    ("FERRY_MIRROR_URL", local),
                    ("FERRY_MAIL_SMTP", server.clone()),
                    ("FERRY_MAIL_FROM", "ferry@mirror.example".to_owned()),
                    ("FERRY_MAIL_TO", "ops@mirror.example".to_owned()),
                ];
                if server.contains('@') {
                    variables.push(("FERRY_SMTP_PASSWORD", "password-of-mail".to_owned()));
                }
                (&["check", "--mail"], variables)
            }
            Self::Bucket => (
                &["cache", "stat"],
                vec![
                    ("FERRY_UPSTREAM_URL", local),
                    ("FERRY_SERVE_STORE", "s3://crates".to_owned()),
                    ("AWS_ENDPOINT_URL", address.clone()),
                    ("AWS_ACCESS_KEY_ID", "access-key".to_owned()),
                    ("AWS_SECRET_ACCESS_KEY", "secret-of-the-bucket".to_owned()),
                    ("AWS_REGION", "us-east-1".to_owned()),
                ],
            ),
            Self::Proxy => (
                sync,
                vec![
                    (
                        "FERRY_UPSTREAM_URL",
                        "https://upstream.example/index.git".to_owned(),
                    ),
                    ("FERRY_MIRROR_URL", local),
                    ("HTTPS_PROXY", address.clone()),
                ],
            ),
        }
    }
}

type Variables = Vec<(&'static str, String)>;

fn base(causes: &Causes) -> Variables {
    vec![
        (
            "FERRY_SERVE_DATA_DIR",
            causes.folder().join("data").display().to_string(),
        ),
        ("FERRY_NETWORK_CONNECT_TIMEOUT", "2s".to_owned()),
        ("FERRY_NETWORK_TIMEOUT", "20s".to_owned()),
        ("FERRY_NETWORK_RETRIES", "0".to_owned()),
    ]
}

fn gitlab(address: String) -> Variables {
    vec![
        ("FERRY_TRIGGER_GITLAB", address),
        ("FERRY_TRIGGER_PROJECT", "rust/mirror".to_owned()),
        ("GITLAB_TRIGGER_TOKEN", "glptt-a-token-of-a-test".to_owned()),
        ("GITLAB_READ_TOKEN", "glpat-a-token-of-a-test".to_owned()),
    ]
}
