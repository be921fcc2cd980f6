#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{Environment, Flags};

fn config(pairs: &[(&str, &str)]) -> ServeConfig {
    let url = ("FERRY_SERVE_PUBLIC_URL", "https://crates.example.com/");
    let environment = Environment::from_pairs([url].iter().chain(pairs).copied());
    ServeConfig::load(&Flags::default(), &environment).unwrap()
}

fn options(index: Index, write: Option<&TempDir>) -> Options {
    Options {
        without_policy: false,
        index,
        name: "mirror".to_owned(),
        write: write.map(|folder| into(Place::Project(folder.path().to_owned()))),
    }
}

fn into(place: Place) -> Write {
    Write {
        place,
        dry_run: false,
    }
}

fn snippet(pairs: &[(&str, &str)], index: Index) -> String {
    run(&config(pairs), &options(index, None)).unwrap().snippet
}

#[test]
fn the_lines_name_the_sparse_index() {
    let wanted = r#"[source.crates-io]
replace-with = "mirror"

[registries.mirror]
index = "sparse+https://crates.example.com/index/"
"#;
    assert_eq!(snippet(&[], Index::Sparse), wanted);
}

#[test]
fn a_server_whose_port_the_system_chooses_needs_a_public_url() {
    let environment = Environment::from_pairs([("FERRY_SERVE_LISTEN", "127.0.0.1:0")]);
    let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
    let error = run(&config, &options(Index::Sparse, None)).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:0"), "{error}");
    let advice = error.advice().unwrap();
    assert!(advice.contains("Start the server first"), "{advice}");
}

#[test]
fn a_server_that_listens_everywhere_needs_a_public_url() {
    let listen = |address| [("FERRY_SERVE_LISTEN", address)];
    let load = |address| {
        let environment = Environment::from_pairs(listen(address));
        ServeConfig::load(&Flags::default(), &environment).unwrap()
    };
    for address in ["0.0.0.0:8090", "[::]:8090"] {
        let error = run(&load(address), &options(Index::Sparse, None)).unwrap_err();
        assert!(error.advice().unwrap().contains("serve.public_url"));
        assert!(run(&load(address), &options(Index::Git, None)).is_ok());
        let shown = snippet(&listen(address), Index::Sparse);
        assert!(
            shown.contains("https://crates.example.com/index/"),
            "{shown}"
        );
    }
    let one = run(&load("192.0.2.1:80"), &options(Index::Sparse, None)).unwrap();
    assert!(one.snippet.contains("sparse+http://192.0.2.1:80/index/"));
}

#[test]
fn with_tokens_the_lines_say_where_the_token_comes_from() {
    let shown = snippet(&[("FERRY_SERVE_AUTH", "tokens.txt")], Index::Sparse);
    assert!(shown.contains("CARGO_REGISTRIES_MIRROR_TOKEN"), "{shown}");
    assert!(
        shown.contains("credential-provider = \"cargo:token\""),
        "{shown}"
    );
}

#[test]
fn the_address_of_a_git_index_is_one_that_cargo_reads() {
    for (url, wanted) in [
        (
            "git@gitlab.example.com:rust/index.git",
            "ssh://git@gitlab.example.com/rust/index.git",
        ),
        (
            "ssh://git@gitlab.example.com:2222/rust/index.git",
            "ssh://git@gitlab.example.com:2222/rust/index.git",
        ),
        (
            "https://gitlab.example.com/rust/index.git",
            "https://gitlab.example.com/rust/index.git",
        ),
        (
            "https://user:long-word@gitlab.example.com/rust/index.git",
            "https://gitlab.example.com/rust/index.git",
        ),
        ("/srv/index.git", "file:///srv/index.git"),
    ] {
        let shown = snippet(&[("FERRY_SERVE_INDEX", url)], Index::Git);
        assert!(shown.contains(&format!("index = \"{wanted}\"")), "{shown}");
    }
}

#[test]
fn a_file_keeps_what_else_it_says_and_is_written_once() {
    let project = TempDir::new().unwrap();
    let path = project.path().join(".cargo/config.toml");
    let written = run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap();
    assert!(written.changed);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written.snippet);
    let before = "# ours\n[build]\njobs = 2 # two\n\n[registries.mirror]\nindex = \"sparse+https://old.example/index/\" # here\n";
    std::fs::write(&path, before).unwrap();
    assert!(
        run(&config(&[]), &options(Index::Sparse, Some(&project)))
            .unwrap()
            .changed
    );
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(
        after.starts_with("# ours\n[build]\njobs = 2 # two\n"),
        "{after}"
    );
    assert!(
        after.contains("index = \"sparse+https://crates.example.com/index/\" # here\n"),
        "{after}"
    );
    assert!(
        after.contains("[source.crates-io]\nreplace-with = \"mirror\"\n"),
        "{after}"
    );
    assert!(
        !run(&config(&[]), &options(Index::Sparse, Some(&project)))
            .unwrap()
            .changed
    );
}

#[test]
fn a_file_from_windows_keeps_its_line_ends_and_its_byte_order_mark() {
    let project = TempDir::new().unwrap();
    let path = project.path().join(".cargo/config.toml");
    std::fs::create_dir(project.path().join(".cargo")).unwrap();
    let before = "\u{feff}# ours\r\n[build]\r\njobs = 2\r\n";
    std::fs::write(&path, before).unwrap();
    let write = || run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap();
    assert!(write().changed);
    let after = std::fs::read_to_string(&path).unwrap();
    let added = "[source.crates-io]\r\nreplace-with = \"mirror\"\r\n";
    assert!(
        after.starts_with(before) && after.contains(added),
        "{after:?}"
    );
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    assert!(!write().changed);
    // One that is as it shall be stays so to the byte, whatever its line ends are.
    let mixed = after.replacen("\r\n", "\n", 1);
    std::fs::write(&path, &mixed).unwrap();
    assert!(!write().changed);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), mixed);
}

#[test]
fn the_file_is_written_that_cargo_reads() {
    // If both are there, cargo reads the older `config`, and warns.
    for (there, read) in [
        (&[][..], "config.toml"),
        (&["config.toml"], "config.toml"),
        (&["config"], "config"),
        (&["config", "config.toml"], "config"),
    ] {
        let project = TempDir::new().unwrap();
        let folder = project.path().join(".cargo");
        std::fs::create_dir(&folder).unwrap();
        for name in there {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let written = run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap();
        let path = folder.canonicalize().unwrap().join(read);
        let named = written.written.unwrap().canonicalize().unwrap();
        assert_eq!(named, path, "{there:?}");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, written.snippet, "{there:?}");
    }
}

#[test]
fn another_replacement_or_a_damaged_file_is_left_alone() {
    let project = TempDir::new().unwrap();
    let path = project.path().join(".cargo/config.toml");
    std::fs::create_dir(project.path().join(".cargo")).unwrap();
    for (text, says) in [
        (
            "[source.crates-io]\nreplace-with = \"vendored\"\n",
            "vendored",
        ),
        (
            "[source.mirror]\nregistry = \"sparse+http://127.0.0.1:1/\"\n",
            "[source.mirror]",
        ),
        (
            "[source]\nmirror = { replace-with = \"other\" }\n",
            "[source.mirror]",
        ),
        (
            "[source.mirror]\nregistry = \"sparse+https://crates.example.com/index/\"\nreplace-with = \"other\"\n",
            "[source.mirror]",
        ),
        ("source.mirror = 7\n", "[source.mirror]"),
        ("[source]\ncrates-io = 7\n", "not a table"),
        ("[source", "not valid TOML"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_link_that_leads_nowhere_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(".cargo/config.toml");
    std::fs::create_dir(folder.path().join(".cargo")).unwrap();
    std::os::unix::fs::symlink("elsewhere/config.toml", &file).unwrap();
    let error = run(&config(&[]), &options(Index::Sparse, Some(&folder))).unwrap_err();
    assert!(error.to_string().contains("dangling"), "{error}");
    assert!(file.is_symlink());
}

#[test]
fn a_source_of_the_same_name_and_address_is_left_as_it_is() {
    let project = TempDir::new().unwrap();
    let path = project.path().join(".cargo/config.toml");
    std::fs::create_dir(project.path().join(".cargo")).unwrap();
    let before = "[source.mirror]\nregistry = \"sparse+https://crates.example.com/index/\"\n";
    std::fs::write(&path, before).unwrap();
    let written = run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap();
    assert!(written.changed);
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains(before), "{after}");
    assert!(after.contains("replace-with = \"mirror\""), "{after}");
}

#[test]
fn a_project_that_is_not_there_is_not_made() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for project in [folder.path().join("nope/x"), file] {
        let options = Options {
            write: Some(into(Place::Project(project.clone()))),
            ..options(Index::Sparse, None)
        };
        let error = run(&config(&[]), &options).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let shown = project.display().to_string();
        assert!(error.to_string().contains(&shown), "{error}");
        let advice = error.advice().unwrap();
        assert!(advice.contains("folder of a project"), "{advice}");
    }
    assert!(!folder.path().join("nope").exists());
}

#[test]
fn the_file_of_cargos_own_folder_is_written_also_where_cargo_has_not_run_yet() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("home");
    let mut options = Options {
        write: Some(into(Place::Home(home.clone()))),
        ..options(Index::Sparse, None)
    };
    let written = run(&config(&[]), &options).unwrap();
    let path = home.join("config.toml");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written.snippet);
    assert!(written.to_string().contains("cargo install"), "{written}");
    let kept = "[build]\njobs = 2\n";
    std::fs::write(&path, kept).unwrap();
    options.write.as_mut().unwrap().dry_run = true;
    let shown = run(&config(&[]), &options).unwrap();
    assert!(shown.changed);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
    options.write.as_mut().unwrap().dry_run = false;
    run(&config(&[]), &options).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(shown.would_be.as_ref(), Some(&text));
    assert!(shown.to_string().contains(text.trim_end()), "{shown}");
    assert!(text.starts_with(kept), "{text}");
}

#[test]
fn what_is_no_name_for_a_registry_is_refused() {
    for name in ["", "crates-io", "a b", "a.b", "é"] {
        let options = Options {
            name: name.to_owned(),
            ..options(Index::Sparse, None)
        };
        assert_eq!(run(&config(&[]), &options).unwrap_err().kind(), Kind::Usage);
    }
}

proptest! {
    #[test]
    fn any_file_is_either_right_afterwards_or_as_it_was(text in "(\\[(source|registries)(\\.[a-z-]{1,9})?\\]\n|[a-z]{1,5} = (1|\"x\"|\\{\\})\n|# [a-z]*\n){0,6}") {
        let project = TempDir::new().unwrap();
        let path = project.path().join(".cargo/config.toml");
        std::fs::create_dir(project.path().join(".cargo")).unwrap();
        std::fs::write(&path, &text).unwrap();
        match run(&config(&[]), &options(Index::Sparse, Some(&project))) {
            Ok(_) => {
                let again = run(&config(&[]), &options(Index::Sparse, Some(&project))).unwrap();
                prop_assert!(!again.changed);
            }
            Err(_) => prop_assert_eq!(std::fs::read_to_string(&path).unwrap(), text),
        }
    }
}

#[test]
fn the_git_repository_goes_around_a_policy_only_where_that_is_meant() {
    let config = config(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let error = run(&config, &options(Index::Git, None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error
            .to_string()
            .contains("does not apply to the git repository"),
        "{error}"
    );
    assert!(error.advice().unwrap().contains("--without-policy"));
    assert!(run(&config, &options(Index::Sparse, None)).is_ok());
    let meant = Options {
        without_policy: true,
        ..options(Index::Git, None)
    };
    assert!(run(&config, &meant).is_ok());
}
