//! Stands before a git daemon and counts what passes: requests, by their pkt-lines, and bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What passed through a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections, each with its capability advertisement.
    pub connections: usize,
    /// The requests in the order in which they came: `ls-refs`, `fetch` or `push`.
    pub requests: Vec<String>,
    /// Bytes that the client received.
    pub received: u64,
    /// Bytes that the client sent.
    pub sent: u64,
}

/// A running proxy; it ends with the value, when its clients have gone.
pub struct CountingProxy {
    port: u16,
    counts: Arc<Mutex<Counts>>,
    running: Arc<Mutex<Vec<JoinHandle<()>>>>,
    is_over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl CountingProxy {
    /// Stands before the git daemon on a port of this machine.
    pub fn before(daemon: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::<Mutex<Counts>>::default();
        let running = Arc::<Mutex<Vec<JoinHandle<()>>>>::default();
        let is_over = Arc::<AtomicBool>::default();
        let acceptor = {
            let (counts, running) = (Arc::clone(&counts), Arc::clone(&running));
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || accept(&listener, daemon, &counts, &running, &is_over))
        };
        Self {
            port,
            counts,
            running,
            is_over,
            acceptor: Some(acceptor),
        }
    }

    /// Returns the URL of a repository as the proxy serves it.
    pub fn url(&self, path: &str) -> String {
        format!("git://127.0.0.1:{}/{path}", self.port)
    }

    /// Waits until every conversation is over, returns what passed, and begins again from nothing.
    pub fn take(&self) -> Counts {
        // A client that hangs up leaves its conversation to the two threads that end once both sides have seen it.
        for conversation in self.running.lock().unwrap().drain(..) {
            conversation.join().unwrap();
        }
        std::mem::take(&mut self.counts.lock().unwrap())
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        // An empty connection wakes the acceptor.
        self.is_over.store(true, Ordering::Release);
        if let Ok(farewell) = TcpStream::connect(("127.0.0.1", self.port)) {
            farewell.shutdown(Shutdown::Both).ok();
        }
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn accept(
    listener: &TcpListener,
    daemon: u16,
    counts: &Arc<Mutex<Counts>>,
    running: &Mutex<Vec<JoinHandle<()>>>,
    is_over: &AtomicBool,
) {
    for client in listener.incoming() {
        let client = client.unwrap();
        let mut first = [0; 1];
        if client.peek(&mut first).unwrap_or(0) == 0 {
            // A client that connected ahead, and had nothing to ask for.
            match is_over.load(Ordering::Acquire) {
                true => return,
                false => continue,
            }
        }
        counts.lock().unwrap().connections += 1;
        let server = TcpStream::connect(("127.0.0.1", daemon)).unwrap();
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        let counts = Arc::clone(counts);
        let conversation = thread::spawn(move || converse(&client, &server, &counts));
        running.lock().unwrap().push(conversation);
    }
}

fn converse(client: &TcpStream, server: &TcpStream, counts: &Mutex<Counts>) {
    thread::scope(|scope| {
        scope.spawn(|| {
            pass(server, client, |bytes| {
                counts.lock().unwrap().received += bytes.len() as u64;
            });
        });
        let mut requests = Requests::default();
        pass(client, server, |bytes| {
            let mut counts = counts.lock().unwrap();
            counts.sent += bytes.len() as u64;
            counts.requests.extend(requests.read(bytes));
        });
    });
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        see(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

/// Finds the requests in what a client sends over one connection.
#[derive(Default)]
struct Requests {
    pending: Vec<u8>,
    /// A push's pack follows its commands, and is no pkt-lines.
    pushes: bool,
}

impl Requests {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        if self.pushes {
            return found;
        }
        self.pending.extend_from_slice(bytes);
        while let Some(line) = self.next_line() {
            let text = String::from_utf8_lossy(&line);
            if let Some(command) = text.strip_prefix("command=") {
                found.push(command.trim().to_owned());
            } else if is_push(&text) {
                found.push("push".to_owned());
                self.pushes = true;
                self.pending.clear();
            }
        }
        found
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let digits = std::str::from_utf8(self.pending.get(..4)?).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap().max(4);
        if self.pending.len() < length {
            return None;
        }
        let line = self.pending.drain(..length).skip(4).collect();
        Some(line)
    }
}

/// Says whether a line is a push's `OLD NEW REF NUL capabilities`.
fn is_push(line: &str) -> bool {
    let mut words = line.splitn(3, ' ');
    let is_id = |word: Option<&str>| word.is_some_and(|word| word.len() == 40);
    is_id(words.next()) && is_id(words.next()) && words.next().is_some()
}
