//! What the YAML parser complains of, in words that help whoever wrote the file.

use std::borrow::Cow;

/// What the parser says, and what it means. The first whose words are in the message counts.
const FAULTS: &[(&str, &str)] = &[
    (
        "found character that cannot start any token",
        "a tab, `@`, a backquote or `%` cannot stand here: indent with spaces, and put such a value in quotes",
    ),
    (
        "mapping values are not allowed in this context",
        "a `:` cannot stand here: the line is indented otherwise than the one above it, or the value needs quotes",
    ),
    (
        "scanning a quoted scalar",
        "a quotation mark that opens a value is not closed",
    ),
    (
        "found unknown escape character",
        "a backslash in double quotes begins an escape that YAML does not know: use single quotes",
    ),
    (
        "did not find expected hexadecimal number",
        "an escape in double quotes lacks its hexadecimal digits: use single quotes",
    ),
    (
        "did not find expected ',' or ']'",
        "a `[` that opens a list is not closed, or a comma is missing in it",
    ),
    (
        "did not find expected ',' or '}'",
        "a `{` that opens a mapping is not closed, or a comma is missing in it",
    ),
    (
        "could not find expected ':'",
        "a key without a `:` after it",
    ),
    (
        "did not find expected key",
        "a key is expected here, as deep as those above it",
    ),
    (
        "did not find expected '-' indicator",
        "a `-` is expected here: the list goes on, or ends with less indentation",
    ),
    (
        "did not find expected node content",
        "a value is expected here",
    ),
    (
        "found undefined tag handle",
        "a value that begins with `!` needs quotes",
    ),
    (
        "unknown anchor",
        "a value that begins with `*` needs quotes: no `&` has given it that name",
    ),
    (
        "alphabetic or numeric character",
        "a value that begins with `*` or `&` needs quotes",
    ),
    (
        "found incompatible YAML document",
        "the file says that it is of another version than YAML 1.1 and 1.2",
    ),
    (
        "recursion limit exceeded",
        "lists or mappings are nested too deep",
    ),
    ("repetition limit exceeded", "anchors repeat too much"),
    (
        "control characters are not allowed",
        "a control character, which no text has",
    ),
];

/// The parser's names of what it found, and the usual ones.
const FOUND: &[(&str, &str)] = &[
    ("invalid type: sequence,", "found a list,"),
    ("invalid type: map,", "found a mapping,"),
    ("invalid type: unit value,", "found nothing,"),
    ("invalid type: null,", "found nothing,"),
];

/// Says what the parser means. Messages that are ours stay.
pub(super) fn in_plain_words(message: &str) -> Cow<'_, str> {
    let fault = FAULTS.iter().find(|(said, _)| message.contains(said));
    if let Some((_, meant)) = fault {
        return match beginning(message) {
            Some(line) => Cow::Owned(format!("{meant}; it begins in line {line}")),
            None => Cow::Borrowed(meant),
        };
    }
    let found = FOUND.iter().find(|(said, _)| message.contains(said));
    let text = match found {
        Some((said, usual)) => Cow::Owned(message.replacen(said, usual, 1)),
        None => Cow::Borrowed(message),
    };
    // The position stands in front already.
    match text.rfind(" at line ") {
        Some(end) if is_position(&text[end..]) => Cow::Owned(text[..end].to_owned()),
        _ => text,
    }
}

/// Returns the line where that begins of which the parser did not find the end.
fn beginning(message: &str) -> Option<&str> {
    let (_, of) = message.split_once(", while ")?;
    let is_open = ["a quoted scalar", "a flow "]
        .iter()
        .any(|what| of.contains(what));
    let (_, position) = of.split_once(" at line ")?;
    position.split(' ').next().filter(|_| is_open)
}

fn is_position(text: &str) -> bool {
    let numbers = text
        .strip_prefix(" at line ")
        .and_then(|rest| rest.split_once(" column "));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(line, column)| is_number(line) && is_number(column))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    /// Texts that the parser refuses, each for another reason; none of its own words may be left.
    const REFUSED: &[&str] = &[
        "mirror:\n\turl: x\n",
        "mirror:\n url: a\n   b: c\n",
        "mirror:\n  url: \"abc\n",
        "mirror:\n  url: 'abc\n",
        "mirror:\n  url: \"\\d\"\n",
        "mirror:\n  url: \"\\xZZ\"\n",
        "mirror: [1, 2\n",
        "mirror: {url: a\n",
        "mirror:\n  url: a\n  dl\nserve:\n",
        "mirror:\n    url: a\n  dl: b\n",
        "mirror:\n  keep:\n    - a\n    b: c\n",
        "mirror:\n  url: !x!y z\n",
        "mirror:\n  url: *a\n",
        "mirror:\n  url: * a\n",
        "mirror:\n  url: @a\n",
        "mirror:\n  url: `a`\n",
        "%YAML 3.0\n---\nmirror: {}\n",
        "mirror:\n  url: a\u{1}b\n",
    ];

    #[test]
    fn each_fault_of_a_file_is_told_in_plain_words() {
        let told: Vec<_> = REFUSED
            .iter()
            .map(|text| {
                let parsed = serde_yaml::from_str::<serde_yaml::Value>(text);
                let error = parsed.expect_err(text).to_string();
                format!("{text:?}\n    {}", in_plain_words(&error))
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn only_the_parsers_position_is_taken_off() {
        assert_eq!(in_plain_words("a at line 2 column 3"), "a");
        assert_eq!(
            in_plain_words("a at line 2 column x"),
            "a at line 2 column x"
        );
    }
}
