//! Shows versions as yanked, or as not, without touching another byte of a crate's file.

use std::ops::Range;

/// Returns a crate's file in which lines say otherwise whether they are yanked: `shown` is asked with each line, and `None` leaves
/// it. Every other byte stays, also those of lines that cannot be read.
pub fn shown_yanked(content: &[u8], shown: impl Fn(&[u8]) -> Option<bool>) -> Vec<u8> {
    let mut made = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        match shown(line) {
            Some(is_yanked) => write(line, is_yanked, &mut made),
            None => made.extend_from_slice(line),
        }
    }
    made
}

/// Writes a line that is one JSON object, and says whether it is yanked.
fn write(line: &[u8], is_yanked: bool, made: &mut Vec<u8>) {
    let said: &[u8] = if is_yanked { b"true" } else { b"false" };
    match place_of_value(line, b"yanked") {
        Some(value) => {
            made.extend_from_slice(&line[..value.start]);
            made.extend_from_slice(said);
            made.extend_from_slice(&line[value.end..]);
        }
        None => {
            let end = line.iter().rposition(|byte| *byte == b'}');
            let end = end.unwrap_or(line.len());
            made.extend_from_slice(&line[..end]);
            made.extend_from_slice(br#","yanked":"#);
            made.extend_from_slice(said);
            made.extend_from_slice(&line[end..]);
        }
    }
}

/// Finds the value of a key of a JSON object, which has been read before: nothing is checked here.
// serde_json tells no place but with its feature `raw_value`, for all of the program.
fn place_of_value(object: &[u8], key: &[u8]) -> Option<Range<usize>> {
    let (mut depth, mut at) = (0_usize, 0);
    // Where the value of the wanted key begins, once that was passed.
    let mut begin = None;
    let mut is_key = false;
    while at < object.len() {
        match object[at] {
            b'"' => {
                let end = end_of_text(object, at);
                let text = object.get(at + 1..end.saturating_sub(1));
                if depth == 1 && is_key && text == Some(key) {
                    let colon = object[end..].iter().position(|byte| *byte == b':')?;
                    begin = Some(end + colon + 1);
                }
                is_key = false;
                at = end;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                is_key = true;
            }
            b',' | b'}' if depth == 1 => {
                if let Some(begin) = begin {
                    return Some(trimmed(object, begin..at));
                }
                is_key = true;
                depth -= usize::from(object[at] == b'}');
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns the place after the quote that ends the text which begins here.
fn end_of_text(json: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

fn trimmed(json: &[u8], Range { start, end }: Range<usize>) -> Range<usize> {
    let value = &json[start..end];
    let before = value.len() - value.trim_ascii_start().len();
    let after = value.len() - value.trim_ascii_end().len();
    start + before..(end - after).max(start + before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn yanked(line: &str) -> String {
        String::from_utf8(shown_yanked(line.as_bytes(), |_| Some(true))).unwrap()
    }

    #[test]
    fn only_the_value_changes() {
        for (line, made) in [
            (
                r#"{"vers":"1.0.0","yanked":false}"#,
                r#"{"vers":"1.0.0","yanked":true}"#,
            ),
            (
                r#"{ "yanked" : false , "v":2}"#,
                r#"{ "yanked" : true , "v":2}"#,
            ),
            (r#"{"yanked":true}"#, r#"{"yanked":true}"#),
            (r#"{"yanked":null,"v":2}"#, r#"{"yanked":true,"v":2}"#),
            (r#"{"vers":"1.0.0"}"#, r#"{"vers":"1.0.0","yanked":true}"#),
            (
                r#"{"features":{"yanked":["yanked"]},"links":"yanked","a\"":"}","yanked":false}"#,
                r#"{"features":{"yanked":["yanked"]},"links":"yanked","a\"":"}","yanked":true}"#,
            ),
            (
                r#"{"deps":[{"name":"yanked","x":"yanked"},{"yanked":false}],"yanked":false}"#,
                r#"{"deps":[{"name":"yanked","x":"yanked"},{"yanked":false}],"yanked":true}"#,
            ),
        ] {
            assert_eq!(yanked(line), made);
        }
    }

    #[test]
    fn a_yanked_version_can_be_shown_as_if_it_were_not() {
        let line = br#"{"vers":"1.0.0","yanked":true,"v":2}"#;
        let made = shown_yanked(line, |_| Some(false));
        assert_eq!(made, br#"{"vers":"1.0.0","yanked":false,"v":2}"#);
    }

    #[test]
    fn other_lines_and_what_lies_between_them_stay_as_they_are() {
        let content = b"{\"vers\":\"1\",\"yanked\":false}\r\n\n\xff no json\n{\"vers\":\"2\",\"yanked\":false}";
        let second = |line: &[u8]| line.starts_with(b"{\"vers\":\"2\"").then_some(true);
        let made = shown_yanked(content, second);
        let wanted = b"{\"vers\":\"1\",\"yanked\":false}\r\n\n\xff no json\n{\"vers\":\"2\",\"yanked\":true}";
        assert_eq!(made, wanted);
        assert_eq!(shown_yanked(content, |_| None), content);
    }

    /// Makes any JSON value.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "yanked|[\\PC\"\\\\]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("yanked|[a-c\"\\\\]{0,2}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_other_key_keeps_its_value(
            keys in prop::collection::vec(("yanked|[a-c{}\\[\\],:\"\\\\]{0,4}", json()), 1..6),
            is_pretty in any::<bool>(),
        ) {
            let mut object: Map<String, Value> = keys.into_iter().collect();
            let line = match is_pretty {
                // With spaces, and on one line as an index has it.
                true => serde_json::to_string_pretty(&object).unwrap().replace('\n', " "),
                false => serde_json::to_string(&object).unwrap(),
            };
            object.insert("yanked".to_owned(), Value::from(true));
            let made: Map<String, Value> = serde_json::from_str(&yanked(&line)).unwrap();
            prop_assert_eq!(made, object);
        }

        #[test]
        fn no_content_makes_it_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            shown_yanked(&content, |_| Some(true));
        }
    }
}
