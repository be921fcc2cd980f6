//! The table of keys: what `ferry.yml` may hold. A new key is one line here, with its documentation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::keys::key_table;
use super::mail::{self, Mailbox, SmtpServer};
use super::serve::{self, AccessLog, Downloads, OfflineIndex, StoreUrl};
use super::trigger::{self, Rhythm};
use super::values::{self, History};
use crate::git::RemoteUrl;
use crate::git::objects::Author;

key_table! {
    /// The repository that the index comes from.
    upstream: Upstream {
        /// `upstream.url`, `FERRY_UPSTREAM_URL`.
        url: RemoteUrl = or_default("url", values::remote_url, "https://github.com/rust-lang/crates.io-index");
        /// `upstream.branch`, `FERRY_UPSTREAM_BRANCH`, default `master`.
        branch: String = or_default("branch", values::branch, "master");
    }

    /// The git repository that we push to.
    mirror: Mirror {
        /// `mirror.url`, `FERRY_MIRROR_URL`; needed by `init`, `sync` and `check`.
        url: RemoteUrl = needed("url", values::remote_url);
        /// `mirror.branch`, `FERRY_MIRROR_BRANCH`, default `master`.
        branch: String = or_default("branch", values::branch, "master");
        /// `mirror.history`, `FERRY_MIRROR_HISTORY`; where it is not given, `init` takes `merge` and `sync` what it finds.
        history: Option<History> = optional("history", values::history);
        /// `mirror.dl`, `FERRY_MIRROR_DL`: the `dl` of the mirror's `config.json`.
        dl: Option<String> = optional("dl", values::web_address);
        /// `mirror.api`, `FERRY_MIRROR_API`: the `api` of the mirror's `config.json`.
        api: Option<String> = optional("api", values::web_address);
        /// `mirror.author`, `FERRY_MIRROR_AUTHOR`: who makes the mirror's commits.
        author: Author = or_default("author", values::author, "crates-ferry <crates-ferry@localhost>");
        /// `mirror.keep`, `FERRY_MIRROR_KEEP`: globs of paths that are the mirror's own whatever upstream does.
        keep: Vec<String> = list("keep", values::glob);
        /// `mirror.max_root_loss`, `FERRY_MIRROR_MAX_ROOT_LOSS`: the share of root entries (0 to 1) that upstream may
        /// lose, given in per cent, default `20%`.
        max_root_loss: f64 = or_default("max_root_loss", values::share, "20%");
    }

    /// Time limits and retries.
    network: Network {
        /// `network.connect_timeout`, default 10 s: for a connection to be usable.
        connect_timeout: Duration = or_default("connect_timeout", values::duration, "10s");
        /// `network.idle_timeout`, default 60 s: the longest silence of a server.
        idle_timeout: Duration = or_default("idle_timeout", values::duration, "60s");
        /// `network.timeout`, default 15 min: for the whole command.
        timeout: Duration = or_default("timeout", values::duration, "15m");
        /// `network.retries`, default 2: how often a look that failed for a passing reason is taken again.
        retries: u32 = or_default("retries", values::count, "2");
        /// `network.ca_file`, `FERRY_NETWORK_CA_FILE`, else `GIT_SSL_CAINFO`, `CURL_CA_BUNDLE`, `CI_SERVER_TLS_CA_FILE`:
        /// the PEM text of certificates that are trusted besides the system's.
        extra_cas: Option<String> = optional("ca_file", values::certificates);
    }

    /// The mails that tell a person of failures.
    mail: Mail {
        /// `mail.smtp`, `FERRY_MAIL_SMTP`: the server that takes the mails; without one none is sent.
        smtp: Option<SmtpServer> = optional("smtp", mail::smtp_server);
        /// `mail.from`, `FERRY_MAIL_FROM`: the sender's address.
        from: Option<Mailbox> = optional("from", mail::mailbox);
        /// `mail.to`, `FERRY_MAIL_TO`: the recipients' addresses.
        to: Vec<Mailbox> = list("to", mail::mailbox);
        /// `mail.state`, `FERRY_MAIL_STATE`: a file that remembers what was mailed, so that the same is not mailed again at once.
        state: Option<PathBuf> = optional("state", values::path);
        /// `mail.repeat_after`, `FERRY_MAIL_REPEAT_AFTER`, default 6 h: when the same failure is mailed again.
        repeat_after: Duration = or_default("repeat_after", values::duration, "6h");
    }

    /// The helper that fires the mirror's pipeline.
    trigger: Trigger {
        /// `trigger.gitlab`, `FERRY_TRIGGER_GITLAB`: the GitLab server, default `https://gitlab.com`.
        gitlab: Url = or_default("gitlab", trigger::server, "https://gitlab.com");
        /// `trigger.project`, `FERRY_TRIGGER_PROJECT`: the project whose pipeline is fired, by path or number.
        project: String = needed("project", trigger::project);
        /// `trigger.ref`, `FERRY_TRIGGER_REF`: the branch or tag that the pipeline runs for, default `main`.
        reference: String = or_default("ref", trigger::reference, "main");
        /// `trigger.variables`, `FERRY_TRIGGER_VARIABLES`: CI/CD variables of the pipeline.
        variables: BTreeMap<String, String> = map("variables", trigger::pair);
        /// `trigger.inputs`, `FERRY_TRIGGER_INPUTS`: inputs of the pipeline (`spec:inputs`).
        inputs: BTreeMap<String, String> = map("inputs", trigger::pair);
        /// `trigger.listen`, `FERRY_TRIGGER_LISTEN`: where the endpoint listens, default `127.0.0.1:8095`.
        listen: SocketAddr = or_default("listen", trigger::listen, "127.0.0.1:8095");
        /// `trigger.every`, `FERRY_TRIGGER_EVERY`: the clock: a duration or a cron expression; without it there is none.
        every: Option<Rhythm> = optional("every", trigger::rhythm);
        /// `trigger.time_zone`, `FERRY_TRIGGER_TIME_ZONE`: where a cron expression is read, default `UTC`.
        time_zone: String = or_default("time_zone", trigger::word, "UTC");
        /// `trigger.jitter`, `FERRY_TRIGGER_JITTER`, default 30 s: the clock fires late by up to this, at random.
        jitter: Duration = or_default("jitter", trigger::jitter, "30s");
        /// `trigger.poll`, `FERRY_TRIGGER_POLL`: how often the watch looks whether upstream moved; without it there is none.
        poll: Option<Duration> = optional("poll", values::duration);
        /// `trigger.min_interval`, `FERRY_TRIGGER_MIN_INTERVAL`, default 60 s: the least time between two pipelines.
        min_interval: Duration = or_default("min_interval", values::duration, "60s");
        /// `trigger.assume_running`, `FERRY_TRIGGER_ASSUME_RUNNING`, default 5 min: how long a pipeline counts as under
        /// way where nothing is known of it.
        assume_running: Duration = or_default("assume_running", values::duration, "5m");
        /// `trigger.alarm_after`, `FERRY_TRIGGER_ALARM_AFTER`, default 1 h: how long the mirror may be behind without
        /// moving before a person is told.
        alarm_after: Duration = or_default("alarm_after", values::duration, "1h");
        /// `trigger.query_token`, `FERRY_TRIGGER_QUERY_TOKEN`, default false: takes the token from `?token=` too.
        query_token: bool = or_default("query_token", trigger::yes_or_no, "false");
        /// `trigger.rate_limit`, `FERRY_TRIGGER_RATE_LIMIT`, default 6000: how many requests to fire are answered a minute.
        rate_limit: u32 = or_default("rate_limit", trigger::rate, "6000");
    }

    /// The API server.
    serve: Serve {
        /// `serve.listen`, `FERRY_SERVE_LISTEN`: where the server listens, default `127.0.0.1:8090`.
        listen: SocketAddr = or_default("listen", trigger::listen, "127.0.0.1:8090");
        /// `serve.public_url`, `FERRY_SERVE_PUBLIC_URL`: how clients reach the server; by default what it listens on.
        public_url: Option<Url> = optional("public_url", serve::public_url);
        /// `serve.data_dir`, `FERRY_SERVE_DATA_DIR`: the folder of everything that is kept, default `./ferry-data`.
        data_dir: PathBuf = or_default("data_dir", values::path, "./ferry-data");
        /// `serve.index`, `FERRY_SERVE_INDEX`: the repository that is served, by default the mirror, else upstream.
        index: Option<RemoteUrl> = optional("index", values::remote_url);
        /// `serve.branch`, `FERRY_SERVE_BRANCH`: its branch, by default the mirror's or upstream's.
        branch: Option<String> = optional("branch", values::branch);
        /// `serve.dl`, `FERRY_SERVE_DL`: where crate files come from, by default the `dl` of upstream's own `config.json`.
        dl: Option<String> = optional("dl", values::web_address);
        /// `serve.downloads`, `FERRY_SERVE_DOWNLOADS`, default `cache`: what is done about crate files.
        downloads: Downloads = or_default("downloads", serve::downloads, "cache");
        /// `serve.offline_index`, `FERRY_SERVE_OFFLINE_INDEX`, default `full`: what the index lists with `downloads: offline`.
        offline_index: OfflineIndex = or_default("offline_index", serve::offline_index, "full");
        /// `serve.refresh`, `FERRY_SERVE_REFRESH`, default 60 s: how often the index is looked at.
        refresh: Duration = or_default("refresh", values::duration, "60s");
        /// `serve.stale_after`, `FERRY_SERVE_STALE_AFTER`, default 1 h: for how long a look at the index may fail before
        /// the server is no longer ready.
        stale_after: Duration = or_default("stale_after", values::duration, "1h");
        /// `serve.store`, `FERRY_SERVE_STORE`: where crate files are kept, a folder or `s3://bucket/prefix`; by default the
        /// folder `crates` of `data_dir`.
        store: Option<StoreUrl> = optional("store", serve::store);
        /// `serve.max_size`, `FERRY_SERVE_MAX_SIZE`: how many bytes of crate files are kept; without it any number.
        max_size: Option<u64> = optional("max_size", serve::size);
        /// `serve.max_idle`, `FERRY_SERVE_MAX_IDLE`: for how long a crate file that nobody asks for is kept; without it forever.
        max_idle: Option<Duration> = optional("max_idle", values::duration);
        /// `serve.memory`, `FERRY_SERVE_MEMORY`, default 256 MiB: how many bytes of hot files are kept in memory.
        memory: u64 = or_default("memory", serve::size, "256MiB");
        /// `serve.upstream_connections`, `FERRY_SERVE_UPSTREAM_CONNECTIONS`, default 16: how many crate files are fetched
        /// at the same time.
        upstream_connections: u32 = or_default("upstream_connections", serve::connections, "16");
        /// `serve.contact`, `FERRY_SERVE_CONTACT`: the address in the User-Agent by which upstream can reach you.
        contact: Option<String> = optional("contact", serve::contact);
        /// `serve.tls.cert`, `FERRY_SERVE_TLS_CERT`: the PEM file of the server's certificate and those above it.
        tls_cert: Option<PathBuf> = optional("tls.cert", values::path);
        /// `serve.tls.key`, `FERRY_SERVE_TLS_KEY`: the PEM file of the certificate's private key.
        tls_key: Option<PathBuf> = optional("tls.key", values::path);
        /// `serve.auth`, `FERRY_SERVE_AUTH`: the file of the SHA-256 hashes of tokens that open the server; without it
        /// everybody may use it.
        auth: Option<PathBuf> = optional("auth", values::path);
        /// `serve.access_log`, `FERRY_SERVE_ACCESS_LOG`, default `stderr`: where each request is logged as a line of JSON:
        /// `stderr`, `off`, or a file.
        access_log: AccessLog = or_default("access_log", serve::access_log, "stderr");
    }
}
