//! `run`: the long-running helper. Does what the core decides, and tells it what came of it. Nothing is kept on disk.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::alerts;
use super::core::{self, Action, Core};
use super::gate::Limits;
use super::look::Eyes;
use super::schedule::Schedule;
use super::server::{self, Slowness};
use super::types::{Answer, Message, PipelineNews, Status, Verdict};
use super::watch::Look;
use super::watchdog::Alert;
use crate::config::{Rhythm, TriggerConfig};
use crate::error::{Error, Kind, Result};
use crate::gitlab::{Pipeline, Project, Refusal, Remedy};
use crate::notify;

/// How long what is in hand may take after a signal.
const GRACE: Duration = Duration::from_secs(9);
/// The machine may have slept: the clock is looked at so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How many messages of the endpoint wait at most, and are taken at once.
const MESSAGES: usize = 256;

/// Something under way; pending where there is nothing.
struct Task<'a, T>(Option<Pin<Box<dyn Future<Output = T> + 'a>>>);

impl<'a, T> Task<'a, T> {
    fn start(&mut self, work: impl Future<Output = T> + 'a) {
        self.0 = Some(Box::pin(work));
    }

    async fn end(&mut self) -> T {
        match &mut self.0 {
            Some(work) => {
                let end = work.await;
                self.0 = None;
                end
            }
            None => std::future::pending().await,
        }
    }
}

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
        firing: Task(None),
        looking: Task(None),
        reading: Task(None),
        mailing: Task(None),
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
        if self.mailing.0.is_none() && !self.alerts.is_empty() {
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
            Verdict::Retry { why, .. } => warn!("{why}; asked again soon"),
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
            let line = self.config.scrub(&notify::line("the look failed", &error));
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
        if self.firing.0.is_some() {
            let fired = self.firing.end().await;
            self.fired(fired);
        }
        if self.mailing.0.is_some() {
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

fn span(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn core_settings(config: &TriggerConfig, project: &Project<'_>) -> Result<core::Settings> {
    let trigger = &config.trigger;
    let jitter = span(trigger.jitter);
    let schedule = match &trigger.every {
        None => None,
        Some(Rhythm::Every(interval)) => Some(Schedule::every(span(*interval), jitter)),
        Some(Rhythm::Cron(expression)) => {
            let read = Schedule::cron(expression, &trigger.time_zone, jitter);
            Some(read.map_err(|reason| Error::new(Kind::Config, reason))?)
        }
    };
    if trigger.poll.is_some() {
        config.repositories("the watch (trigger.poll)")?;
    }
    Ok(core::Settings {
        limits: Limits {
            min_interval: span(trigger.min_interval),
            assume_running: span(trigger.assume_running),
        },
        schedule,
        poll: trigger.poll.map(span),
        can_look: config.repositories.is_some(),
        can_read: project.can_read(),
        alarm_after: span(trigger.alarm_after),
        repeat_after: span(config.mail.repeat_after),
    })
}

fn server_settings(config: &TriggerConfig) -> server::Settings {
    let (trigger, secrets) = (&config.trigger, &config.secrets);
    let branch = config
        .repositories
        .as_ref()
        .map(|both| &both.upstream.branch);
    server::Settings {
        token: secrets.trigger_token.clone(),
        hook_token: secrets.hook_token.clone(),
        query_token: trigger.query_token,
        rate_limit: trigger.rate_limit,
        looks: config.repositories.is_some(),
        project: trigger.project.clone(),
        reference: trigger.reference.clone(),
        upstream_branch: branch.map_or("master", String::as_str).to_owned(),
        slowness: Slowness::default(),
    }
}

async fn listen(config: &TriggerConfig) -> Result<TcpListener> {
    let address = config.trigger.listen;
    let bound = TcpListener::bind(address).await;
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|cause| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
            .because(cause)
            .advise("trigger.listen must be an address of this machine with a port that nobody else uses.")
    })?;
    info!("listening on http://{address}");
    Ok(listener)
}

/// Says what the helper will do.
fn describe(config: &TriggerConfig, settings: &core::Settings) {
    let trigger = &config.trigger;
    info!(
        "fires {} of {}{}",
        trigger.reference, trigger.gitlab, trigger.project
    );
    let shown = humantime::format_duration;
    match &trigger.every {
        Some(Rhythm::Every(interval)) => info!("clock: every {}", shown(*interval)),
        Some(Rhythm::Cron(expression)) => info!("clock: {expression} ({})", trigger.time_zone),
        None => info!("clock: off (trigger.every)"),
    }
    match trigger.poll {
        Some(poll) => info!("watch: every {}", shown(poll)),
        None if settings.can_look => info!("watch: off (trigger.poll); the first look may fire"),
        None => info!("watch: off (trigger.poll, mirror.url)"),
    }
    if config.mail.smtp.is_none() {
        info!("mails: off (mail.smtp)");
    }
    if config.secrets.trigger_token.is_none() {
        warn!(
            "FERRY_TRIGGER_TOKEN is not set: whoever can connect to {} may fire",
            trigger.listen
        );
    }
}
