//! A host of crate files, which can be told to misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What no request is waited for longer than.
const BOUND: Duration = Duration::from_secs(60);

/// How the host answers.
#[derive(Debug, Clone)]
pub enum Manner {
    /// The file, with its length.
    Fine,
    /// The file without its length: it ends with the connection.
    WithoutLength,
    /// The first so many bytes, then the connection is cut; the rest where only the rest is asked for.
    Cut(usize),
    /// The first so many bytes for the first request, then the whole file whatever is asked for.
    CutOnce(usize),
    /// The first so many bytes, whatever is asked for.
    AlwaysCut(usize),
    /// The first so many bytes, then nothing more.
    Silent(usize),
    /// A byte now and then, and never the whole file.
    Dripping,
    /// These bytes in place of the file.
    Wrong(Vec<u8>),
    /// A status, and headers as lines.
    Status(u16, String),
    /// That status for so many requests, then the file.
    StatusAtFirst(u16, usize),
    /// That status, and headers as lines, for the request of that number, counted from 1; the file for all others.
    StatusAt(usize, u16, String),
    /// Sends the client in a circle.
    Loop,
    /// Sends the client on to the file.
    Redirect,
    /// The head and the first so many bytes, and all else after `go_on`; with none the head waits too.
    Pausing(usize),
    /// These bytes as they are, the first for the first request from now on; the last for every further one.
    Raw(Vec<Vec<u8>>),
}

/// Makes an answer of lines and a body, for [`Manner::Raw`].
pub fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    requests: Vec<String>,
    agents: Vec<String>,
    manner: Option<Manner>,
    /// How many requests there were when that began.
    before: usize,
    is_held: bool,
    /// So many requests are answered, and no more.
    is_held_after: Option<usize>,
    goes_on: bool,
}

/// A running host; it ends with the process.
#[derive(Clone)]
pub struct CrateHost {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl CrateHost {
    /// Starts a host without files.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Self {
            port,
            state: Arc::default(),
        };
        let serving = host.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let host = serving.clone();
                thread::spawn(move || {
                    // A client that went away is no failure.
                    let _ = host.answer(stream.unwrap());
                });
            }
        });
        host
    }

    /// Returns the `dl` of its files.
    pub fn dl(&self) -> String {
        format!("http://127.0.0.1:{}/crates", self.port)
    }

    /// Adds a file.
    pub fn put(&self, name: &str, version: &str, bytes: Vec<u8>) {
        self.put_at(&format!("/crates/{name}/{version}/download"), bytes);
    }

    /// Adds a file at a path.
    pub fn put_at(&self, path: &str, bytes: Vec<u8>) {
        let mut state = self.state.0.lock().unwrap();
        state.files.insert(path.to_owned(), bytes);
    }

    /// Removes the file at a path.
    pub fn remove_at(&self, path: &str) {
        self.state.0.lock().unwrap().files.remove(path);
    }

    /// Answers so from now on.
    pub fn behave(&self, manner: Manner) {
        let mut state = self.state.0.lock().unwrap();
        state.before = state.requests.len();
        state.goes_on = false;
        state.manner = Some(manner);
    }

    /// Sends the rest of what is paused.
    pub fn go_on(&self) {
        self.state.0.lock().unwrap().goes_on = true;
        self.state.1.notify_all();
    }

    /// Answers nothing until `release`.
    pub fn hold(&self) {
        self.state.0.lock().unwrap().is_held = true;
    }

    /// Answers nothing after so many requests, until `release`.
    pub fn hold_after(&self, number: usize) {
        self.state.0.lock().unwrap().is_held_after = Some(number);
    }

    /// Answers again.
    pub fn release(&self) {
        let mut state = self.state.0.lock().unwrap();
        (state.is_held, state.is_held_after) = (false, None);
        drop(state);
        self.state.1.notify_all();
    }

    /// Returns the paths of all requests.
    pub fn requests(&self) -> Vec<String> {
        self.state.0.lock().unwrap().requests.clone()
    }

    /// Returns who asked.
    pub fn agents(&self) -> Vec<String> {
        self.state.0.lock().unwrap().agents.clone()
    }

    /// Waits until so many requests came.
    pub fn wait_for_requests(&self, number: usize) {
        let state = self.state.0.lock().unwrap();
        let is_short = |s: &mut State| s.requests.len() < number;
        let waited = self.state.1.wait_timeout_while(state, BOUND, is_short);
        let (state, _) = waited.unwrap();
        let asked = state.requests.len();
        drop(state);
        assert!(asked >= number, "{asked} requests of {number}");
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let (path, from, agent) = head(&stream)?;
        let (manner, file) = {
            let mut state = self.state.0.lock().unwrap();
            state.requests.push(path.clone());
            state.agents.push(agent);
            self.state.1.notify_all();
            let number = state.requests.len();
            let is_held =
                |s: &mut State| s.is_held || s.is_held_after.is_some_and(|most| number > most);
            let state = self.state.1.wait_while(state, is_held).unwrap();
            let file = state.files.get(path.trim_start_matches("/moved")).cloned();
            let manner = match state.manner.clone().unwrap_or(Manner::Fine) {
                Manner::StatusAtFirst(status, times) if number <= times => {
                    Manner::Status(status, String::new())
                }
                Manner::StatusAt(at, status, headers) if number == at => {
                    Manner::Status(status, headers)
                }
                Manner::Raw(answers) => {
                    let number = number.saturating_sub(state.before);
                    Manner::Raw(vec![answers[number.clamp(1, answers.len()) - 1].clone()])
                }
                Manner::CutOnce(at) if number % 2 == 1 => Manner::AlwaysCut(at),
                manner => manner,
            };
            (manner, file)
        };
        let Some(file) = file else {
            return stream.write_all(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        };
        let length = file.len();
        let whole =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        match manner {
            Manner::Fine
            | Manner::CutOnce(_)
            | Manner::StatusAtFirst(..)
            | Manner::StatusAt(..) => {
                stream.write_all(whole.as_bytes())?;
                stream.write_all(&file)
            }
            Manner::WithoutLength => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                stream.write_all(&file)
            }
            Manner::Cut(at) if from > 0 => {
                let left = length - from;
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-length: {left}\r\ncontent-range: bytes {from}-{}/{length}\r\nconnection: close\r\n\r\n",
                    length - 1
                );
                let _ = at;
                stream.write_all(head.as_bytes())?;
                stream.write_all(&file[from..])
            }
            Manner::Cut(at) | Manner::AlwaysCut(at) => {
                stream.write_all(whole.as_bytes())?;
                stream.write_all(&file[..at.min(length)])
            }
            Manner::Silent(at) => {
                stream.write_all(whole.as_bytes())?;
                stream.write_all(&file[..at.min(length)])?;
                // Until the client has had enough.
                BufReader::new(stream)
                    .read_line(&mut String::new())
                    .map(drop)
            }
            Manner::Dripping => {
                stream.write_all(whole.as_bytes())?;
                drip(&stream, &file)
            }
            Manner::Wrong(bytes) => {
                let length = bytes.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes())?;
                stream.write_all(&bytes)
            }
            Manner::Status(status, headers) => {
                let head = format!(
                    "HTTP/1.1 {status} No\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes())
            }
            Manner::Pausing(at) => {
                let all = [whole.as_bytes(), &file].concat();
                let (now, later) = all.split_at(if at == 0 { 0 } else { whole.len() + at });
                stream.write_all(now)?;
                let state = self.state.0.lock().unwrap();
                drop(self.state.1.wait_while(state, |state| !state.goes_on));
                stream.write_all(later)
            }
            Manner::Raw(answers) => stream.write_all(&answers[0]),
            Manner::Redirect if path.starts_with("/moved") => {
                stream.write_all(whole.as_bytes())?;
                stream.write_all(&file)
            }
            Manner::Loop | Manner::Redirect => {
                let to = match manner {
                    Manner::Loop => path,
                    _ => format!("/moved{path}"),
                };
                let head = format!(
                    "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes())
            }
        }
    }
}

/// Sends a byte each time the client has said nothing for a while, until it has had enough.
fn drip(mut stream: &TcpStream, file: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    for byte in file {
        stream.write_all(&[*byte])?;
        if let Ok(0) = stream.read(&mut [0]) {
            break;
        }
    }
    Ok(())
}

/// Reads the head of a request: its path, the first byte that is asked for, and the agent.
fn head(stream: &TcpStream) -> std::io::Result<(String, usize, String)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut from, mut agent) = (0, String::new());
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let start = value.trim_start_matches("bytes=").trim_end_matches('-');
                from = start.parse().unwrap();
            }
            "user-agent" => agent = value.to_owned(),
            _ => {}
        }
    }
    Ok((path, from, agent))
}
