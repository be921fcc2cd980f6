//! Runs the real `crates-ferry-trigger`, and asks it over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The token that the helper wants.
pub const TOKEN: &str = "bearer-of-the-endpoint";
/// The secret of its webhooks.
pub const HOOK_TOKEN: &str = "secret-of-the-hooks";
/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(60);

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, `name: value`.
    pub headers: Vec<String>,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self
            .headers
            .iter()
            .filter_map(|header| header.split_once(": "));
        named
            .into_iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Makes a request, which must be answered.
pub fn http(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_http(method, url, headers, body).unwrap()
}

/// Makes a request.
pub fn try_http(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, reqwest::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()?;
        let mut request = client
            .request(method.parse().unwrap(), url)
            .timeout(BOUND)
            .body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let headers = response.headers().iter();
        Ok(Answer {
            status: response.status().as_u16(),
            headers: headers
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect(),
            body: response.text().await?,
        })
    })
}

/// Prepares a command of the program, with nothing of the surrounding environment.
pub fn command(variables: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crates-ferry-trigger"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(variables.iter().cloned());
    command
}

/// Runs `fire` to its end.
pub fn fire(variables: &[(String, String)], arguments: &[&str]) -> Output {
    command(variables)
        .arg("fire")
        .args(arguments)
        .output()
        .unwrap()
}

/// A running helper; dropping it ends it.
pub struct Helper {
    process: Child,
    url: String,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts the helper on a free port, with both tokens, and waits until it listens.
    pub fn start(variables: &[(String, String)]) -> Self {
        Self::start_in("text", variables)
    }

    /// Starts the helper as [`Self::start`] does; it logs in this format.
    pub fn start_in(format: &str, variables: &[(String, String)]) -> Self {
        let mut process = command(&[])
            .env("FERRY_TRIGGER_LISTEN", "127.0.0.1:0")
            .env("FERRY_TRIGGER_TOKEN", TOKEN)
            .env("FERRY_HOOK_TOKEN", HOOK_TOKEN)
            .envs(variables.iter().cloned())
            .args(["-v", "--format", format, "run"])
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<String>>::default();
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some((_, found)) = line.split_once("listening on ") {
                url = found.split('"').next().map(str::to_owned);
                break;
            }
        }
        let kept = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            process,
            url: url.unwrap_or_else(|| panic!("it does not listen: {}", log.lock().unwrap())),
            log,
            reading: Some(reading),
        }
    }

    /// Returns an address of its endpoint.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Asks for a pipeline.
    pub fn trigger(&self) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        http(
            "POST",
            &self.url("/trigger"),
            &[("Authorization", &bearer)],
            b"",
        )
    }

    /// Returns its status.
    pub fn status(&self) -> Value {
        http("GET", &self.url("/status"), &[], b"").json()
    }

    /// Waits until its status is as wanted, and returns it.
    pub fn wait_for(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            let status = self.status();
            if is_met(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "not {what}: {status:#} {}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Returns what it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = self.process.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.unwrap().success());
    }

    /// Waits until it has logged these words.
    pub fn wait_for_log(&self, words: &str) {
        let deadline = Instant::now() + BOUND;
        while !self.log().contains(words) {
            assert!(
                Instant::now() < deadline,
                "not logged: {words}: {}",
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Waits for its end; returns how it ended and all that it logged.
    pub fn end(mut self) -> (ExitStatus, String) {
        let end = self.process.wait().unwrap();
        self.reading.take().unwrap().join().unwrap();
        (end, self.log())
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(self) -> (ExitStatus, String) {
        self.terminate();
        self.end()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
