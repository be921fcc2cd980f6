//! Stands before a server and passes bytes on, until it is told to hang or to break off.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are passed on.
    Pass,
    /// They are held back until that changes.
    Hang,
    /// So many more are passed on to the server, then every connection is cut, as by the server's end.
    CutUp(usize),
    /// So many more are passed on to the server, then its connection is cut, and all others pass.
    CutUpOnce(usize),
    /// So many more are passed on to the client, then every connection is cut.
    CutDown(usize),
}

/// A running relay; it ends with the process.
pub struct Relay {
    address: SocketAddr,
    fate: Arc<(Mutex<Fate>, Condvar)>,
}

impl Relay {
    /// Stands before a server.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fate = Arc::new((Mutex::new(Fate::Pass), Condvar::new()));
        let relay = Self {
            address,
            fate: Arc::clone(&fate),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                for is_up in [true, false] {
                    let sockets = [&client, &server].map(|socket| socket.try_clone().unwrap());
                    let fate = Arc::clone(&fate);
                    thread::spawn(move || pass(&sockets, is_up, &fate));
                }
            }
        });
        relay
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does so from now on.
    pub fn set(&self, fate: Fate) {
        *self.fate.0.lock().unwrap() = fate;
        self.fate.1.notify_all();
    }
}

fn pass([client, server]: &[TcpStream; 2], is_up: bool, fate: &(Mutex<Fate>, Condvar)) {
    let (mut from, mut to) = if is_up {
        (client, server)
    } else {
        (server, client)
    };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !may_pass(length, is_up, fate) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    for socket in [client, server] {
        // The other way may have ended both already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn may_pass(length: usize, is_up: bool, fate: &(Mutex<Fate>, Condvar)) -> bool {
    let now = fate.0.lock().unwrap();
    let mut now = fate.1.wait_while(now, |now| *now == Fate::Hang).unwrap();
    match &mut *now {
        Fate::CutUp(left) if is_up => take(left, length),
        Fate::CutDown(left) if !is_up => take(left, length),
        Fate::CutUpOnce(left) if is_up => {
            let passes = take(left, length);
            if !passes {
                *now = Fate::Pass;
            }
            passes
        }
        _ => true,
    }
}

fn take(left: &mut usize, length: usize) -> bool {
    let passes = *left >= length;
    *left -= length.min(*left);
    passes
}
