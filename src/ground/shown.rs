//! How foreign text is shown: what a terminal, a mail or a page would obey rather than show is escaped.
//!
//! What is printable is what the standard library's Unicode table says: a list of what is harmful would forget something.

use std::borrow::Cow;

/// Escapes all characters that are not printable, line breaks and tabs, too: control characters, and those that are invisible or
/// change the direction of writing.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Escapes all characters that are not printable, except line breaks and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| matches!(letter, '\n' | '\t'))
}

/// Joins the lines of a text by ` / `, and escapes all characters that are not printable.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return printable(text);
    }
    let lines = text.split(['\n', '\r']).map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(printable)
        .collect();
    Cow::Owned(lines.join(" / "))
}

/// Returns the beginning of a text, of at most so many characters, and an ellipsis where it goes on.
///
/// No word is cut: a server may have repeated a secret, of which a part would not be found and masked.
pub fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    let Some((cut, next)) = text.char_indices().nth(limit) else {
        return Cow::Borrowed(text);
    };
    let start = &text[..cut];
    let is_between = |letter: char| letter.is_whitespace() || letter.is_control();
    let end = match is_between(next) {
        true => cut,
        false => start.rfind(is_between).unwrap_or(0),
    };
    Cow::Owned(format!("{}…", start[..end].trim_end()))
}

/// Quotes a word of a command that a person may paste into a shell.
pub fn shell_word(word: &str) -> String {
    let word = printable(word);
    // Only a NUL cannot be quoted, and none is left.
    shlex::try_quote(&word).map_or_else(|_| String::new(), Cow::into_owned)
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_shown = |letter: char| letter == ' ' || letter.is_ascii_graphic() || is_kept(letter);
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_shown(letter) {
            true => shown.push(letter),
            // After another letter: at the beginning of a text an accent would be escaped that belongs to one.
            false => shown.extend(format!("a{letter}").escape_debug().skip(1)),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_every_script_stays() {
        for text in [
            "plain",
            "it's \"quoted\" \\ here",
            "Jose\u{301} Grüße 漢字 हिन्दी 🦀",
        ] {
            assert_eq!(printable(text), text);
        }
        for (text, wanted) in [
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\rc\td\0", "a\\nb\\rc\\td\\0"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            (
                "\u{2066}x\u{2069}\u{200b}\u{feff}",
                "\\u{2066}x\\u{2069}\\u{200b}\\u{feff}",
            ),
            ("\u{9b}2J\u{7f}\u{2028}", "\\u{9b}2J\\u{7f}\\u{2028}"),
        ] {
            assert_eq!(printable(text), wanted);
            // What was escaped once stays as it is.
            assert_eq!(printable(wanted), wanted);
        }
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn a_text_of_many_lines_becomes_one() {
        assert_eq!(one_line("a\r\n\n  b\u{7}\n"), "a / b\\u{7}");
        assert_eq!(one_line("a"), "a");
    }

    #[test]
    fn a_text_is_cut_between_words() {
        for (text, limit, wanted) in [
            ("one two", 7, "one two"),
            ("one two", 6, "one…"),
            ("one two", 4, "one…"),
            ("one two", 3, "one…"),
            ("one two", 2, "…"),
            ("ö ü\0ä", 4, "ö ü…"),
            ("", 0, ""),
        ] {
            assert_eq!(beginning(text, limit), wanted, "{text} {limit}");
        }
    }

    #[test]
    fn a_word_of_a_command_is_one_word_to_a_shell() {
        assert_eq!(shell_word("co/nf/config"), "co/nf/config");
        for word in ["a b", "$(reboot)", "`reboot`", "a;b", "it's", "-x\n'"] {
            let quoted = shell_word(word);
            let words = shlex::split(&quoted);
            assert_eq!(words, Some(vec![printable(word).into_owned()]), "{quoted}");
        }
    }
}
