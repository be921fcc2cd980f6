//! Shows a command's progress on a terminal, or in the log.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crates_ferry::program::{Format, Meter, progress_line};
use crates_ferry::progress::Progress;
use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use tokio::time::interval_at;
use tracing::info;

use crate::cli::Cli;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);
/// How often the log tells of the progress: often enough for a person who watches a CI job.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How many times the log does not repeat a line.
const UNSAID: u32 = 5;

/// Returns where the bar is drawn: stderr, if it is a terminal and a person reads the report.
pub(crate) fn bars(cli: &Cli) -> Option<MultiProgress> {
    let wanted =
        io::stderr().is_terminal() && cli.common.format == Format::Text && !cli.common.quiet;
    wanted.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// Runs the work while a line or a bar shows how far it is; the line is cleared afterwards. Without a terminal the log tells of it.
pub(crate) async fn beside<T>(
    bars: Option<&MultiProgress>,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    let mut shown = match bars {
        Some(bars) => Shown::Bar(Line::new(bars)),
        None => Shown::Log(LogLine::default()),
    };
    let mut meter = Meter::new(Instant::now());
    let period = shown.period();
    let mut tick = interval_at(tokio::time::Instant::now() + period, period);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {
                let line = progress_line(progress, &mut meter, Instant::now());
                match &mut shown {
                    Shown::Bar(bar) => bar.show(progress, line),
                    Shown::Log(log) => log.show(line),
                }
            }
        }
    }
}

/// Where the progress is shown.
enum Shown {
    Bar(Line),
    Log(LogLine),
}

impl Shown {
    fn period(&self) -> Duration {
        match self {
            Self::Bar(_) => TICK,
            Self::Log(_) => LOG_EVERY,
        }
    }
}

/// What the log told last, and how many times it was not told again.
#[derive(Default)]
struct LogLine {
    last: String,
    unsaid: u32,
}

impl LogLine {
    /// Logs a line; one that says nothing new now and then only, as a sign of life.
    fn show(&mut self, line: String) {
        if line.is_empty() || (line == self.last && self.unsaid < UNSAID) {
            self.unsaid += 1;
            return;
        }
        info!("{line}");
        (self.last, self.unsaid) = (line, 0);
    }
}

/// A bar that is cleared from the terminal however the work ends.
struct Line {
    bar: ProgressBar,
    /// Whether it shows files out of how many.
    has_length: bool,
}

impl Line {
    fn new(bars: &MultiProgress) -> Self {
        let line = Self {
            bar: bars.add(ProgressBar::new_spinner()),
            has_length: false,
        };
        // Not cut at the terminal's edge, as `wide_msg` would be: how much and how fast stand at the end.
        line.set_template("{spinner} {msg}");
        line
    }

    fn show(&mut self, progress: &Progress, line: String) {
        if progress.files() == 0 {
            self.bar.set_message(line);
            self.bar.tick();
            return;
        }
        let (done, bytes) = progress.files_done();
        let left = match done {
            0 => String::new(),
            _ => format!(", {} left", HumanDuration(self.bar.eta())),
        };
        self.bar.set_prefix(progress.current_phase());
        self.bar
            .set_message(format!(", {}{left}", HumanBytes(bytes)));
        if !self.has_length {
            self.has_length = true;
            self.set_template("{spinner} {prefix} {human_pos}/{human_len}{msg} {wide_bar}");
        }
        self.bar.set_length(progress.files());
        self.bar.set_position(done);
        self.bar.tick();
    }

    fn set_template(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
