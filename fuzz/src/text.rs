//! Texts: files of an index, settings, keys, addresses, and what is shown of foreign ones.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crates_ferry::config::{Config, Environment, Flags, Mask, ServeConfig};
use crates_ferry::git::RemoteUrl;
use crates_ferry::git::transport::KnownHostsText;
use crates_ferry::git::transport::ssh::key;
use crates_ferry::git::transport::ssh::known_hosts::KnownHosts;
use crates_ferry::index::{config_json as index_config, entry};
use crates_ferry::server::advisories;
use crates_ferry::server::highlight::{Language, Marks};
use crates_ferry::server::prefetch::lockfile::Locks;
use crates_ferry::server::prefetch::own_sources::OwnSources;
use crates_ferry::server::trusted;
use crates_ferry::shown as foreign;
use secrecy::SecretString;
use tempfile::TempDir;

const TOKEN: &str = "glpat-Zm9v_a/b+c:d@e";

static MASK: LazyLock<Mask> = LazyLock::new(|| {
    let environment = Environment::from_pairs([("GITLAB_READ_TOKEN", TOKEN)]);
    Mask::of_process(&Flags::default(), &environment)
});

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// What is found is listed, and what is kept are lines of the file.
pub(crate) fn index_lines(bytes: &[u8]) {
    let listed: Vec<_> = entry::versions(bytes).collect();
    for version in &listed {
        let found = entry::find(bytes, version.file.version.as_str());
        assert!(found.is_some_and(|file| file.version == version.file.version));
    }
    let newest = entry::latest(bytes);
    assert!(newest.is_none_or(|newest| listed.iter().any(|version| version.file == newest)));
    let kept = entry::only(bytes, |_| true);
    assert!(kept.len() <= bytes.len() + 1);
    assert_eq!(entry::versions(&kept).count(), listed.len());
}

/// What is made of upstream's can be used.
pub(crate) fn config_json(bytes: &[u8]) {
    let _ = index_config::points_to(bytes);
    let dl = "https://crates.example/{crate}";
    if let Ok(ours) = index_config::ours(bytes, Some(dl), Some("https://crates.example")) {
        match index_config::points_to(&ours) {
            Ok(config) => assert_eq!(config.dl, dl),
            // Its other keys are upstream's, right or wrong.
            Err(_) => assert!(String::from_utf8_lossy(&ours).contains("auth-required")),
        }
    }
}

/// What is kept of an advisory, or told of one that cannot be read, has a bound and is no more than a line.
pub(crate) fn advisory(bytes: &[u8]) {
    let is_bounded = |text: &str, longest: usize| {
        text.chars().count() <= longest && !text.chars().any(char::is_control)
    };
    let read = match advisories::read_file(bytes) {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(why) => return assert!(is_bounded(&why, 301), "{why:?}"),
    };
    assert!(is_bounded(&read.title, 301) && is_bounded(&read.id, 100));
    assert!(read.kind.iter().all(|kind| is_bounded(kind, 301)));
    assert!(read.aliases.len() <= 20 && read.aliases.iter().all(|id| is_bounded(id, 100)));
    assert!(
        read.url
            .iter()
            .all(|url| url.len() <= 2048 && url.starts_with("http"))
    );
    // As a policy asks it; that of the lowest version of all is decided, too.
    for version in [
        "0.0.0-0",
        "1.0.0-rc.1",
        "1.0.0+build",
        "18446744073709551615.0.0",
    ] {
        read.affects(&version.parse().expect("a version"));
    }
}

/// A key whose owner signs nothing that a fuzzer could find: that of RFC 7517, appendix A.1.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// No token is believed that the key did not sign, whatever comes in the first line; the others may be another set of keys.
pub(crate) fn jwt(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text: &str = &text;
    let (token, keys) = text.split_once('\n').unwrap_or((text, ""));
    let _ = trusted::is_signed(token, keys.as_bytes());
    assert!(!trusted::is_signed(token, KEYS.as_bytes()));
}

pub(crate) fn known_hosts(bytes: &[u8]) {
    let text = KnownHostsText {
        text: String::from_utf8_lossy(bytes).into_owned(),
        origin: "SSH_KNOWN_HOSTS".to_owned(),
    };
    if let Ok(hosts) = KnownHosts::parse(&text, "git.example", 2222) {
        let _ = hosts.algorithms("git.example", 2222);
    }
}

/// No error repeats what it could not read: it may be a key.
pub(crate) fn ssh_key(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let parsed = key::parse(
        &SecretString::from(text.clone()),
        Some(&SecretString::from("right")),
    );
    let Err(error) = parsed else {
        return;
    };
    let shown = format!("{error} {:?}", error.causes());
    for line in text.lines().map(str::trim) {
        let is_key = line.len() >= 32 && !line.starts_with("-----");
        assert!(!is_key || !shown.contains(line), "{shown}");
    }
}

/// An address prints back to itself.
pub(crate) fn remote_url(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(url) = text.parse::<RemoteUrl>() {
        let shown = url.to_string();
        let again = shown.parse::<RemoteUrl>();
        assert_eq!(again.expect(&shown).to_string(), shown);
    }
}

pub(crate) fn lockfile(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let config = ServeConfig::load(&Flags::default(), &Environment::default());
    let own = OwnSources::of(&config.expect("the defaults are enough"));
    let _ = Locks::default().add(Path::new("Cargo.lock"), text, &own);
}

/// An error of a file names it.
pub(crate) fn ferry_yml(bytes: &[u8]) {
    let path = with_folder(|folder| {
        let path = folder.path().join("ferry.yml");
        fs::write(&path, bytes).expect("the folder is ours");
        path
    });
    let environment = Environment::from_pairs([("FERRY_MIRROR_URL", "https://git.example/m.git")]);
    let _ = Config::load(&Flags::new(Some(path)), &environment);
}

/// Nothing of what is shown is obeyed by a terminal.
pub(crate) fn shown(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!foreign::one_line(&text).chars().any(char::is_control));
    assert!(!foreign::printable(&text).chars().any(char::is_control));
    let lines = foreign::lines(&text);
    assert!(
        !lines
            .chars()
            .any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t'))
    );
    let word = foreign::shell_word(&text);
    let words = shlex::split(&word).expect("it is quoted");
    assert!(words.len() == 1, "{word}");
}

/// Marks stand in their order at characters, and lose nothing of any line.
pub(crate) fn highlight(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for language in [Language::Rust, Language::Toml] {
        let marks = Marks::of(&text, Some(language));
        let mut end = 0;
        for mark in marks.within(0..text.len()) {
            assert!(mark.range.start >= end && !mark.range.is_empty());
            end = mark.range.end;
        }
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let pieces = marks.pieces(&text, start..start + line.len());
            let again: String = pieces.into_iter().map(|(text, _)| text).collect();
            assert_eq!(again, line);
            start += line.len();
        }
    }
}

/// A secret is masked whatever stands around it.
pub(crate) fn mask(bytes: &[u8]) {
    let around = String::from_utf8_lossy(bytes);
    let middle = (0..=around.len() / 2)
        .rev()
        .find(|at| around.is_char_boundary(*at))
        .unwrap_or_default();
    let (before, after) = around.split_at(middle);
    let told = format!("{before}{TOKEN}{after}");
    assert!(!MASK.apply(&told).contains(TOKEN), "{told}");
}

/// Calls with a folder that the thread keeps.
fn with_folder<T>(act: impl FnOnce(&TempDir) -> T) -> T {
    FOLDER.with_borrow_mut(|folder| {
        act(folder.get_or_insert_with(|| tempfile::tempdir().expect("there is room for a folder")))
    })
}
