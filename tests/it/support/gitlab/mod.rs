//! A stand-in for GitLab's pipeline triggers: it refuses what GitLab refuses, and runs a job for each pipeline if asked to.

mod api;
mod reply;
mod request;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::json;

pub use reply::Reply;
pub use request::Request;

/// The project that it has.
pub const PROJECT: &str = "rust/mirror";
/// The token that fires that project's pipelines.
pub const TRIGGER_TOKEN: &str = "glptt-0123456789abcdef";
/// The token that may read them.
pub const READ_TOKEN: &str = "glpat-fedcba9876543210";
/// So many pipelines a minute are created where [`Gitlab::count_by_the_minute`] says so, as on gitlab.com.
pub const PER_MINUTE: usize = 25;
/// What nothing here takes longer than.
const BOUND: Duration = Duration::from_secs(60);

type Job = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    requests: Vec<Request>,
    /// The status of each pipeline; the first has number 1.
    pipelines: Vec<String>,
    most_unfinished: usize,
    running: usize,
    most_running: usize,
    refuses_variables: bool,
    filters_triggers: bool,
    /// When each pipeline of the last minute was created, where they are counted, by the clock below.
    counted: Option<Vec<Duration>>,
    /// Its clock, which stands still but for [`Gitlab::advance`].
    now: Duration,
    job: Option<Job>,
    hook: Option<(String, String)>,
    is_held: bool,
}

impl State {
    fn unfinished(&self) -> usize {
        let is_over = |status: &&String| {
            matches!(
                status.as_str(),
                "success" | "failed" | "canceled" | "skipped"
            )
        };
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

    /// Refuses requests that set variables, as a project does whose minimum role for them is above the token's owner.
    pub fn refuse_variables(&self) {
        self.shared.lock().refuses_variables = true;
    }

    /// Has `workflow:rules` that do not admit triggered pipelines.
    pub fn filter_triggers(&self) {
        self.shared.lock().filters_triggers = true;
    }

    /// Creates no more than [`PER_MINUTE`] pipelines in a minute of its own clock.
    pub fn count_by_the_minute(&self) {
        self.shared.lock().counted = Some(Vec::new());
    }

    /// Moves its clock on.
    pub fn advance(&self, by: Duration) {
        self.shared.lock().now += by;
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

    /// Returns how many jobs ran at the same time, at most.
    pub fn most_running(&self) -> usize {
        self.shared.lock().most_running
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
            let headers = [
                ("X-Gitlab-Token", token.as_str()),
                ("X-Gitlab-Event", "Pipeline Hook"),
            ];
            // A helper that was ended meanwhile hears nothing.
            let _ = super::trigger::try_http("POST", &url, &headers, body.to_string().as_bytes());
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn serve(self: &Arc<Self>, mut stream: TcpStream) {
        let Some(request) = Request::read(&stream) else {
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
        if let Some(Reply::Lost) = scripted {
            self.usual(&request);
        }
        let reply = scripted.unwrap_or_else(|| self.usual(&request));
        // Whoever asked may have gone.
        let _ = reply.send(&mut stream);
    }

    /// Runs a pipeline's job when its turn has come.
    fn work(&self, id: usize, job: &Job) {
        let turn = self.resource_group.lock().unwrap();
        {
            let mut state = self.lock();
            state.running += 1;
            state.most_running = state.most_running.max(state.running);
        }
        self.set_status(id, "running");
        let end = if job() { "success" } else { "failed" };
        self.lock().running -= 1;
        self.set_status(id, end);
        drop(turn);
    }
}
