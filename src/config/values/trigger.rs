//! What the trigger helper sends to GitLab: a project, and names with values.

/// Reads a project's path or number.
pub(in super::super) fn project(text: &str) -> Result<String, String> {
    // People copy the end of a clone URL, too.
    let path = text.trim_matches('/').trim_end_matches(".git");
    let strange = |c: char| c.is_control() || c.is_whitespace() || "?#%\\".contains(c);
    match path.is_empty() || path.contains(strange) || path.contains("://") {
        true => Err(format!(
            "expected a project's path such as rust/mirror, or its number, found `{}`",
            text.escape_debug()
        )),
        false => Ok(path.to_owned()),
    }
}

/// Reads `name=value`.
pub(in super::super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value))
            // The form's field is `variables[NAME]`: a bracket in the name would end it.
            if !name.is_empty()
                && !name.contains(['[', ']'])
                && !name.contains(char::is_control) =>
        {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        // The text is not repeated: the value may be a token.
        _ => Err("expected name=value, with a name without brackets".to_owned()),
    }
}

/// Reads the name of a time zone of the IANA database, such as `Europe/Berlin`.
pub(in super::super) fn time_zone(text: &str) -> Result<String, String> {
    match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "expected a name such as Europe/Berlin or UTC, found `{}`",
            text.escape_debug()
        )),
    }
}
