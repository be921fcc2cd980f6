//! Numbers, shares, sizes, and yes or no.

/// Reads per cent as a share of 0 to 1.
pub(in super::super) fn share(text: &str) -> Result<f64, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("expected 0% to 100%, found `{text}`")),
    }
}

/// Reads a whole number from 0 to 100.
pub(in super::super) fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count <= 100 => Ok(count),
        _ => Err(format!(
            "expected a whole number from 0 to 100, found `{text}`"
        )),
    }
}

/// Reads a whole number from 1 up.
pub(in super::super) fn rate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(rate) if rate > 0 => Ok(rate),
        _ => Err(format!("expected a whole number from 1 up, found `{text}`")),
    }
}

/// Reads a whole number from 1 to 1024.
pub(in super::super) fn connections(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err(format!(
            "expected a whole number from 1 to 1024, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads the size of a crate file, from 1 byte to 128 MiB, which is the most that is unpacked.
pub(in super::super) fn crate_size(text: &str) -> Result<u64, String> {
    const MOST: u64 = 128 << 20;
    match size(text) {
        Ok(size) if (1..=MOST).contains(&size) => Ok(size),
        _ => Err(format!(
            "expected a size of at most 128MiB such as 20MiB, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads a number of bytes below 8 EiB, with a unit of 1,000 or 1,024 or none.
///
/// # Errors
/// What was expected.
pub fn size(text: &str) -> Result<u64, String> {
    let error = || {
        format!(
            "expected a size below 8EiB such as 256MiB or 50GB, found `{}`",
            text.escape_debug()
        )
    };
    let size: bytesize::ByteSize = text.parse().map_err(|_| error())?;
    // The parser turns what is too large into the largest number; and SQLite, which sums sizes up, has signed ones.
    match i64::try_from(size.as_u64()) {
        Ok(_) => Ok(size.as_u64()),
        Err(_) => Err(error()),
    }
}

/// Reads `on` or `off`.
pub(in super::super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        // In YAML 1.1 bare `on` and `off` are booleans, so tools that rewrite a file may have written those.
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!(
            "expected on or off, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads `true` or `false`.
pub(in super::super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("expected true or false, found `{text}`"))
}
