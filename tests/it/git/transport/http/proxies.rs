//! Through proxies, as the variables of curl name them: used, passed by, refused at the start, and what fails at them.

use std::net::TcpListener;

use crates_ferry::config::{Config, Environment, Flags};
use crates_ferry::error::{Error, Kind};
use crates_ferry::git::transport::{Limits, Service};

use super::environment::{certificate, serve_tls};
use super::script::{Script, advertisement, answer};
use super::{limits, remote_as, text};
use crate::support::forward_proxy::{ForwardProxy, Rules};

const LOGIN: Rules = Rules {
    login: Some(("me", "hunter#2/?%")),
    refuses: false,
};
/// The password as it stands in a URL.
const ENCODED: &str = "hunter%232%2F%3F%25";

/// Returns the limits of a test, with the proxies that variables name.
fn limits_with(variables: &[(&str, &str)]) -> Result<Limits, Error> {
    let mirror = [("FERRY_MIRROR_URL", "/no/such/mirror")];
    let variables = mirror.iter().chain(variables).copied();
    let config = Config::load(&Flags::default(), &Environment::from_pairs(variables))?;
    Ok(Limits {
        proxies: config.network.proxies,
        ..limits()
    })
}

/// Asks for an advertisement, which must not come.
async fn error_of(url: &str, variables: &[(&str, &str)]) -> Error {
    let remote = remote_as(url, None, &limits_with(variables).unwrap());
    let advertisement = remote.advertisement(Service::UploadPack, true).await;
    advertisement.err().expect("there is no advertisement")
}

fn all_of(error: &Error) -> String {
    format!(
        "{error} {:?} {}",
        error.causes(),
        error.advice().unwrap_or_default()
    )
}

#[tokio::test]
async fn an_http_proxy_is_used_with_its_login() {
    let proxy = Script::new().await;
    let variable = format!("http://user:word@127.0.0.1:{}", proxy.port());
    let with_proxy = limits_with(&[("HTTP_PROXY", &variable)]).unwrap();
    let remote = remote_as("http://git.example/a", None, &with_proxy);
    let asking = remote.advertisement(Service::UploadPack, true);
    let (reader, head) = tokio::join!(asking, proxy.answer(advertisement()));
    assert_eq!(text(reader.unwrap()).await, "000eversion 2\n0000");
    assert!(
        head.starts_with("GET http://git.example/a/info/refs?"),
        "{head}"
    );
    assert!(
        head.contains("proxy-authorization: Basic dXNlcjp3b3Jk"),
        "{head}"
    );
}

#[tokio::test]
async fn a_tunnel_leads_to_the_server_over_each_kind_of_proxy() {
    let (_folder, file, key) = certificate();
    for (scheme, rules, login, host) in [
        ("http", Rules::default(), "", "localhost"),
        ("http", LOGIN, "me:PASSWORD@", "localhost"),
        ("socks5h", Rules::default(), "", "localhost"),
        ("socks5h", LOGIN, "me:PASSWORD@", "localhost"),
        ("socks5", LOGIN, "me:PASSWORD@", "127.0.0.1"),
    ] {
        let (proxy, server) = (ForwardProxy::start(rules), Script::new().await);
        let login = login.replace("PASSWORD", ENCODED);
        let variable = format!("{scheme}://{login}{}", proxy.address());
        let mut limits = limits_with(&[("ALL_PROXY", &variable)]).unwrap();
        limits.extra_cas = Some(std::fs::read_to_string(&file).unwrap());
        let url = format!("https://localhost:{}/a", server.port());
        let remote = remote_as(&url, None, &limits);
        let asking = remote.advertisement(Service::UploadPack, true);
        let (reader, ()) = tokio::join!(asking, serve_tls(&server, &file, &key));
        let reader = reader.unwrap_or_else(|e| panic!("{scheme} {}", all_of(&e)));
        assert_eq!(text(reader).await, "000eversion 2\n0000");
        assert_eq!(
            proxy.asked(),
            [format!("{host}:{}", server.port())],
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn what_fails_at_the_proxy_names_the_proxy_and_shows_no_password() {
    let down = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let strict = ForwardProxy::start(LOGIN).address();
    let refusing = ForwardProxy::start(Rules {
        refuses: true,
        ..LOGIN
    })
    .address();
    for scheme in ["http", "socks5h"] {
        for (login, address, kind, what, advice) in [
            (
                "",
                "no.such.host.invalid:1",
                Kind::Network,
                "cannot be resolved",
                "VARIABLE",
            ),
            (
                "",
                down.as_str(),
                Kind::Network,
                "cannot connect",
                "NO_PROXY",
            ),
            (
                "",
                &strict,
                Kind::Config,
                "requires authentication",
                "VARIABLE",
            ),
            (
                "me:hunter2@",
                &strict,
                Kind::Config,
                "does not accept the user",
                "VARIABLE",
            ),
            (
                "me:PASSWORD@",
                &refusing,
                Kind::Network,
                "refuses to connect to git.example",
                "NO_PROXY",
            ),
        ] {
            let login = login.replace("PASSWORD", ENCODED);
            let variable = format!("{scheme}://{login}{address}");
            let error = error_of("https://git.example/a", &[("https_proxy", &variable)]).await;
            let told = all_of(&error);
            assert_eq!(error.kind(), kind, "{variable}: {told}");
            let named = format!("the proxy {scheme}://{address} (https_proxy)");
            assert!(
                told.starts_with(&named) && told.contains(what),
                "{variable}: {told}"
            );
            let advice = advice.replace("VARIABLE", "https_proxy");
            assert!(error.advice().unwrap().contains(&advice), "{told}");
            assert!(!told.contains("hunter") && !told.contains("/a"), "{told}");
        }
    }
    let proxy = Script::new().await;
    let variable = format!("http://127.0.0.1:{}", proxy.port());
    let refusal = answer("407 Proxy Authentication Required", &[], "");
    let variables = [("http_proxy", variable.as_str())];
    let asking = error_of("http://git.example/a", &variables);
    let (error, _) = tokio::join!(asking, proxy.answer(refusal));
    assert!(
        all_of(&error).contains("requires authentication"),
        "{error}"
    );
}

#[tokio::test]
async fn what_fails_behind_the_proxy_names_the_server() {
    let (_folder, file, key) = certificate();
    let (proxy, server) = (ForwardProxy::start(Rules::default()), Script::new().await);
    let url = format!("https://localhost:{}/a", server.port());
    let variable = format!("http://{}", proxy.address());
    let variables = [("HTTPS_PROXY", variable.as_str())];
    let asking = error_of(&url, &variables);
    let (error, ()) = tokio::join!(asking, serve_tls(&server, &file, &key));
    assert!(
        error.to_string().starts_with(&url[..url.len() - 2]),
        "{error}"
    );
}

#[tokio::test]
async fn no_proxy_goes_to_the_server_itself() {
    let proxy = Script::new().await;
    let variable = format!("http://127.0.0.1:{}", proxy.port());
    for no_proxy in ["git.example, 127.0.0.1", "*", "127.0.0.0/8"] {
        let server = Script::new().await;
        let variables = [("HTTP_PROXY", variable.as_str()), ("NO_PROXY", no_proxy)];
        let remote = remote_as(&server.url("a"), None, &limits_with(&variables).unwrap());
        let asking = remote.advertisement(Service::UploadPack, true);
        tokio::select! {
            _ = proxy.accept() => panic!("the proxy was asked"),
            (reader, _) = async { tokio::join!(asking, server.answer(advertisement())) } => {
                assert_eq!(text(reader.unwrap()).await, "000eversion 2\n0000");
            }
        }
    }
}

#[test]
fn a_variable_that_is_no_proxy_is_refused_at_the_start() {
    for (name, value) in [
        ("HTTPS_PROXY", "http://me:hunter#2@proxy.example:3128"),
        ("all_proxy", "ftp://hunter2@proxy.example"),
        ("http_proxy", "$CORPORATE_PROXY"),
    ] {
        let error = limits_with(&[(name, value)]).expect_err(value);
        assert_eq!(error.kind(), Kind::Config);
        assert!(
            error.to_string().starts_with(&format!("{name}: ")),
            "{error}"
        );
        assert!(!all_of(&error).contains("hunter"), "{error}");
    }
}
