//! A real git daemon that serves the repositories of one folder.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running daemon; dropping it ends it.
pub struct GitDaemon {
    process: Child,
    port: u16,
}

impl GitDaemon {
    /// Starts a daemon that also takes pushes.
    pub fn start(repos: &Path) -> Self {
        let (process, port) = (0..5).find_map(|_| spawn(repos)).unwrap();
        Self { process, port }
    }

    /// Returns the port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a daemon on a port that was free just now; none where somebody else took it meanwhile.
fn spawn(repos: &Path) -> Option<(Child, u16)> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    // Found beside git, so that the process is the daemon itself and can be ended by its id.
    let beside = Command::new("git").arg("--exec-path").output().unwrap();
    let program = String::from_utf8(beside.stdout).unwrap();
    let mut process = Command::new(Path::new(program.trim()).join("git-daemon"))
        .args([
            "--reuseaddr",
            "--listen=127.0.0.1",
            "--export-all",
            "--verbose",
        ])
        .args(["--enable=receive-pack", &format!("--port={port}")])
        .arg(format!("--base-path={}", repos.display()))
        .arg(repos)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    if !log.any(|line| line.unwrap().contains("Ready to rumble")) {
        process.wait().unwrap();
        return None;
    }
    // Read on, or the daemon blocks when the pipe is full.
    std::thread::spawn(move || log.for_each(drop));
    Some((process, port))
}
