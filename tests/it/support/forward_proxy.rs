//! A forward proxy on loopback, for tunnels by CONNECT and by SOCKS5. It takes every name for this machine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a proxy treats its clients.
#[derive(Clone, Default)]
pub struct Rules {
    /// The user and password that it wants.
    pub login: Option<(&'static str, &'static str)>,
    /// Whether it connects to nobody.
    pub refuses: bool,
}

/// A running proxy; its threads end with the process of the test.
pub struct ForwardProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// Starts a proxy.
    pub fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (rules, asked) = (rules.clone(), Arc::clone(&shared));
                // A client that hangs up in between is none of the proxy's business.
                thread::spawn(move || serve(client.unwrap(), &rules, &asked).ok());
            }
        });
        Self { port, asked }
    }

    /// Returns `HOST:PORT` of it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns which hosts and ports it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, rules: &Rules, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut first = [0; 1];
    client.read_exact(&mut first)?;
    let target = match first[0] {
        5 => socks(&mut client, rules)?,
        letter => connect(&mut client, letter, rules)?,
    };
    let Some((target, granted)) = target else {
        return client.shutdown(Shutdown::Write);
    };
    let port = target.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    asked.lock().unwrap().push(target);
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(granted)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    std::io::copy(&mut &server, &mut client).ok();
    client.shutdown(Shutdown::Write).ok();
    up.join().unwrap();
    Ok(())
}

/// Where a client wants to go, and what tells it that it is there.
type Granted = Option<(String, &'static [u8])>;

fn connect(client: &mut TcpStream, first: u8, rules: &Rules) -> std::io::Result<Granted> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let login = rules
        .login
        .map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    if login.is_some_and(|login| !head.contains(&login)) {
        client.write_all(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        )?;
        return Ok(None);
    }
    if rules.refuses {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    }
    let target = head
        .strip_prefix("CONNECT ")
        .expect("a tunnel is asked for");
    let target = target.split(' ').next().unwrap().to_owned();
    Ok(Some((target, b"HTTP/1.1 200 OK\r\n\r\n")))
}

/// RFC 1928 and 1929, as far as a client needs them.
fn socks(client: &mut TcpStream, rules: &Rules) -> std::io::Result<Granted> {
    let methods = field(client)?;
    match rules.login {
        None => client.write_all(&[5, 0])?,
        Some(_) if !methods.contains(&2) => {
            client.write_all(&[5, 0xff])?;
            return Ok(None);
        }
        Some((user, password)) => {
            client.write_all(&[5, 2])?;
            let _version = bytes(client, 1)?;
            let given = (field(client)?, field(client)?);
            let is_right = given == (user.into(), password.into());
            client.write_all(&[1, u8::from(!is_right)])?;
            if !is_right {
                return Ok(None);
            }
        }
    }
    let [_version, _connect, _reserved, kind] = bytes(client, 4)?[..] else {
        unreachable!("four bytes were read");
    };
    let host = match kind {
        1 => bytes(client, 4)?
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join("."),
        3 => String::from_utf8(field(client)?).unwrap(),
        _ => panic!("an address of the kind {kind}"),
    };
    let port = bytes(client, 2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    if rules.refuses {
        client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0])?;
        return Ok(None);
    }
    Ok(Some((
        format!("{host}:{port}"),
        &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    )))
}

/// Reads a length of one byte, and that many bytes.
fn field(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = bytes(client, 1)?[0];
    bytes(client, length.into())
}

fn bytes(client: &mut TcpStream, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).map(|()| bytes)
}
