//! What the stand-in answers, in GitLab's words, and how answers go wrong on their way.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// What it answers instead of what it would.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status, headers (`Name: value`), and a body.
    Says(u16, Vec<String>, String),
    /// A head that promises more than comes.
    Cut,
    /// Nothing, and the connection is closed.
    HangUp,
    /// Nothing, and the connection is closed, but what was asked for is done.
    Lost,
    /// Nothing, until the other side gives up.
    Silent,
    /// A 201 whose body never ends.
    Huge,
}

impl Reply {
    /// A status with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        let kind = "Content-Type: application/json".to_owned();
        Self::Says(status, vec![kind], body.to_string())
    }

    /// What GitLab says with a 400 about the pipeline itself.
    pub fn refused(words: &str) -> Self {
        Self::json(400, &json!({ "message": { "base": [words] } }))
    }

    /// What GitLab says with a 400 about the request's parameters.
    pub fn unfit(words: &str) -> Self {
        Self::json(400, &json!({ "error": words }))
    }

    /// What GitLab says of most refusals: the status and its name.
    pub fn named(status: u16, name: &str) -> Self {
        Self::json(status, &json!({ "message": format!("{status} {name}") }))
    }

    /// What GitLab says where it is asked too often, with one more header.
    pub fn throttled(header: &str) -> Self {
        let kind = "Content-Type: text/plain".to_owned();
        Self::Says(429, vec![kind, header.to_owned()], "Retry later\n".into())
    }

    /// A page for a browser.
    pub fn page(status: u16, text: &str) -> Self {
        let kind = "Content-Type: text/html; charset=utf-8".to_owned();
        let page = format!("<!DOCTYPE html>\n<html><body>{text}</body></html>\n");
        Self::Says(status, vec![kind], page)
    }

    /// An answer that points elsewhere.
    pub fn moved(status: u16, to: &str) -> Self {
        Self::Says(status, vec![format!("Location: {to}")], String::new())
    }

    /// Sends it.
    pub(super) fn send(self, stream: &mut TcpStream) -> Result<()> {
        match self {
            Self::Says(status, headers, body) => {
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n"
                )?;
                for header in headers {
                    write!(stream, "{header}\r\n")?;
                }
                write!(stream, "\r\n{body}")
            }
            Self::Cut => write!(
                stream,
                "HTTP/1.1 201 X\r\nContent-Length: 900\r\n\r\n{{\"id\":"
            ),
            Self::HangUp | Self::Lost => Ok(()),
            Self::Silent => stream.read(&mut [0]).map(drop),
            Self::Huge => {
                write!(
                    stream,
                    "HTTP/1.1 201 X\r\nContent-Type: application/json\r\n\r\n["
                )?;
                loop {
                    stream.write_all(&[b' '; 1 << 16])?;
                }
            }
        }
    }
}
