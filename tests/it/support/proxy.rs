//! Stands between a client and a server on loopback: records what passes, cuts it off after n bytes, or changes it
//! packet by packet.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use super::frames::Frames;

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The connection, in the order in which they were opened, from 0.
    pub connection: usize,
    /// The way whose bytes are counted.
    pub way: Way,
    /// How many bytes still pass.
    pub after: usize,
}

/// One packet on its way, or a piece of what is no packets (a pack that is pushed).
pub struct Passing<'a> {
    /// The connection, in the order in which they were opened, from 0.
    pub connection: usize,
    /// Where it goes.
    pub way: Way,
    /// The packet with its length, which may be changed to anything.
    pub bytes: &'a mut Vec<u8>,
}

/// What becomes of a packet and of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Pass,
    /// It is held back, with everything after it; the connection stays open.
    Stall,
    /// It goes on, then the connection is closed.
    HangUp,
    /// It goes on, then this follows until the reader hangs up.
    Endless(Vec<u8>),
}

type Watch = Box<dyn FnMut(&mut Passing<'_>) -> Action + Send>;

/// What passed, by connection and way.
pub type Record = HashMap<(usize, Way), Vec<u8>>;

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    record: Record,
    connections: usize,
    running: Vec<JoinHandle<()>>,
    is_closing: bool,
}

/// What the proxy and its connections share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while it looks, so that it sees one packet at a time.
    watch: Mutex<Option<Watch>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A running proxy; it ends with the value, when its connections have ended.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Stands before the server on a port of this machine.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, server, &shared))
        };
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts from now on; connections are counted from 0 again.
    pub fn cut(&self, cut: impl Into<Option<Cut>>) {
        let mut state = self.state();
        state.cut = cut.into();
        state.connections = 0;
    }

    /// Shows every packet from now on to `watch`; connections are counted from 0 again.
    pub fn watch(&self, watch: impl FnMut(&mut Passing<'_>) -> Action + Send + 'static) {
        *self.shared.watch.lock().unwrap() = Some(Box::new(watch));
        self.state().connections = 0;
    }

    /// Waits until every connection has ended on both sides; returns what passed since the last time, and counts
    /// connections from 0 again.
    ///
    /// A server that a connection led to has then done all that it will do: it is read to its end after a cut, too.
    pub fn settle(&self) -> Record {
        let running = std::mem::take(&mut self.state().running);
        for connection in running {
            connection.join().unwrap();
        }
        let mut state = self.state();
        state.connections = 0;
        std::mem::take(&mut state.record)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state().is_closing = true;
        // Wakes the acceptor.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, server: u16, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let client = client.unwrap();
        if shared.state().is_closing {
            return;
        }
        let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        let mut state = shared.state();
        let number = state.connections;
        state.connections += 1;
        let shared = Arc::clone(shared);
        let connection = thread::spawn(move || converse(number, &client, &server, &shared));
        state.running.push(connection);
    }
}

fn converse(number: usize, client: &TcpStream, server: &TcpStream, shared: &Shared) {
    let side = |way| Side {
        number,
        way,
        client,
        server,
        shared,
    };
    thread::scope(|scope| {
        scope.spawn(|| side(Way::Down).run());
        side(Way::Up).run();
    });
}

/// One way of one connection.
struct Side<'a> {
    number: usize,
    way: Way,
    client: &'a TcpStream,
    server: &'a TcpStream,
    shared: &'a Shared,
}

impl Side<'_> {
    fn run(&self) {
        let (mut from, to) = match self.way {
            Way::Up => (self.client, self.server),
            Way::Down => (self.server, self.client),
        };
        if self.pass(from, to).is_none() {
            // After a cut: the client sees the end at once; the server sees the end of its input and finishes.
            self.client.shutdown(Shutdown::Both).ok();
        }
        to.shutdown(Shutdown::Write).ok();
        if self.way == Way::Down {
            std::io::copy(&mut from, &mut std::io::sink()).ok();
            self.client.shutdown(Shutdown::Both).ok();
        }
    }

    /// Passes bytes on until there are no more; `None` when the connection is to be cut.
    fn pass(&self, mut from: &TcpStream, to: &TcpStream) -> Option<()> {
        let in_packets = self.shared.watch.lock().unwrap().is_some();
        let mut buffer = vec![0; 64 * 1024];
        let mut frames = Frames::default();
        let mut passed = 0;
        self.left(passed)?;
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            frames.pending.extend_from_slice(&buffer[..length]);
            frames.is_raw |= !in_packets || length == 0;
            while let Some(mut bytes) = frames.next() {
                let action = self.look(&mut bytes);
                if action == Action::Stall {
                    std::io::copy(&mut from, &mut std::io::sink()).ok();
                    return Some(());
                }
                bytes.truncate(self.left(passed)?);
                passed += bytes.len();
                self.send(to, &bytes, action)?;
                self.left(passed)?;
            }
            if length == 0 {
                return Some(());
            }
        }
    }

    fn send(&self, mut to: &TcpStream, bytes: &[u8], action: Action) -> Option<()> {
        let mut state = self.shared.state();
        let record = state.record.entry((self.number, self.way)).or_default();
        record.extend_from_slice(bytes);
        drop(state);
        // Where nobody reads any more, the other way ends as well.
        to.write_all(bytes).ok();
        match action {
            Action::HangUp => return None,
            Action::Endless(bytes) => while to.write_all(&bytes).is_ok() {},
            Action::Pass | Action::Stall => {}
        }
        Some(())
    }

    /// Returns how many more bytes may pass; `None` for no more.
    fn left(&self, passed: usize) -> Option<usize> {
        let cut = self.shared.state().cut;
        match cut.filter(|cut| cut.connection == self.number && cut.way == self.way) {
            None => Some(usize::MAX),
            Some(cut) => Some(cut.after - passed).filter(|left| *left > 0),
        }
    }

    fn look(&self, bytes: &mut Vec<u8>) -> Action {
        let (connection, way) = (self.number, self.way);
        let mut watch = self.shared.watch.lock().unwrap();
        watch.as_mut().map_or(Action::Pass, |watch| {
            watch(&mut Passing {
                connection,
                way,
                bytes,
            })
        })
    }
}
