//! Colours, as cargo has them.
//!
//! Text is styled always, and written through `anstream`, which takes the colours out if they are not wanted: without a
//! terminal, and as `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM=dumb` say.

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const GOOD: Style = AnsiColor::BrightGreen.on_default().bold();
const LITERAL: Style = AnsiColor::BrightCyan.on_default().bold();
const PLACEHOLDER: Style = AnsiColor::Cyan.on_default();

/// The styles of `--help` and of mistakes on the command line.
pub const HELP: Styles = Styles::styled()
    .header(GOOD)
    .usage(GOOD)
    .literal(LITERAL)
    .placeholder(PLACEHOLDER)
    .error(ERROR)
    .valid(LITERAL)
    .invalid(WARNING);

/// Styles the word that a line begins with, in each line.
pub(super) fn styled(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(styled_line).collect();
    lines.join("\n")
}

fn styled_line(line: &str) -> String {
    let words = line.trim_start();
    let space = &line[..line.len() - words.len()];
    let word = words.split(' ').next().unwrap_or_default();
    let Some(style) = style_of(word) else {
        return line.to_owned();
    };
    let rest = &words[word.len()..];
    format!("{space}{style}{word}{style:#}{rest}")
}

fn style_of(word: &str) -> Option<Style> {
    match word {
        "error:" | "FAILED" => Some(ERROR),
        // The kind is a part of it: `error[config]:`.
        _ if word.starts_with("error[") => Some(ERROR),
        "warning" | "warning:" => Some(WARNING),
        "passed" => Some(GOOD),
        "help:" => Some(LITERAL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_a_line_is_styled_and_nothing_else() {
        let plain = |text: &str| anstream::adapter::strip_str(&styled(text)).to_string();
        for text in [
            "error[config]: mirror.url is not set\n  help: Set it.",
            "  warning   the path moved",
            "FAILED   ssh key        SSH_PRIVATE_KEY is not set",
            "",
        ] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(styled("errors stay plain"), "errors stay plain");
        assert_eq!(
            styled("error[auth]: no"),
            format!("{ERROR}error[auth]:{ERROR:#} no")
        );
        assert_eq!(
            styled("  help: Set it."),
            format!("  {LITERAL}help:{LITERAL:#} Set it.")
        );
    }
}
