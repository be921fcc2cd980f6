//! A gateway before an HTTP server that gives up on every push, while the server may still carry it out.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use reqwest::StatusCode;
use tokio::sync::oneshot;

type OnPush = Box<dyn FnMut(&str) + Send>;

/// What the gateway and its requests share.
struct Shared {
    server: String,
    client: reqwest::Client,
    held: Mutex<Option<(Parts, Bytes)>>,
    on_push: Mutex<OnPush>,
}

/// A running gateway; it ends with the value.
pub struct Gateway {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Stands before the server on a port of this machine. Each push is answered with 504 and held; the server gets it when the
    /// next one comes, and then has carried it out before that one is answered. `on_push` gets the
    /// commit that is pushed, before each answer.
    pub fn before(server: u16, on_push: impl FnMut(&str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared {
            server: format!("http://127.0.0.1:{server}"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            held: Mutex::default(),
            on_push: Mutex::new(Box::new(on_push)),
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = axum::Router::new()
                    .fallback(take)
                    .with_state(Arc::new(shared));
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            port,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let is_push = parts.method == "POST" && parts.uri.path().ends_with("/git-receive-pack");
    if !is_push {
        return shared.forward(parts, body).await;
    }
    // `LENGTH OLD NEW REF NUL capabilities`, the length being four digits.
    let commit = String::from_utf8_lossy(&body[45..85]).into_owned();
    let earlier = shared.held.lock().unwrap().replace((parts, body));
    if let Some((parts, body)) = earlier {
        shared.forward(parts, body).await;
    }
    shared.on_push.lock().unwrap()(&commit);
    StatusCode::GATEWAY_TIMEOUT.into_response()
}

impl Shared {
    async fn forward(&self, parts: Parts, body: Bytes) -> Response {
        let url = format!("{}{}", self.server, parts.uri);
        let mut headers = parts.headers;
        // Each connection has its own.
        for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let request = self.client.request(parts.method, url).headers(headers);
        let answer = request.body(body).send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(TRANSFER_ENCODING);
        let body = answer.bytes().await.unwrap();
        (status, headers, Body::from(body)).into_response()
    }
}
