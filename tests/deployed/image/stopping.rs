//! The program is process 1 of its container, which a signal ends only where the program says so itself.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use super::container::{Container, Image, RESTRICTED};
use crate::support::ferry::Ferry;
use crate::support::skip::skip;

/// Much less than the ten seconds after which docker kills; starting docker's client takes a part of it.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A server that takes connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn assert_stops_at_once(container: &Container) {
    let begun = Instant::now();
    container.stop();
    let took = begun.elapsed();
    assert_eq!(container.wait(), 143, "{}", container.log());
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_stop_ends_it_while_it_waits_for_a_server() {
    let Some(image) = Image::built() else {
        return;
    };
    let (upstream, address) = silent();
    let ferry = Ferry::new(
        format!("git://{address}/a"),
        format!("ssh://git@{address}/b"),
    );
    let container = image.start(&RESTRICTED, &ferry, &["check"]);
    let _connection = upstream.accept().unwrap();
    assert_stops_at_once(&container);
}

#[test]
fn a_stop_ends_it_right_after_its_start() {
    let Some(image) = Image::built() else {
        return;
    };
    let (_upstream, address) = silent();
    let ferry = Ferry::new(format!("git://{address}/a"), format!("git://{address}/b"));
    assert_stops_at_once(&image.start(&RESTRICTED, &ferry, &["sync"]));
}

#[test]
fn a_stop_ends_it_while_a_name_is_looked_up() {
    let Some(image) = Image::built() else {
        return;
    };
    // A name server that never answers.
    let Ok(silent) = UdpSocket::bind("127.0.0.77:53") else {
        skip("no name server can be set up here, which takes root");
        return;
    };
    let ferry = Ferry::new("git://nobody.example/a", "git://nobody.example/b");
    let options = [&RESTRICTED[..], &["--dns", "127.0.0.77"]].concat();
    let container = image.start(&options, &ferry, &["sync"]);
    silent.recv_from(&mut [0; 512]).unwrap();
    assert_stops_at_once(&container);
}
