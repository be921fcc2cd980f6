//! Every secret, in every form in which a server could repeat it, from every command that reads what a server says.

mod mail;
mod pages;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use tempfile::TempDir;
use url::form_urlencoded;

use super::foreign_text::Says;
use super::{ferry, run, stderr, stdout};
use crate::support::frames::packet;
use crate::support::trigger;

/// Comes last in what the server says, so that it shows whether all of it was told.
const END: &str = "and-that-is-all";

/// The names of all secrets, and values that no text has by chance.
fn secrets() -> Vec<(String, String)> {
    let output = run(&["--format", "json", "config"], &[], "");
    let config: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let listed = config["secrets"].as_object().unwrap();
    let names: BTreeSet<_> = listed.keys().map(String::as_str).collect();
    // Those of AWS are listed where they are set, a proxy's password is in its address, and keys of hosts are public.
    let aws = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HTTPS_PROXY"];
    let names = names.into_iter().chain(aws);
    let names = names.filter(|name| *name != "SSH_KNOWN_HOSTS");
    names
        .map(|name| (name.to_owned(), format!("{name}~s3cr3t/v?l&<ue")))
        .collect()
}

/// How the environment holds a secret.
fn variable(name: &str, value: &str) -> String {
    match name {
        "SSH_PRIVATE_KEY" => format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{value}\n-----END OPENSSH PRIVATE KEY-----\n"
        ),
        // Of a proxy that nothing here goes through.
        "HTTPS_PROXY" => {
            let password: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            format!("http://me:{password}@127.0.0.1:1")
        }
        _ => value.to_owned(),
    }
}

fn forms(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([
        secret.to_owned(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        secret.replace('/', "\\/"),
        secret.replace('&', "&amp;").replace('<', "&lt;"),
        secret
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
        secret
            .replace('/', "%2f")
            .replace('?', "%3f")
            .replace('~', "%7e")
            .replace('&', "%26")
            .replace('<', "%3c"),
        // All characters escaped, or some, as JSON, JavaScript and HTML may.
        escaped(secret, 1, |letter| format!("\\u{:04x}", u32::from(letter))),
        escaped(secret, 3, |letter| format!("\\u{:04X}", u32::from(letter))),
        escaped(secret, 2, |letter| format!("\\x{:02x}", u32::from(letter))),
        escaped(secret, 1, |letter| format!("&#{};", u32::from(letter))),
        escaped(secret, 2, |letter| format!("&#x{:x};", u32::from(letter))),
        escaped(secret, 1, |letter| format!("{:02X}:", u32::from(letter))),
        BASE64.encode(BASE64.encode(format!("me:{secret}"))),
    ]);
    for alphabet in [STANDARD, URL_SAFE] {
        for padded in [true, false] {
            let config = GeneralPurposeConfig::new().with_encode_padding(padded);
            let engine = GeneralPurpose::new(&alphabet, config);
            // Alone, behind a user's name, as SMTP sends it, and at each place of a group of three bytes.
            for before in ["", "oauth2:", "\0me\0", "x", "xy"] {
                forms.insert(engine.encode(format!("{before}{secret}")));
            }
        }
    }
    forms
}

/// Escapes each character whose place is a multiple of `every`.
fn escaped(secret: &str, every: usize, escape: fn(char) -> String) -> String {
    let letters = secret.chars().enumerate();
    letters
        .map(|(at, letter)| match at % every {
            0 => escape(letter),
            _ => letter.to_string(),
        })
        .collect()
}

/// Whatever of a secret is left in a text, also where it was broken into lines: in base64 its middle is the same whatever stands
/// before and after it.
fn is_told(shown: &str, secret: &str, form: &str) -> bool {
    let shown: String = shown.split_whitespace().collect();
    shown.contains(secret) || shown.contains(&form[8..form.len() - 8])
}

/// Fails if any of these texts tells a form of a secret, or does not tell all that the server said.
fn assert_untold(shown: &[String], secret: &(String, String)) {
    let (name, value) = secret;
    assert!(shown.iter().any(|text| text.contains(END)), "{shown:#?}");
    for (text, form) in shown
        .iter()
        .flat_map(|text| forms(value).into_iter().map(move |form| (text, form)))
    {
        assert!(!is_told(text, value, &form), "{name} as {form}: {text}");
    }
}

/// All forms of a secret, as one line of what a server says.
fn all_forms(secret: &str) -> String {
    let forms: Vec<_> = forms(secret).into_iter().collect();
    format!("denied for {} {END}", forms.join(" , "))
}

/// The environment with all secrets.
fn environment(secrets: &[(String, String)]) -> Vec<(String, String)> {
    let set = secrets.iter();
    set.map(|(name, value)| (name.clone(), variable(name, value)))
        .chain([("FERRY_NETWORK_RETRIES".to_owned(), "0".to_owned())])
        .collect()
}

#[test]
fn no_form_of_any_secret_is_shown_by_any_command() {
    let folder = TempDir::new().unwrap();
    let secrets = secrets();
    assert!(secrets.len() > 9, "{secrets:?}");
    let set = environment(&secrets);
    for (name, secret) in &secrets {
        for (number, form) in forms(secret).iter().enumerate() {
            let server = Says::start(packet(format!("ERR denied for {form} {END}\n")));
            let url = format!("git://{}/a.git", server.address());
            let mut variables = set.clone();
            let addresses = [
                "FERRY_MIRROR_URL",
                "FERRY_UPSTREAM_URL",
                "FERRY_SERVE_INDEX",
            ];
            variables.extend(addresses.map(|address| (address.to_owned(), url.clone())));
            // Each form meets some command, in some format, and each command every secret.
            let format = ["text", "json"][number % 2];
            let commands = [
                &["sync"][..],
                &["init"],
                &["check"],
                &["prefetch", "--crate", "foo"],
            ];
            let command = commands[number / 2 % commands.len()];
            let arguments = [&["-vv", "--format", format, "--report", "report"], command].concat();
            let output = ferry(folder.path(), &arguments)
                .envs(variables.clone())
                .output();
            let output = output.unwrap();
            let report = std::fs::read_to_string(folder.path().join("report")).unwrap();
            let mut shown = [stdout(&output), stderr(&output), report].concat();
            if number == 0 {
                let fired = trigger::fire(&variables, &["--if-behind"]);
                shown += &(stdout(&fired) + &stderr(&fired));
            }
            assert!(shown.contains(END), "{command:?}: {shown}");
            assert!(
                !is_told(&shown, secret, form),
                "{name} as {form}, {command:?}: {shown}"
            );
        }
    }
}
