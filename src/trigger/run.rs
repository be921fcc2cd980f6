//! `run`: the long-running helper. Does what the core decides, and reports the results to it. Nothing is kept on disk.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::core::{Action, Core};
use super::gitlab::{ApiError, Pipeline, Project, Remedy};
use super::pipeline_gate::{FireResult, TriggerResponse};
use super::poller::Poller;
use super::server::{self, Message};
use super::setup::{core_settings, describe, endpoint_settings, listen, signed};
use super::status::Status;
use super::watch::Poll;
use super::watchdog::Alert;
use crate::config::TriggerConfig;
use crate::error::Result;
use crate::notify::notice::Event;
use crate::notify::{self, About};

/// How long requests may be drained after a signal: container engines kill ten seconds after it.
const GRACE: Duration = Duration::from_secs(9);
/// The longest sleep: timers stop while a machine is suspended, so that the clock is read again at least this often.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// How many messages of the endpoint are queued at most, and handled in one go.
const MESSAGES: usize = 256;

/// Everything that the helper does concurrently.
struct Helper<'a> {
    config: &'a TriggerConfig,
    project: &'a Project<'a>,
    poller: Option<&'a Poller<'a>>,
    core: Core,
    firing: Slot<'a, Result<Pipeline, ApiError>>,
    polling: Slot<'a, Result<Poll>>,
    reading: Slot<'a, Result<Pipeline, ApiError>>,
    mailing: Slot<'a, Result<bool>>,
    /// The alerts that are not mailed yet.
    alerts: Vec<Alert>,
    /// Where the response goes for the request that GitLab is being asked for.
    requester: Option<oneshot::Sender<TriggerResponse>>,
    /// Whether the helper ends, so that nothing is tried again.
    is_stopping: bool,
}

/// Runs until `stop`, then drains requests for at most nine seconds.
///
/// # Errors
/// `config` if the configuration is invalid, or the address cannot be listened on.
pub async fn run(config: &TriggerConfig, stop: impl Future) -> Result<()> {
    config.check_endpoint()?;
    let project = Project::of(config)?;
    let poller = config.repositories.as_ref().map(Poller::new).transpose()?;
    let settings = core_settings(config, &project)?;
    // Before the first action: a second helper on the same address ends here, and creates no pipeline.
    let listener = listen(config).await?;
    describe(config, &settings);
    let (to_core, mut messages) = mpsc::channel(MESSAGES);
    let core = Core::new(settings, Timestamp::now(), fastrand::f64());
    let (status, shown) = watch::channel(Status::default());
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let serving = server::start(
        listener,
        endpoint_settings(config),
        to_core,
        shown,
        server_stopped,
    );
    let mut helper = Helper {
        config,
        project: &project,
        poller: poller.as_ref(),
        core,
        firing: Slot::empty(),
        polling: Slot::empty(),
        reading: Slot::empty(),
        mailing: Slot::empty(),
        alerts: Vec::new(),
        requester: None,
        is_stopping: false,
    };
    tokio::select! {
        () = helper.work(&mut messages, &status) => {}
        _ = stop => {}
    }
    info!("stopping: draining requests; a second signal ends it at once");
    // Requests that come from here on are answered with 503, and so are those that are queued: who waits for one would
    // wait longer than `GRACE`.
    drop(messages);
    drop(stop_server);
    let draining = async {
        // The helper first: the server's last requests wait for its answers.
        helper.drain().await;
        // A server that panicked has no requests left to drain.
        let _ = serving.await;
    };
    if timeout(GRACE, draining).await.is_err() {
        warn!(
            "requests in flight were dropped after {} s",
            GRACE.as_secs()
        );
    }
    Ok(())
}

impl Helper<'_> {
    async fn work(
        &mut self,
        messages: &mut mpsc::Receiver<Message>,
        status: &watch::Sender<Status>,
    ) {
        let mut received = Vec::with_capacity(MESSAGES);
        loop {
            self.act();
            let now = Timestamp::now();
            // Replaced whole before each wait: handlers read it without asking the core, however busy that is.
            status.send_replace(self.core.status(now));
            let pause = self.core.wake(now).map_or(MAX_SLEEP, |wake| {
                let pause = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
                // tokio's timers have a resolution of one millisecond: a shorter pause would be a busy loop.
                (pause + Duration::from_millis(1)).min(MAX_SLEEP)
            });
            tokio::select! {
                count = messages.recv_many(&mut received, MESSAGES) => {
                    if count == 0 {
                        return;
                    }
                    received.drain(..).for_each(|message| self.handle(message));
                }
                fired = self.firing.end() => self.fired(fired),
                poll = self.polling.end() => self.polled(poll),
                pipeline = self.reading.end() => self.pipeline_read(pipeline),
                mailed = self.mailing.end() => self.mailed(mailed),
                () = sleep(pause) => {}
            }
        }
    }

    /// Starts the actions that are due.
    fn act(&mut self) {
        let (config, project) = (self.config, self.project);
        for action in self.core.act(Timestamp::now(), fastrand::f64()) {
            match action {
                Action::Fire => {
                    debug!("asking GitLab for a pipeline");
                    self.firing.start(project.fire(SystemTime::now()));
                }
                Action::Poll(last) => match self.poller {
                    Some(poller) => self.polling.start(poller.poll(last)),
                    None => debug!("there are no repositories to poll"),
                },
                Action::ReadPipeline(id) => {
                    self.reading.start(project.pipeline(id, SystemTime::now()));
                }
                Action::Mail(alert) => {
                    log_event(config, &alert.event());
                    self.alerts.push(alert);
                }
            }
        }
        if !self.mailing.is_busy() && !self.alerts.is_empty() {
            let alert = self.alerts.remove(0);
            let last_moved = self.core.last_moved();
            self.mailing.start(async move {
                let about = About {
                    pipeline: alert.pipeline(),
                    last_moved: last_moved.map(|(tip, at)| (tip.short(), at.as_second())),
                };
                notify::alarm(config, alert.event(), about, SystemTime::now()).await
            });
        }
    }

    fn handle(&mut self, message: Message) {
        let now = Timestamp::now();
        match message {
            Message::Request { origin, response } => match self.core.request(now, origin) {
                TriggerResponse::Firing => {
                    // At once, before the next message of the batch: that one must find the gate busy, or its sender
                    // would take this one's place.
                    self.requester = Some(response);
                    self.act();
                }
                // The client may have disconnected.
                found => drop(response.send(found)),
            },
            Message::Pipeline(pipeline) => {
                let pipeline = pipeline.cleaned(|text| self.config.scrub(text));
                debug!("hook: pipeline {} is `{}`", pipeline.id, pipeline.status);
                self.core.pipeline_changed(now, &pipeline);
            }
        }
    }

    fn fired(&mut self, fired: Result<Pipeline, ApiError>) {
        let now = Timestamp::now();
        let result = fire_result(self.config, now, fired);
        match &result {
            FireResult::Created(pipeline) => {
                info!("fired {}", pipeline.url.as_deref().unwrap_or("a pipeline"));
            }
            FireResult::Wait { why, .. } | FireResult::Retry { why, .. } if self.is_stopping => {
                warn!("cannot create a pipeline, and stopping: {why}");
            }
            FireResult::Wait { until, why, .. } => {
                warn!("cannot create a pipeline, retrying at {until:.0}: {why}");
            }
            FireResult::Retry { why, .. } => {
                warn!("cannot create a pipeline, retrying within minutes: {why}");
            }
            // The watchdog raises an alert, which is logged as an error.
            FireResult::Refused { why } => debug!("cannot create a pipeline: {why}"),
        }
        let response = self.core.answered(now, &result, fastrand::f64());
        if let Some(requester) = self.requester.take() {
            // The client may have disconnected.
            drop(requester.send(response));
        }
    }

    fn polled(&mut self, poll: Result<Poll>) {
        let poll = poll.map_err(|error| {
            let line = self.config.scrub(&notify::line(&error));
            warn!("poll failed: {line}");
            line
        });
        if let Ok(poll) = &poll {
            let state = if poll.is_behind {
                "behind"
            } else {
                "up to date"
            };
            debug!(
                "upstream {}, mirror {}: {state}",
                poll.upstream.short(),
                poll.mirror.short()
            );
        }
        self.core.polled(Timestamp::now(), poll);
    }

    fn pipeline_read(&mut self, pipeline: Result<Pipeline, ApiError>) {
        let pipeline = pipeline.map_err(|failure| {
            let line = self.config.scrub(&notify::line(&failure.error));
            warn!("cannot read the pipeline: {line}");
        });
        let pipeline = pipeline.as_ref().ok();
        self.core.pipeline_read(Timestamp::now(), pipeline);
    }

    fn mailed(&mut self, mailed: Result<bool>) {
        match mailed {
            Ok(true) => self.core.mailed(),
            Ok(false) => debug!("no mail is configured"),
            Err(error) => {
                let line = self.config.scrub(&notify::line(&error));
                error!("cannot send the mail: {line}");
            }
        }
    }

    /// Waits for GitLab's answer and for the mail that is being sent: both may have taken effect already.
    async fn drain(&mut self) {
        self.is_stopping = true;
        if self.firing.is_busy() {
            let fired = self.firing.end().await;
            self.fired(fired);
        }
        if self.mailing.is_busy() {
            let mailed = self.mailing.end().await;
            self.mailed(mailed);
        }
    }
}

/// Logs an event that is mailed: mails may not be configured.
fn log_event(config: &TriggerConfig, event: &Event) {
    match event {
        Event::Alarm { failure, .. } => {
            let lines = std::iter::once(&failure.message).chain(&failure.causes);
            let lines: Vec<&str> = lines.map(String::as_str).collect();
            error!("{}", config.scrub(&lines.join(": ")));
        }
        _ => info!("all alarms are resolved"),
    }
}

fn fire_result(
    config: &TriggerConfig,
    now: Timestamp,
    fired: Result<Pipeline, ApiError>,
) -> FireResult {
    let ApiError { error, remedy } = match fired {
        Ok(pipeline) => return FireResult::Created(pipeline),
        Err(failure) => failure,
    };
    let why = config.scrub(&match remedy {
        // Its advice is to try again, which the helper does.
        Remedy::Wait { .. } | Remedy::Retry { .. } => error.chain(),
        Remedy::Person => notify::line(&error),
    });
    match remedy {
        Remedy::Wait {
            pause,
            may_be_created,
        } => FireResult::Wait {
            until: now.saturating_add(signed(pause)).unwrap_or(now),
            why,
            may_be_created,
        },
        Remedy::Retry { may_be_created } => FireResult::Retry {
            why,
            may_be_created,
        },
        Remedy::Person => FireResult::Refused { why },
    }
}

/// Room for one future, so that `select!` can wait for work that may not be there.
///
/// A `JoinSet` or `FuturesUnordered` would hold any number, and the core starts one action of a kind at a time.
struct Slot<'a, T>(Option<Pin<Box<dyn Future<Output = T> + 'a>>>);

impl<'a, T> Slot<'a, T> {
    fn empty() -> Self {
        Self(None)
    }

    fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    fn start(&mut self, work: impl Future<Output = T> + 'a) {
        self.0 = Some(Box::pin(work));
    }

    /// Waits for the end of the work, forever if there is none.
    async fn end(&mut self) -> T {
        match &mut self.0 {
            Some(work) => {
                // `select!` may drop this future, but not the work, which stays in its slot and goes on with the next
                // call.
                let end = work.await;
                self.0 = None;
                end
            }
            None => std::future::pending().await,
        }
    }
}
