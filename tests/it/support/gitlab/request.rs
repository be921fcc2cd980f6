//! A request as the stand-in hears it, and the parameters in it.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use serde_json::Value;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its first line, without the version.
    pub line: String,
    /// Its headers, as they came.
    pub headers: Vec<String>,
    /// Its body.
    pub body: String,
}

impl Request {
    pub(super) fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
        let mut request = Self {
            line,
            headers: lines.split_off(1),
            body: String::new(),
        };
        let length = request
            .header("content-length")
            .and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8(body).ok()?;
        Some(request)
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (key, value) = header.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the body's parameters, be it JSON or a form; `name[key]` where one is inside another. None where the body is
    /// not what it says it is.
    pub fn parameters(&self) -> Option<Vec<(String, Value)>> {
        let kind = self.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            let form = url::form_urlencoded::parse(self.body.as_bytes()).into_owned();
            return Some(form.map(|(name, value)| (name, value.into())).collect());
        }
        let Ok(Value::Object(fields)) = serde_json::from_str(&self.body) else {
            return None;
        };
        let mut all = Vec::new();
        for (name, value) in fields {
            match value {
                Value::Object(inner) => {
                    let inner = inner.into_iter();
                    all.extend(inner.map(|(key, value)| (format!("{name}[{key}]"), value)));
                }
                value => all.push((name, value)),
            }
        }
        Some(all)
    }
}
