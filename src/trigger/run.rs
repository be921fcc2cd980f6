//! `run`: the long-running helper. Does what the core decides, and tells it what came of it. Nothing is kept on disk.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::alerts;
use super::core::{Action, Core};
use super::poller::Eyes;
use super::server;
use super::setup::{core_settings, describe, listen, server_settings, span};
use super::task::Task;
use super::types::{Answer, Message, PipelineNews, Status, Verdict};
use super::watch::Look;
use super::watchdog::Alert;
use crate::config::TriggerConfig;
use crate::error::Result;
use crate::notify;
use crate::trigger::gitlab::{Pipeline, Project, Refusal, Remedy};

/// How long what is in hand may take after a signal.
const GRACE: Duration = Duration::from_secs(9);
/// The machine may have slept: the clock is looked at so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How many messages of the endpoint wait at most, and are taken at once.
const MESSAGES: usize = 256;

/// All that the helper does at the same time.
struct Helper<'a> {
    config: &'a TriggerConfig,
    project: &'a Project<'a>,
    eyes: Option<&'a Eyes<'a>>,
    core: Core,
    firing: Task<'a, Result<Pipeline, Refusal>>,
    looking: Task<'a, Result<Look>>,
    reading: Task<'a, Result<Pipeline, Refusal>>,
    mailing: Task<'a, Result<bool>>,
    /// What a person is yet to be told.
    alerts: Vec<Alert>,
    /// Who waits for GitLab's answer.
    asking: Option<oneshot::Sender<Answer>>,
}

/// Runs until `stop`, then lets what is in hand end, for at most ten seconds.
///
/// # Errors
/// `config` where the configuration cannot be used, or the address cannot be listened on.
pub async fn run(config: &TriggerConfig, stop: impl Future) -> Result<()> {
    config.check_endpoint()?;
    let project = Project::of(config)?;
    let eyes = config.repositories.as_ref().map(Eyes::new).transpose()?;
    let settings = core_settings(config, &project)?;
    let listener = listen(config).await?;
    describe(config, &settings);
    let (to_core, mut messages) = mpsc::channel(MESSAGES);
    let core = Core::new(settings, Timestamp::now(), fastrand::f64());
    let (status, shown) = watch::channel(Status::default());
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(
        listener,
        server_settings(config),
        to_core,
        shown,
        async {
            // A sender that is gone means the same.
            let _ = server_stopped.await;
        },
    ));
    let mut helper = Helper {
        config,
        project: &project,
        eyes: eyes.as_ref(),
        core,
        firing: Task::none(),
        looking: Task::none(),
        reading: Task::none(),
        mailing: Task::none(),
        alerts: Vec::new(),
        asking: None,
    };
    tokio::select! {
        () = helper.work(&mut messages, &status) => {}
        _ = stop => {}
    }
    info!("stopping");
    messages.close();
    drop(stop_server);
    let ending = async {
        helper.finish().await;
        // A client that is cut off, or a server that broke down, is past help.
        let _ = serving.await;
    };
    if timeout(GRACE, ending).await.is_err() {
        warn!("what was still in hand was given up");
    }
    Ok(())
}

impl Helper<'_> {
    async fn work(
        &mut self,
        messages: &mut mpsc::Receiver<Message>,
        status: &watch::Sender<Status>,
    ) {
        let mut taken = Vec::with_capacity(MESSAGES);
        loop {
            self.act();
            let now = Timestamp::now();
            status.send_replace(self.core.status(now));
            let pause = self.core.wake(now).map_or(LONGEST_SLEEP, |wake| {
                let pause = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
                // Timers are as fine as a millisecond: one less would be spun through.
                (pause + Duration::from_millis(1)).min(LONGEST_SLEEP)
            });
            tokio::select! {
                count = messages.recv_many(&mut taken, MESSAGES) => {
                    if count == 0 {
                        return;
                    }
                    taken.drain(..).for_each(|message| self.take(message));
                }
                fired = self.firing.end() => self.fired(fired),
                look = self.looking.end() => self.looked(look),
                pipeline = self.reading.end() => self.read(pipeline),
                mailed = self.mailing.end() => self.mailed(mailed),
                () = sleep(pause) => {}
            }
        }
    }

    /// Starts what is to be done now.
    fn act(&mut self) {
        let (config, project) = (self.config, self.project);
        for action in self.core.act(Timestamp::now(), fastrand::f64()) {
            match action {
                Action::Fire => {
                    debug!("asking GitLab for a pipeline");
                    self.firing.start(project.fire(SystemTime::now()));
                }
                Action::Look(last) => match self.eyes {
                    Some(eyes) => self.looking.start(eyes.look(last)),
                    None => debug!("nothing to look at"),
                },
                Action::Read(id) => self.reading.start(project.pipeline(id, SystemTime::now())),
                Action::Tell(alert) => {
                    let event = alerts::event(&alert);
                    alerts::log(config, &event);
                    self.alerts.push(alert);
                }
            }
        }
        if !self.mailing.is_under_way() && !self.alerts.is_empty() {
            let alert = self.alerts.remove(0);
            self.mailing.start(async move {
                let page = alerts::page(&alert);
                notify::alarm(config, alerts::event(&alert), page, SystemTime::now()).await
            });
        }
    }

    fn take(&mut self, message: Message) {
        let now = Timestamp::now();
        match message {
            Message::Ask { origin, answer } => match self.core.ask(now, origin) {
                Answer::Firing => {
                    self.asking = Some(answer);
                    self.act();
                }
                // Whoever asked may have gone.
                found => drop(answer.send(found)),
            },
            Message::Pipeline(news) => {
                debug!("a hook: pipeline {} is `{}`", news.id, news.status);
                self.core.heard(now, &news);
            }
        }
    }

    fn fired(&mut self, fired: Result<Pipeline, Refusal>) {
        let now = Timestamp::now();
        let verdict = verdict(self.config, now, fired);
        match &verdict {
            Verdict::Created(news) => {
                info!("fired {}", news.url.as_deref().unwrap_or("a pipeline"));
            }
            Verdict::Wait { until, why } => warn!("{why}; asked again at {until:.0}"),
            Verdict::Retry { why, .. } => warn!("{why}; asked again within minutes"),
            Verdict::Refused { why } => debug!("{why}"),
        }
        let answer = self.core.answered(now, &verdict, fastrand::f64());
        if let Some(asking) = self.asking.take() {
            // Whoever asked may have gone.
            drop(asking.send(answer));
        }
    }

    fn looked(&mut self, look: Result<Look>) {
        let look = look.map_err(|error| {
            let line = self.config.scrub(&notify::line("the poll failed", &error));
            warn!("{line}");
            line
        });
        if let Ok(look) = &look {
            let state = if look.is_behind {
                "behind"
            } else {
                "up to date"
            };
            debug!(
                "upstream {}, mirror {}: {state}",
                look.upstream.short(),
                look.mirror.short()
            );
        }
        self.core.looked(Timestamp::now(), look);
    }

    fn read(&mut self, pipeline: Result<Pipeline, Refusal>) {
        let news = pipeline.map(news).map_err(|refusal| {
            let line = notify::line("the pipeline could not be read", &refusal.error);
            warn!("{}", self.config.scrub(&line));
        });
        self.core.read(Timestamp::now(), news.as_ref().ok());
    }

    fn mailed(&mut self, mailed: Result<bool>) {
        match mailed {
            Ok(true) => self.core.mailed(),
            Ok(false) => debug!("no mail is configured"),
            Err(failure) => {
                let line = notify::line("the mail could not be sent", &failure);
                error!("{}", self.config.scrub(&line));
            }
        }
    }

    /// Lets the request in hand and the mail in hand end.
    async fn finish(&mut self) {
        if self.firing.is_under_way() {
            let fired = self.firing.end().await;
            self.fired(fired);
        }
        if self.mailing.is_under_way() {
            let mailed = self.mailing.end().await;
            self.mailed(mailed);
        }
    }
}

fn news(pipeline: Pipeline) -> PipelineNews {
    let Pipeline { id, status, url } = pipeline;
    PipelineNews { id, status, url }
}

fn verdict(config: &TriggerConfig, now: Timestamp, fired: Result<Pipeline, Refusal>) -> Verdict {
    let Refusal { error, remedy } = match fired {
        Ok(pipeline) => return Verdict::Created(news(pipeline)),
        Err(refusal) => refusal,
    };
    let why = config.scrub(&notify::line("no pipeline", &error));
    match remedy {
        Remedy::Wait(wait) => Verdict::Wait {
            until: now.saturating_add(span(wait)).unwrap_or(now),
            why,
        },
        Remedy::Retry { may_be_created } => Verdict::Retry {
            why,
            may_be_created,
        },
        Remedy::Person => Verdict::Refused { why },
    }
}
