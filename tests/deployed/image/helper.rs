//! The trigger helper in the image.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::container::{Image, RESTRICTED};
use crate::support::ferry::Ferry;
use crate::support::gitlab::Gitlab;
use crate::support::trigger::{TOKEN, http};

#[test]
fn the_helper_fires_under_the_same_restrictions_and_a_stop_ends_it_in_order() {
    let Some(image) = Image::built() else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let gitlab = Gitlab::start();
    let variables = gitlab.variables().into_iter();
    let ferry = variables.fold(Ferry::default(), |ferry, (name, value)| {
        ferry.with(&name, value)
    });
    let ferry = ferry
        .with("FERRY_TRIGGER_LISTEN", listen.clone())
        .with("FERRY_TRIGGER_TOKEN", TOKEN);
    let options = [&RESTRICTED[..], &["--entrypoint", "crates-ferry-trigger"]].concat();
    let container = image.start(&options, &ferry, &["run"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !container.log().contains("listening on") {
        assert!(Instant::now() < deadline, "{}", container.log());
    }
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let answer = http("POST", &format!("http://{listen}/trigger"), &headers, b"");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(gitlab.pipelines().len(), 1);
    container.stop();
    assert_eq!(container.wait(), 0, "{}", container.log());
    assert!(!container.log().contains(TOKEN));
}
