//! Shows a command's progress on a terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crates_ferry::progress::Progress;
use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

use crates_ferry::program::{Format, progress_line};

use crate::cli::Cli;

const TICK: Duration = Duration::from_millis(100);

/// Returns where the bar is drawn: stderr, if it is a terminal and a person reads the report.
pub(crate) fn bars(cli: &Cli) -> Option<MultiProgress> {
    let wanted =
        io::stderr().is_terminal() && cli.common.format == Format::Text && !cli.common.quiet;
    wanted.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// Runs the work while a line or a bar shows how far it is; the line is cleared afterwards.
pub(crate) async fn beside<T>(
    bars: Option<&MultiProgress>,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    let Some(bars) = bars else {
        return work.await;
    };
    let mut bar = Line::new(bars);
    let mut pack_since = None;
    let mut tick = tokio::time::interval(TICK);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {
                if progress.objects() > 0 && pack_since.is_none() {
                    // From the first object on: the rate is that of the pack, not of the planning before it.
                    pack_since = Some(Instant::now());
                }
                let elapsed = pack_since.map(|since| since.elapsed()).unwrap_or_default();
                bar.show(progress, elapsed);
            }
        }
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
        line.set_template("{spinner} {wide_msg}");
        line
    }

    fn show(&mut self, progress: &Progress, elapsed: Duration) {
        if progress.files() == 0 {
            self.bar.set_message(progress_line(progress, elapsed));
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
            self.set_template("{spinner} {prefix} [{bar:30}] {human_pos}/{human_len}{msg}");
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
