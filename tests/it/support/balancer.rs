//! Stands before several servers, as a proxy does that knows no more than TCP: each connection goes to the next one that answers.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running balancer; it ends with the process.
pub struct Balancer {
    listener: TcpListener,
    taken: Arc<Vec<AtomicUsize>>,
}

impl Balancer {
    /// Listens, and leaves clients in the backlog.
    pub fn listen(servers: usize) -> Self {
        let taken = (0..servers).map(|_| AtomicUsize::new(0)).collect();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            taken: Arc::new(taken),
        }
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Returns how many connections each server got.
    pub fn taken(&self) -> Vec<usize> {
        let counts = self.taken.iter();
        counts.map(|count| count.load(Ordering::SeqCst)).collect()
    }

    /// Passes connections on to these servers.
    pub fn serve(&self, servers: Vec<SocketAddr>) {
        let (listener, taken) = (self.listener.try_clone().unwrap(), Arc::clone(&self.taken));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let turns = (0..servers.len()).map(|turn| (number + turn) % servers.len());
                let mut answers = turns.filter_map(|at| {
                    let server = TcpStream::connect(servers[at]).ok()?;
                    taken[at].fetch_add(1, Ordering::SeqCst);
                    Some(server)
                });
                if let Some(server) = answers.next() {
                    pass(client.unwrap(), server);
                }
            }
        });
    }
}

fn pass(client: TcpStream, server: TcpStream) {
    let both = |socket: &TcpStream| socket.try_clone().unwrap();
    for (mut from, mut to) in [(both(&client), both(&server)), (server, client)] {
        thread::spawn(move || {
            // Either side may break off.
            let _ = io::copy(&mut from, &mut to);
            for socket in [from, to] {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}
