//! A server that answers every client in the same wrong way.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a server does with a connection.
#[derive(Clone)]
pub enum Fault {
    /// It says nothing, until the client hangs up.
    Silent,
    /// It greets with these words, and answers each further line by the next of them.
    Says(Vec<String>),
    /// It answers a request over HTTP with this text: status, headers and body. The first is for POST, the second for all others.
    Answers(String, String),
    /// It shows this certificate, and has this key.
    Shows(Arc<ServerConfig>),
}

impl Fault {
    /// Answers with a status and a body.
    pub fn status(status: u16, content: &str, body: &str) -> Self {
        let answer = answer(status, content, body);
        Self::Answers(answer.clone(), answer)
    }

    /// Creates what is posted, and answers all else with a status.
    pub fn once_created(created: &str, status: u16, body: &str) -> Self {
        let json = "application/json";
        Self::Answers(answer(201, json, created), answer(status, json, body))
    }

    /// Shows a certificate, of PEM files.
    pub fn shows((cert, key): &(PathBuf, PathBuf)) -> Self {
        let cert = CertificateDer::from_pem_file(cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        Self::Shows(Arc::new(config))
    }
}

fn answer(status: u16, content: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Thus\r\nContent-Type: {content}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Starts the server, and returns its port; the thread ends with the process of the test.
pub fn start(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let fault = fault.clone();
            // A client that hangs up in between is what is to be seen.
            thread::spawn(move || serve(client.unwrap(), fault).ok());
        }
    });
    port
}

fn serve(mut client: TcpStream, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Silent => std::io::copy(&mut client, &mut std::io::sink()).map(drop),
        Fault::Says(lines) => {
            let mut reader = BufReader::new(client.try_clone()?);
            for line in lines {
                client.write_all(format!("{line}\r\n").as_bytes())?;
                reader.read_line(&mut String::new())?;
            }
            Ok(())
        }
        Fault::Answers(to_post, other) => {
            let answer = match read_request(&client)?.starts_with("POST ") {
                true => to_post,
                false => other,
            };
            client.write_all(answer.as_bytes())
        }
        Fault::Shows(config) => {
            let tls = ServerConnection::new(config).unwrap();
            StreamOwned::new(tls, client)
                .read_to_end(&mut Vec::new())
                .map(drop)
        }
    }
}

/// Reads a whole request, as a client that is cut off while it sends may not read the answer; returns its first line.
fn read_request(client: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(client);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().to_ascii_lowercase() {
            end if end.is_empty() => break,
            line => {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
        }
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    Ok(first)
}
