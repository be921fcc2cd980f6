//! The local transport behind a port, so that a stock git can speak with it.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crates_ferry::git::transport::local::LocalRemote;
use crates_ferry::git::transport::{Service, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::client::limits;

/// A running server; dropping it ends it.
pub struct LocalServer {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LocalServer {
    /// Serves the repositories of a folder.
    pub fn start(repos: &Path) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, port) = std::sync::mpsc::channel();
        let repos = repos.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    () = accept(&listener, &repos) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port: port.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, repos: &Path) {
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(connection, repos.to_owned()));
    }
}

/// Reads the request of the `git://` protocol, `PROGRAM PATH NUL …`, and joins the connection to the service.
async fn serve(mut connection: TcpStream, repos: PathBuf) {
    // A client that is cut off before it has asked gets no answer.
    let Ok(request) = request(&mut connection).await else {
        return;
    };
    let request = String::from_utf8(request).unwrap();
    let (program, path) = request.split('\0').next().unwrap().split_once(' ').unwrap();
    let service = match program {
        "git-upload-pack" => Service::UploadPack,
        _ => Service::ReceivePack,
    };
    let remote = LocalRemote::new(repos.join(path.trim_start_matches('/')), &limits());
    let Stream {
        mut reader,
        mut writer,
        stderr,
    } = remote.open(service).await.unwrap();
    let (mut from, mut to) = connection.split();
    let there = async {
        let _ = copy(&mut from, &mut writer).await;
        let _ = writer.shutdown().await;
        std::future::pending::<()>().await;
    };
    let back = async {
        let _ = copy(&mut reader, &mut to).await;
        let _ = to.shutdown().await;
    };
    // The service's end is the end.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
    if !stderr.text().is_empty() {
        eprintln!("{program}: {}", stderr.text());
    }
}

async fn request(connection: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    connection.read_exact(&mut length).await?;
    let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
    let mut request = vec![0; length - 4];
    connection.read_exact(&mut request).await?;
    Ok(request)
}
