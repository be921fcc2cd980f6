//! The table of keys: what `ferry.yml` may hold. A new key is one line here, below its description.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::key_table::key_table;
use super::keys::Key;
use super::values::addresses::Addresses;
use super::values::catalog::{self, DumpSource};
use super::values::durations::{self, Rhythm};
use super::values::git::{self, History};
use super::values::policy::{self, OnAdvisory, Rule, Withdrawn};
use super::values::serve::{self, AccessLog, Downloads, OfflineIndex, StoreUrl};
use super::values::smtp::{self, Mailbox, SmtpServer};
use super::values::trusted::{self, TrustedRule};
use super::values::{addresses, numbers, paths, trigger};
use crate::git::RemoteUrl;
use crate::git::objects::Author;
use crate::git::transport::Proxies;
use crate::index::{CrateName, NamePattern};

key_table! {
    /// The repository that the index comes from.
    upstream: Upstream {
        /// The repository that the index comes from.
        url: RemoteUrl = or_default("url", addresses::remote_url, "https://github.com/rust-lang/crates.io-index") flag "--upstream";
        /// Its branch.
        branch: String = or_default("branch", git::branch, "master");
    }

    /// The git repository that we push to.
    mirror: Mirror {
        /// The git repository to push to. Needed by `init`, `sync` and `check`.
        url: RemoteUrl = needed("url", addresses::remote_url) flag "--mirror";
        /// Its branch.
        branch: String = or_default("branch", git::branch, "master");
        /// `merge` or `snapshot`. Without it `init` takes `merge`, and `sync` keeps what the mirror has.
        history: Option<History> = optional("history", git::history) flag "--history";
        /// The `dl` of the mirror's `config.json`: where cargo downloads crate files. `init` writes it; without it
        /// upstream's own stays.
        dl: Option<String> = optional("dl", addresses::dl) flag "--dl";
        /// The `api` of the mirror's `config.json`: where cargo finds the web API. `init` writes it, as `mirror.dl`.
        api: Option<String> = optional("api", addresses::web_address) flag "--api";
        /// Author and committer of the mirror's commits.
        author: Author = or_default("author", git::author, "crates-ferry <crates-ferry@localhost>");
        /// A list of globs. Paths that match stay as the mirror has them, whatever upstream does.
        keep: Vec<String> = list("keep", git::glob);
        /// An upstream that lost more of its root entries is refused without `--allow-loss`. A root of fewer than 500
        /// entries may lose less than half. One that lost `config.json` is always refused.
        max_root_loss: f64 = or_default("max_root_loss", numbers::share, "20%");
    }

    /// Time limits and retries.
    network: Network {
        /// The longest time until a connection can be used.
        connect_timeout: Duration = or_default("connect_timeout", durations::duration, "10s");
        /// The longest silence of a server, and how long a crate file or a dump may come at less than 1 KiB a second.
        idle_timeout: Duration = or_default("idle_timeout", durations::duration, "60s");
        /// The longest time for a whole command.
        timeout: Duration = or_default("timeout", durations::duration, "15m");
        /// How often a request is repeated after a failure that may pass, and not before the time that a server asks for (`Retry-After`).
        retries: u32 = or_default("retries", numbers::count, "2");
        /// A PEM file of certificates that are trusted besides the system's: of authorities, or a server's own. Without it
        /// the files that `GIT_SSL_CAINFO`, `CURL_CA_BUNDLE` and `CI_SERVER_TLS_CA_FILE` name.
        extra_cas: Option<String> = optional("ca_file", paths::certificates);
        + proxies: Proxies = "The proxies that HTTP goes through, which other tools' variables name.";
    }

    /// The mails that tell a person of failures.
    mail: Mail {
        /// The mail server: `smtps://user@host` or `smtp://user@host:587`. Needed for mails, with `mail.from` and
        /// `mail.to`.
        smtp: Option<SmtpServer> = optional("smtp", smtp::smtp_server);
        /// The sender's address.
        from: Option<Mailbox> = optional("from", smtp::mailbox);
        /// A list of the recipients' addresses.
        to: Vec<Mailbox> = mailboxes("to", smtp::mailbox);
        /// The name that this machine gives to the mail server (EHLO): a domain, or an address such as `[192.0.2.1]`. By
        /// default the domain of `mail.from`, or the machine's address if that is no full domain.
        hello: Option<Host> = optional("hello", smtp::hello);
        /// A file that records what was mailed, so that the same failure is not mailed with every run.
        state: Option<PathBuf> = optional("state", paths::path);
        /// When the same kind of failure is mailed again.
        repeat_after: Duration = or_default("repeat_after", durations::duration, "6h");
    }

    /// The helper that creates pipelines of the mirror's project.
    trigger: Trigger {
        /// The GitLab server.
        gitlab: Url = or_default("gitlab", addresses::gitlab_server, "https://gitlab.com");
        /// The project whose pipeline is created: its path or its ID. Needed by `crates-ferry-trigger`.
        project: String = needed("project", trigger::project);
        /// The branch or tag that the pipeline runs for.
        reference: String = or_default("ref", git::reference, "main");
        /// A mapping: CI/CD variables of the pipeline.
        variables: BTreeMap<String, String> = map("variables", trigger::pair);
        /// A mapping: inputs of the pipeline (`spec:inputs`).
        inputs: BTreeMap<String, String> = map("inputs", trigger::pair);
        /// The address and port of the helper's endpoint.
        listen: SocketAddr = or_default("listen", addresses::listen, "127.0.0.1:8095") flag "--listen";
        /// How often the clock creates a pipeline: a duration, or a cron expression. Without it there is no clock.
        every: Option<Rhythm> = optional("every", durations::rhythm);
        /// The time zone of a cron expression, such as `Europe/Berlin`.
        time_zone: String = or_default("time_zone", trigger::time_zone, "UTC");
        /// The longest random delay of the clock.
        jitter: Duration = or_default("jitter", durations::duration_or_zero, "30s");
        /// How often the watch polls both repositories. Without it there is no watch. Needs `mirror.url`.
        poll: Option<Duration> = optional("poll", durations::duration);
        /// The least time between two pipelines.
        min_interval: Duration = or_default("min_interval", durations::duration, "60s");
        /// How long a pipeline counts as running if nothing says that it ended.
        assume_running: Duration = or_default("assume_running", durations::duration, "5m");
        /// How long the mirror may stay behind before a mail is sent.
        alarm_after: Duration = or_default("alarm_after", durations::duration, "1h");
        /// Accepts the endpoint's token as `?token=`, too.
        query_token: bool = or_default("query_token", numbers::yes_or_no, "false");
        /// How many `POST` requests are accepted a minute. Those without a valid token have a limit of their own, of the same
        /// size.
        rate_limit: u32 = or_default("rate_limit", numbers::rate, "6000");
    }

    /// The API server.
    serve: Serve {
        /// The address and port of the API server. `up` listens on `127.0.0.1:8080` by default.
        listen: SocketAddr = or_default("listen", addresses::listen, "127.0.0.1:8090") flag "--listen";
        /// The address by which clients reach the server. By default the one that each request names, if it is loopback,
        /// what the server listens on, or in `serve.hosts`.
        public_url: Option<Url> = optional("public_url", addresses::public_url) flag "--public-url";
        /// The directory of everything that the server stores.
        data_dir: PathBuf = or_default("data_dir", paths::path, "./ferry-data") flag "--data-dir";
        /// The index repository that is served. By default the mirror, else upstream.
        index: Option<RemoteUrl> = optional("index", addresses::remote_url) flag "--index";
        /// Its branch. By default the mirror's or upstream's.
        branch: Option<String> = optional("branch", git::branch);
        /// Where crate files are fetched from. By default the `dl` of upstream's own `config.json`.
        dl: Option<String> = optional("dl", addresses::dl);
        /// A list of hosts, by name or address, from which crate files are fetched although they are in a private network and
        /// the upstream index is not.
        allow_private: Vec<String> = list("allow_private", addresses::host);
        /// `cache`, `redirect` or `offline`: how crate files are served. The flag `--offline` sets `offline`.
        downloads: Downloads = or_default("downloads", serve::downloads, "cache") flag "--offline";
        /// `full` or `held`: what the index lists when `serve.downloads` is `offline`.
        offline_index: OfflineIndex = or_default("offline_index", serve::offline_index, "full");
        /// How often the index repository is polled.
        refresh: Duration = or_default("refresh", durations::duration, "60s");
        /// For how long polls of the index may fail before `/readyz` fails.
        stale_after: Duration = or_default("stale_after", durations::duration, "1h");
        /// Where crate files are stored: a directory, or `s3://bucket/prefix`. By default the directory `crates` in
        /// `serve.data_dir`.
        store: Option<StoreUrl> = optional("store", serve::store) flag "--store";
        /// The most bytes of crate files that a directory stores. By default no limit.
        max_size: Option<u64> = optional("max_size", numbers::size);
        /// How long a crate file that nobody asks for stays in a directory. By default no limit.
        max_idle: Option<Duration> = optional("max_idle", durations::duration);
        /// The size of the memory caches: half for index entries, half for crate files. What clients have not read yet comes
        /// on top.
        memory: u64 = or_default("memory", numbers::size, "256MiB");
        /// How many crate files are fetched at the same time, 1 to 1024.
        upstream_connections: u32 = or_default("upstream_connections", numbers::connections, "16");
        /// An address by which upstream can reach you, sent in the User-Agent.
        contact: Option<String> = optional("contact", serve::contact);
        /// The PEM file of the server's certificate chain. Needs `serve.tls.key`.
        tls_cert: Option<PathBuf> = optional("tls.cert", paths::path);
        /// The PEM file of the certificate's private key.
        tls_key: Option<PathBuf> = optional("tls.key", paths::path);
        /// The file of the tokens' SHA-256 hashes. Without it all who reach the server may read the mirror.
        auth: Option<PathBuf> = optional("auth", paths::path);
        /// A list of hosts, by name or address, by which clients may reach the server where `serve.public_url` is not set,
        /// besides loopback and the address that it listens on.
        hosts: Vec<String> = list("hosts", addresses::host);
        /// A list of proxies in front of the server, by address or network, such as `10.0.0.0/8`: of requests that come from
        /// there `X-Forwarded-For` tells the client's address.
        trusted_proxies: Vec<Addresses> = list("trusted_proxies", addresses::addresses);
        /// `on` or `off`: whether the server keeps a catalog of the index's crates, and so answers searches.
        catalog: bool = or_default("catalog", numbers::on_or_off, "on");
        /// For how long it is recorded who fetched which crate file, by the name of a token or by address, or `off`. For
        /// `crates-ferry audit`.
        audit: Option<Duration> = or_default("audit", durations::duration_or_off, "90d");
        /// `stderr`, `off`, or a file.
        access_log: AccessLog = or_default("access_log", serve::access_log, "stderr");
    }

    /// What the server holds back, and what it refuses.
    policy: Policy {
        /// How long a new version is on hold: cargo takes it only where a lockfile names it already. Without it nothing is.
        min_age: Option<Duration> = optional("min_age", durations::duration);
        /// How long a yank shows late that would leave its compatible line with nothing but versions on hold or denied. By
        /// default `policy.min_age`.
        yank_hold: Option<Duration> = optional("yank_hold", durations::duration_or_zero);
        /// A git repository of security advisories in the format of RustSec's, such as `https://github.com/rustsec/advisory-db`.
        /// Its default branch is read. Without it no advisory counts.
        advisories: Option<RemoteUrl> = optional("advisories", addresses::remote_url);
        /// `off`, `warn`, `hold` or `deny`: what becomes of a version that an advisory calls malicious.
        malicious: OnAdvisory = or_default("malicious", policy::on_advisory, "deny");
        /// The same for a version that has a vulnerability.
        vulnerable: OnAdvisory = or_default("vulnerable", policy::on_advisory, "warn");
        /// The same for one that is unmaintained or unsound, or of which there is anything else to know.
        informational: OnAdvisory = or_default("informational", policy::on_advisory, "off");
        /// A list of rules: crates, or versions of them, that are not on hold; and advisories by their ids, such as
        /// `RUSTSEC-2024-0001`, that decide nothing.
        allow: Vec<Rule> = rules("allow", policy::rule);
        /// A list of rules: crates, or versions of them, that are refused. `deny` wins over `allow`.
        deny: Vec<Rule> = rules("deny", policy::rule);
        /// `refuse` or `serve`: what becomes of versions whose line vanished from the index, or has another checksum. `refuse` is the
        /// default where anything is on hold, denied or reserved.
        withdrawn: Option<Withdrawn> = optional("withdrawn", policy::withdrawn);
        /// A list of crates, such as `acme-*`, that are never taken from upstream. Those of the mirror are not on hold.
        reserved: Vec<NamePattern> = list("reserved", policy::reserved);
    }

    /// The registry of private crates, beside the mirror.
    private: Private {
        /// The git repository of the private crates' index, to which publishing pushes. Without it there is none; `up` makes one
        /// of its own, `private/repository.git` in `serve.data_dir`.
        index: Option<RemoteUrl> = optional("index", addresses::remote_url);
        /// Its branch. By default the one that the repository's HEAD names, else `main`.
        branch: Option<String> = optional("branch", git::branch);
        /// Where the private crate files are stored: a directory, or `s3://bucket/prefix`. By default `private` below
        /// `serve.store`. Nothing there is evicted.
        store: Option<StoreUrl> = optional("store", serve::store);
        /// A list of crates, such as `acme-*`, that may be published. They are never taken from upstream, as those of
        /// `policy.reserved`, and never empty. Without it every name may be published that the public index does not have.
        names: Vec<NamePattern> = list("names", policy::reserved);
        /// The largest crate file that may be published.
        max_size: u64 = or_default("max_size", numbers::crate_size, "20MiB");
        /// A list of rules, each a mapping: which jobs of CI may publish which crates, by their OIDC tokens.
        trusted: Vec<TrustedRule> = trusted("trusted", trusted::trusted);
    }

    /// The probe that switches cargo between crates.io and the mirror.
    probe: Probe {
        /// The address of crates.io's sparse index, for `probe`. By default the one that cargo used last, as its own directory
        /// (`$CARGO_HOME`) tells.
        index: Option<Url> = optional("index", addresses::sparse_index) flag "--crates-io";
        /// A small crate that both have: `probe` fetches its entry in the index and a crate file.
        crate_name: CrateName = or_default("crate", serve::crate_name, "cfg-if");
        /// How many probes in a row must fail before cargo is switched to the fallback.
        failures: u32 = or_default("failures", numbers::rate, "3");
        /// How many probes in a row must succeed before cargo is switched back.
        successes: u32 = or_default("successes", numbers::rate, "3");
        /// How long a probe waits for crates.io, and for the mirror.
        timeout: Duration = or_default("timeout", durations::duration, "20s");
    }

    /// What the server knows of crates beyond the index.
    catalog: Catalog {
        /// crates.io's database dump, `db-dump.tar.gz`: a file, or an address that begins with `https://` or `http://`. From
        /// there come descriptions, downloads and owners of crates. Without it nothing is imported.
        import: Option<DumpSource> = optional("import", catalog::dump_source);
        /// How often the dump is imported. One that has not changed is not fetched again.
        import_every: Duration = or_default("import_every", durations::duration, "1d");
    }

    /// The whole mirror in one process.
    up: Up {
        /// How often `up` syncs the mirror.
        every: Duration = or_default("every", durations::duration, "5m");
        /// Whether `up` makes the first commit of an empty mirror, as `init --history snapshot` does.
        init: bool = or_default("init", numbers::yes_or_no, "false") flag "--init";
    }
}

/// Returns the key of the table that has this path.
///
/// # Panics
/// Where the table has none: every path is written in the code, most of them by the table itself.
pub(super) fn key(path: &str) -> &'static Key {
    match KEYS.iter().find(|key| key.path == path) {
        Some(key) => key,
        None => unreachable!("the table of keys has no {path}"),
    }
}
