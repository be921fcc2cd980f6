//! A stand-in for GitLab's pipeline triggers: it refuses what GitLab refuses, and runs a job for each pipeline if asked to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The project that it has.
pub const PROJECT: &str = "rust/mirror";
/// The token that fires that project's pipelines.
pub const TRIGGER_TOKEN: &str = "glptt-0123456789abcdef";
/// The token that may read them.
pub const READ_TOKEN: &str = "glpat-fedcba9876543210";
/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(60);

/// What it answers instead of what it would.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status, headers (`Name: value`), and a body.
    Says(u16, Vec<String>, String),
    /// A head that promises more than comes.
    Cut,
    /// Nothing, and the connection is closed.
    HangUp,
    /// Nothing, until the other side gives up.
    Silent,
    /// A 201 whose body never ends.
    Huge,
}

impl Reply {
    /// A status with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        let kind = "Content-Type: application/json".to_owned();
        Self::Says(status, vec![kind], body.to_string())
    }

    /// What GitLab says with a 400 of its own.
    pub fn refused(words: &str) -> Self {
        Self::json(400, &json!({ "message": { "base": [words] } }))
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its first line, without the version.
    pub line: String,
    /// Its headers, as they came.
    pub headers: Vec<String>,
    /// Its body.
    pub body: String,
}

type Job = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    requests: Vec<Request>,
    /// The status of each pipeline; the first has number 1.
    pipelines: Vec<String>,
    most_unfinished: usize,
    job: Option<Job>,
    hook: Option<(String, String)>,
    is_held: bool,
}

impl State {
    fn unfinished(&self) -> usize {
        let is_over = |status: &&String| matches!(status.as_str(), "success" | "failed");
        self.pipelines
            .iter()
            .filter(|status| !is_over(status))
            .count()
    }
}

/// A running stand-in.
pub struct Gitlab {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Jobs of one resource group run one after the other.
    resource_group: Mutex<()>,
    address: SocketAddr,
}

impl Gitlab {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            resource_group: Mutex::new(()),
            address,
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the variables with which a program fires its pipelines.
    pub fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("FERRY_TRIGGER_GITLAB", self.url()),
            ("FERRY_TRIGGER_PROJECT", PROJECT.to_owned()),
            ("GITLAB_TRIGGER_TOKEN", TRIGGER_TOKEN.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Answers the next request with this.
    pub fn reply(&self, reply: Reply) {
        self.shared.lock().replies.push_back(reply);
    }

    /// Runs this for each pipeline, which succeeds as it says.
    pub fn run(&self, job: impl Fn() -> bool + Send + Sync + 'static) {
        self.shared.lock().job = Some(Arc::new(job));
    }

    /// Posts how pipelines go to this address, with this secret.
    pub fn hook(&self, url: &str, token: &str) {
        self.shared.lock().hook = Some((url.to_owned(), token.to_owned()));
    }

    /// Answers requests for pipelines only after [`Self::release`].
    pub fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// Ends [`Self::hold`].
    pub fn release(&self) {
        self.shared.lock().is_held = false;
        self.shared.changed.notify_all();
    }

    /// Sets a pipeline's status.
    pub fn set_status(&self, id: usize, status: &str) {
        self.shared.set_status(id, status);
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Returns the pipelines' statuses.
    pub fn pipelines(&self) -> Vec<String> {
        self.shared.lock().pipelines.clone()
    }

    /// Returns how many pipelines were unfinished at the same time, at most.
    pub fn most_unfinished(&self) -> usize {
        self.shared.lock().most_unfinished
    }

    /// Waits for so many requests.
    pub fn wait_for_requests(&self, count: usize) {
        self.shared
            .wait("requests", |state| state.requests.len() >= count);
    }

    /// Waits for so many pipelines.
    pub fn wait_for_pipelines(&self, count: usize) {
        self.shared
            .wait("pipelines", |state| state.pipelines.len() >= count);
    }

    /// Waits until so many pipelines have ended.
    pub fn wait_for_ends(&self, count: usize) {
        self.shared.wait("ends", |state| {
            state.pipelines.len() - state.unfinished() >= count
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wait(&self, what: &str, is_met: impl Fn(&State) -> bool) {
        let waiting = self
            .changed
            .wait_timeout_while(self.lock(), BOUND, |state| !is_met(state));
        let (state, end) = waiting.unwrap();
        assert!(
            !end.timed_out(),
            "no {what}: {:?} {:?}",
            state.pipelines,
            state.requests.len()
        );
    }

    fn set_status(&self, id: usize, status: &str) {
        let hook = {
            let mut state = self.lock();
            status.clone_into(&mut state.pipelines[id - 1]);
            state.hook.clone()
        };
        self.changed.notify_all();
        if let Some((url, token)) = hook {
            let body = json!({
                "object_kind": "pipeline",
                "object_attributes": { "id": id, "iid": id, "ref": "main", "status": status, "source": "trigger" },
                "project": { "id": 42, "path_with_namespace": PROJECT, "web_url": format!("{}/{PROJECT}", self.url()) },
            });
            let token = ("X-Gitlab-Token", token.as_str());
            // A helper that was ended meanwhile hears nothing.
            let _ = super::trigger::try_http("POST", &url, &[token], body.to_string().as_bytes());
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn serve(self: &Arc<Self>, mut stream: TcpStream) {
        let Some(request) = read(&stream) else {
            return;
        };
        let scripted = {
            let mut state = self.lock();
            state.requests.push(request.clone());
            state.replies.pop_front()
        };
        self.changed.notify_all();
        let is_trigger =
            request.line.starts_with("POST") && request.line.contains("/trigger/pipeline");
        if is_trigger {
            self.wait("release", |state| !state.is_held);
        }
        // Whoever asked may have gone.
        let _ = self.answer(&mut stream, &request, scripted);
    }

    fn answer(
        self: &Arc<Self>,
        stream: &mut TcpStream,
        request: &Request,
        scripted: Option<Reply>,
    ) -> std::io::Result<()> {
        match scripted.unwrap_or_else(|| self.usual(request)) {
            Reply::Says(status, headers, body) => {
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n",
                    body.len()
                )?;
                for header in headers {
                    write!(stream, "{header}\r\n")?;
                }
                write!(stream, "\r\n{body}")
            }
            Reply::Cut => write!(
                stream,
                "HTTP/1.1 201 X\r\nContent-Length: 900\r\n\r\n{{\"id\":"
            ),
            Reply::HangUp => Ok(()),
            Reply::Silent => stream.read(&mut [0]).map(drop),
            Reply::Huge => {
                write!(
                    stream,
                    "HTTP/1.1 201 X\r\nContent-Type: application/json\r\n\r\n["
                )?;
                loop {
                    stream.write_all(&[b' '; 1 << 16])?;
                }
            }
        }
    }

    /// What GitLab answers.
    fn usual(self: &Arc<Self>, request: &Request) -> Reply {
        let not_found = Reply::json(404, &json!({ "message": "404 Not Found" }));
        let base = format!("/api/v4/projects/{}", PROJECT.replace('/', "%2F"));
        let Some((method, path)) = request.line.split_once(' ') else {
            return not_found;
        };
        let Some(path) = path
            .strip_prefix(&base)
            .or_else(|| path.strip_prefix("/api/v4/projects/42"))
        else {
            return not_found;
        };
        match (method, path) {
            ("POST", "/trigger/pipeline") => self.fire(request),
            ("GET", path) => match path
                .strip_prefix("/pipelines/")
                .and_then(|id| id.parse().ok())
            {
                Some(id) => self.shown(request, id),
                None => not_found,
            },
            _ => not_found,
        }
    }

    fn fire(self: &Arc<Self>, request: &Request) -> Reply {
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(request.body.as_bytes())
            .into_owned()
            .collect();
        let field = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        if field("token") != Some(TRIGGER_TOKEN) {
            return Reply::json(404, &json!({ "message": "404 Not Found" }));
        }
        match field("ref") {
            None | Some("") => return Reply::json(400, &json!({ "error": "ref is missing" })),
            Some("main") => {}
            Some(_) => return Reply::refused("Reference not found"),
        }
        let (id, job) = {
            let mut state = self.lock();
            state.pipelines.push("created".to_owned());
            state.most_unfinished = state.most_unfinished.max(state.unfinished());
            (state.pipelines.len(), state.job.clone())
        };
        self.changed.notify_all();
        if let Some(job) = job {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let _turn = shared.resource_group.lock().unwrap();
                shared.set_status(id, "running");
                let end = if job() { "success" } else { "failed" };
                shared.set_status(id, end);
            });
        }
        Reply::json(201, &self.pipeline(id, "created"))
    }

    fn shown(&self, request: &Request, id: usize) -> Reply {
        let may_read = |header: &String| {
            let (name, value) = header.split_once(": ").unwrap_or_default();
            name.eq_ignore_ascii_case("private-token") && value == READ_TOKEN
        };
        if !request.headers.iter().any(may_read) {
            return Reply::json(401, &json!({ "message": "401 Unauthorized" }));
        }
        let status = self.lock().pipelines.get(id.wrapping_sub(1)).cloned();
        match status {
            Some(status) => Reply::json(200, &self.pipeline(id, &status)),
            None => Reply::json(404, &json!({ "message": "404 Not found" })),
        }
    }

    fn pipeline(&self, id: usize, status: &str) -> Value {
        json!({
            "id": id, "iid": id, "project_id": 42, "sha": "0".repeat(40), "ref": "main", "status": status,
            "source": "trigger", "created_at": "2026-11-24T00:00:00.000Z",
            "web_url": format!("{}/{PROJECT}/-/pipelines/{id}", self.url()),
        })
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: first,
        headers: lines.split_off(1),
        body: String::from_utf8(body).ok()?,
    })
}
