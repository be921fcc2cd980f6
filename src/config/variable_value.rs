//! What the value of a variable was meant to be, where a tool that passed it on took it too literally.

/// Returns the value without the quotes around it and without the line break at its end: `docker --env-file` and some `.env`
/// readers leave quotes where a shell takes them off, and pasting adds the line break.
///
/// A quote that also stands within the value was not put around it, and a text of many lines keeps its last line break.
pub(super) fn unwrapped(value: &str) -> &str {
    let value = without_line_break(value);
    match unquoted(value.trim()) {
        Some(text) => without_line_break(text),
        None => value,
    }
}

/// Returns an element of a list without the quotes around it.
pub(super) fn unquoted(value: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|quote| {
        let text = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!text.contains(quote)).then_some(text)
    })
}

fn without_line_break(value: &str) -> &str {
    let text = value.strip_suffix('\n').unwrap_or(value);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains('\n') { value } else { text }
}

/// Returns the reference to another variable that nobody expanded: the whole value, a part of an address, or in braces a part of
/// anything else. In an address a password may hold a `$`, but no host and no path does.
pub(super) fn unexpanded(value: &str) -> Option<&str> {
    let whole = reference(value).filter(|found| found.len() == value.len());
    whole.or_else(|| {
        let (text, is_address) = match value.split_once("://") {
            Some((_, address)) => (
                address.rsplit_once('@').map_or(address, |(_, host)| host),
                true,
            ),
            None => (value, false),
        };
        let mut starts = text.match_indices('$').map(|(at, _)| &text[at..]);
        // A name in small letters may be a path's own.
        starts.find_map(|rest| {
            reference(rest)
                .filter(|name| !name.contains(is_small) && (is_address || name.contains('{')))
        })
    })
}

fn is_small(letter: char) -> bool {
    letter.is_ascii_lowercase()
}

/// Returns the `$NAME` or `${NAME}` that a text begins with.
fn reference(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let (name, around) = match rest.strip_prefix('{') {
        Some(rest) => (rest.split_once('}')?.0, "${}".len()),
        None => {
            let end = rest.find(|letter: char| !is_of_a_name(letter));
            (&rest[..end.unwrap_or(rest.len())], "$".len())
        }
    };
    let is_name = name.chars().all(is_of_a_name) && !name.starts_with(|l: char| l.is_ascii_digit());
    (is_name && !name.is_empty()).then(|| &text[..name.len() + around])
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_around_the_whole_value_and_the_last_line_break_go() {
        for (value, wanted) in [
            ("plain", "plain"),
            ("\"quoted\"", "quoted"),
            ("'quoted'", "quoted"),
            (" \"quoted\" ", "quoted"),
            ("\"quoted\"\r\n", "quoted"),
            ("\"quoted\n\"", "quoted"),
            ("\"\"", ""),
            ("broken\n", "broken"),
            (" spaces ", " spaces "),
            ("\"a\",\"b\"", "\"a\",\"b\""),
            (
                "\"Ops, Team\" <ops@mail.example>",
                "\"Ops, Team\" <ops@mail.example>",
            ),
            ("\"", "\""),
            ("\"half", "\"half"),
            ("'mixed\"", "'mixed\""),
            ("it's", "it's"),
            ("two\nlines\n", "two\nlines\n"),
            ("\"two\nlines\n\"", "two\nlines\n"),
        ] {
            assert_eq!(unwrapped(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn a_reference_is_found_and_a_password_is_none() {
        for (value, wanted) in [
            ("$NAME", Some("$NAME")),
            ("${NAME}", Some("${NAME}")),
            ("$name_2", Some("$name_2")),
            ("https://$HOST/a.git", Some("$HOST")),
            (
                "https://git.example/${CI_PROJECT_PATH}.git",
                Some("${CI_PROJECT_PATH}"),
            ),
            ("smtps://me@$SMTP_HOST:465", Some("$SMTP_HOST")),
            ("/srv/${DATA}/crates", Some("${DATA}")),
            ("A=$B,C=${D}", Some("${D}")),
            ("/srv/$DATA/crates", None),
            ("https://host.example/{crate}/${version}", None),
            ("https://me:$ECRET@git.example/a", None),
            ("https://git.example/$metadata", None),
            ("A=$B,C=$D", None),
            ("$", None),
            ("${}", None),
            ("$1", None),
            ("$NAME!", None),
            ("pa$$WORD", None),
            ("plain", None),
        ] {
            assert_eq!(unexpanded(value), wanted, "{value}");
        }
    }
}
