//! Runs the real `crates-ferry serve` over an index and a host of crate files.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;

use super::crate_host::CrateHost;
use super::upstream::{Commit, Upstream, index_path};

/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(60);
/// The secret of the webhooks.
pub const HOOK_TOKEN: &str = "secret-of-the-hooks";

/// An index, a host of its crate files, and a folder for a server's data.
pub struct Site {
    /// Everything is in here.
    pub folder: TempDir,
    /// The index.
    pub index: Upstream,
    /// The host of crate files.
    pub host: CrateHost,
    lines: std::collections::BTreeMap<String, String>,
}

impl Site {
    /// Makes an index of no crate yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = CrateHost::start();
        let mut index = Upstream::create(folder.path(), "index.git");
        let config = format!(
            "{{\"dl\":\"{}\",\"api\":\"http://127.0.0.1:1\"}}",
            host.dl()
        );
        index.commit([Commit::new("Make the config").file("config.json", config)]);
        let lines = Default::default();
        Self {
            folder,
            index,
            host,
            lines,
        }
    }

    /// Returns the variables of a server.
    pub fn variables(&self) -> Vec<(String, String)> {
        let index = self.index.path().display().to_string();
        let data = self.data().display().to_string();
        [
            ("FERRY_UPSTREAM_URL", index),
            ("FERRY_SERVE_DATA_DIR", data),
            ("FERRY_SERVE_LISTEN", "127.0.0.1:0".to_owned()),
            ("FERRY_SERVE_REFRESH", "1h".to_owned()),
            ("FERRY_NETWORK_RETRIES", "1".to_owned()),
            ("FERRY_HOOK_TOKEN", HOOK_TOKEN.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Returns the variables of a server, and further ones.
    pub fn variables_and(&self, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables().into_iter().chain(pairs).collect()
    }

    /// Returns the server's folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns where a crate file is kept.
    pub fn kept(&self, name: &str, version: &str) -> PathBuf {
        let file = format!("{name}-{version}.crate");
        self.data().join("crates").join(index_path(name)).join(file)
    }

    /// Says when kept files were used last, in seconds since 1970.
    pub fn set_used(&self, uses: &[(&str, &str, u64)]) {
        let catalog = rusqlite::Connection::open(self.data().join("catalog.sqlite")).unwrap();
        for (name, version, used) in uses {
            let file = format!("{name}-{version}.crate");
            let path = format!("{}/{file}", index_path(name));
            let set = "UPDATE files SET used = ?2 WHERE path = ?1";
            assert_eq!(catalog.execute(set, (path, used)), Ok(1));
        }
    }

    /// Publishes a version whose crate file has these bytes.
    pub fn publish(&mut self, name: &str, version: &str, bytes: &[u8]) {
        self.publish_at(name, version, bytes, None);
    }

    /// Publishes a version whose line says when that was, as newer ones do.
    pub fn publish_at(&mut self, name: &str, version: &str, bytes: &[u8], at: Option<Timestamp>) {
        self.host.put(name, version, bytes.to_vec());
        let mut line = serde_json::json!({
            "name": name, "vers": version, "deps": [], "cksum": sha256(bytes), "features": {}, "yanked": false
        });
        if let Some(at) = at {
            // As crates.io writes it.
            line["pubtime"] = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        }
        let lines = self.lines.entry(name.to_owned()).or_default();
        lines.push_str(&format!("{line}\n"));
        let commit = Commit::new(format!("Update crate `{name}`"));
        self.index
            .commit([commit.file(&index_path(&name.to_ascii_lowercase()), lines.as_str())]);
    }

    /// Takes versions back: their lines are gone, and those of a crate without any is gone as a whole.
    pub fn withdraw(&mut self, name: &str, versions: &[&str]) {
        let lines = self.lines.get_mut(name).unwrap();
        let is_gone = |line: &str| {
            let mut marks = versions
                .iter()
                .map(|version| format!("\"vers\":\"{version}\""));
            marks.any(|mark| line.contains(&mark))
        };
        *lines = lines
            .split_inclusive('\n')
            .filter(|line| !is_gone(line))
            .collect();
        let path = index_path(&name.to_ascii_lowercase());
        let commit = Commit::new(format!("Update crate `{name}`"));
        self.index.commit([match lines.is_empty() {
            true => commit.without(&path),
            false => commit.file(&path, lines.as_str()),
        }]);
    }

    /// Yanks a version.
    pub fn yank(&mut self, name: &str, version: &str) {
        self.set_yanked(name, version, true);
    }

    /// Takes the yank of a version back.
    pub fn unyank(&mut self, name: &str, version: &str) {
        self.set_yanked(name, version, false);
    }

    fn set_yanked(&mut self, name: &str, version: &str, is_yanked: bool) {
        let lines = self.lines.get_mut(name).unwrap();
        let mark = format!("\"vers\":\"{version}\"");
        let yanked = |is_yanked: bool| format!("\"yanked\":{is_yanked}");
        let changed = lines
            .split_inclusive('\n')
            .map(|line| match line.contains(&mark) {
                true => line.replace(&yanked(!is_yanked), &yanked(is_yanked)),
                false => line.to_owned(),
            });
        *lines = changed.collect();
        let commit = Commit::new(format!("Update crate `{name}`"));
        let path = index_path(&name.to_ascii_lowercase());
        self.index.commit([commit.file(&path, lines.as_str())]);
    }

    /// Starts a server and waits until it is ready.
    pub fn serve(&self, pairs: &[(&str, &str)]) -> Server {
        let server = Server::start(&self.variables_and(pairs));
        server.wait_until_ready();
        server
    }

    /// Runs another command on the server's data.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&[], arguments)
    }

    /// Runs another command on the server's data, with further variables.
    pub fn run_with(&self, pairs: &[(&str, &str)], arguments: &[&str]) -> Output {
        command(&self.variables_and(pairs))
            .args(arguments)
            .output()
            .unwrap()
    }
}

/// Returns bytes that do not compress, and are the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Returns the checksum of bytes as an index writes it.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// Prepares a command of the program, with nothing of the surrounding environment.
pub fn command(variables: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crates-ferry"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(variables.iter().cloned()).stdin(Stdio::null());
    command
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Got {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its body, as far as it came; `is_whole` says whether it came to its end.
    pub body: Vec<u8>,
    /// The body came to its end.
    pub is_whole: bool,
}

impl Got {
    /// Returns a header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns what cargo would show of an error.
    pub fn detail(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        json["errors"][0]["detail"].as_str().unwrap().to_owned()
    }
}

/// A running server; dropping it kills it.
pub struct Server {
    process: Child,
    url: String,
    /// The file of its certificate, which clients trust.
    certificate: Option<PathBuf>,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start(variables: &[(String, String)]) -> Self {
        Self::run(variables, command(variables))
    }

    /// Starts `up`, which prints into this file, and waits until it listens.
    pub fn up(variables: &[(String, String)], arguments: &[&str], printed: &Path) -> Self {
        let mut command = command(variables);
        command
            .args([&["-v", "up"], arguments].concat())
            .stdout(std::fs::File::create(printed).unwrap());
        Self::spawn(variables, command)
    }

    /// Starts a server that logs in this format, and waits until it listens.
    pub fn start_in(format: &str, variables: &[(String, String)]) -> Self {
        let mut command = command(variables);
        command.args(["--format", format]);
        Self::run(variables, command)
    }

    /// Starts a server that may have so many files open, and not more.
    pub fn start_with_open_files(variables: &[(String, String)], limit: u32) -> Self {
        let mut shell = Command::new("sh");
        let program = command(variables);
        shell
            .args(["-c", "ulimit -n \"$0\"; exec \"$@\"", &limit.to_string()])
            .arg(program.get_program())
            .env_clear()
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        Self::run(variables, shell)
    }

    fn run(variables: &[(String, String)], mut command: Command) -> Self {
        command.args(["-v", "serve"]);
        Self::spawn(variables, command)
    }

    /// Starts a command that serves, and waits until it listens.
    pub fn spawn(variables: &[(String, String)], mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<String>>::default();
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some((_, found)) = line.split_once("listening on ") {
                let scheme = if found.contains("https") {
                    "https"
                } else {
                    "http"
                };
                let address = found.split([' ', '"']).next().unwrap();
                url = Some(format!("{scheme}://{address}"));
                break;
            }
        }
        let certificate = variables.iter().find_map(|(name, value)| {
            (name == "FERRY_SERVE_TLS_CERT").then(|| PathBuf::from(value))
        });
        let kept = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            process,
            url: url.unwrap_or_else(|| panic!("it does not listen: {}", log.lock().unwrap())),
            certificate,
            log,
            reading: Some(reading),
        }
    }

    /// Waits until it says that it is ready.
    pub fn wait_until_ready(&self) {
        self.wait_for("ready", || {
            self.ask("GET", "/readyz", &[], b"")
                .is_ok_and(|got| got.status == 200)
        });
    }

    /// Waits until something is true.
    pub fn wait_for(&self, what: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + BOUND;
        while !is_met() {
            assert!(Instant::now() < deadline, "not {what}: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Returns an address.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Opens a connection.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).unwrap()
    }

    /// Gets a path.
    pub fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[], b"").unwrap()
    }

    /// Gets a path with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        self.ask("GET", path, headers, b"").unwrap()
    }

    /// Gets a crate's file in the index.
    pub fn entry(&self, name: &str) -> Got {
        self.get(&format!("/index/{}", index_path(name)))
    }

    /// Downloads a crate file.
    pub fn download(&self, name: &str, version: &str) -> Got {
        self.get(&format!("/api/v1/crates/{name}/{version}/download"))
    }

    /// Says that the index was pushed to.
    pub fn push_hook(&self) -> Got {
        let headers = [
            ("X-Gitlab-Token", HOOK_TOKEN),
            ("X-Gitlab-Event", "Push Hook"),
        ];
        let body = br#"{"object_kind":"push","ref":"refs/heads/master"}"#;
        self.ask("POST", "/hooks/gitlab", &headers, body).unwrap()
    }

    /// Returns a number of its metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name}: {text}"))
            .parse()
            .unwrap()
    }

    /// Makes a request.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Got, reqwest::Error> {
        let trusted = self.certificate.iter().map(|path| {
            let pem = std::fs::read(path).unwrap();
            reqwest::Certificate::from_pem(&pem).unwrap()
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(trusted)
            .redirect(reqwest::redirect::Policy::none());
        ask(client, method, &self.url(path), headers, body)
    }

    /// Returns what it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns the most memory that it had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        });
        1024 * peak.unwrap_or(0_u64)
    }

    /// Sets how many files it may have open from now on; returns how many there were before.
    pub fn set_open_files(&self, limit: Option<u64>) -> Option<u64> {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = Pid::from_child(&self.process);
        let limit = Rlimit {
            current: limit,
            // A child process that is not root's could not raise it again.
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Some(pid), Resource::Nofile, limit).unwrap().current
    }

    /// Kills it, as a power cut would.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; returns how it ended and all that it logged.
    pub fn end(mut self) -> (ExitStatus, String) {
        let end = self.process.wait().unwrap();
        self.reading.take().unwrap().join().unwrap();
        (end, self.log())
    }
}

/// Makes a request with a client.
pub fn ask(
    client: reqwest::ClientBuilder,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Got, reqwest::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut request = client
            .build()?
            .request(method.parse().unwrap(), url)
            .timeout(BOUND)
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await?;
        let mut got = Got {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Vec::new(),
            is_whole: false,
        };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => got.body.extend_from_slice(&chunk),
                Ok(None) => {
                    got.is_whole = true;
                    return Ok(got);
                }
                Err(_) => return Ok(got),
            }
        }
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns what a command printed, which must have ended so.
pub fn printed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Returns all files below a folder.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}
