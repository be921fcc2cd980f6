//! What sets a key, what `config` prints about it, and what needs no configuration at all.

use serde_json::Value;
use tempfile::TempDir;

use super::{ferry, run, stderr, stdout};

fn config_of(arguments: &[&str], variables: &[(&str, &str)], ferry_yml: &str) -> Value {
    let output = run(
        &[&["--format", "json", "config"], arguments].concat(),
        variables,
        ferry_yml,
    );
    assert!(output.status.success(), "{output:?}");
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn the_effective_configuration_says_where_each_value_comes_from() {
    let ferry_yml = "mirror:\n  url: /srv/mirror\n  branch: from-file\n  keep: [a, b]\nserve:\n  memory: 1GiB\n";
    let variables = [
        ("FERRY_MIRROR_BRANCH", "from-variable"),
        ("FERRY_SERVE_LISTEN", "127.0.0.1:1"),
        ("FERRY_TRIGGER_VARIABLES", "NAME=hunter2"),
    ];
    let arguments = ["--listen", "127.0.0.1:2", "--offline", "--history", "merge"];
    let config = config_of(&arguments, &variables, ferry_yml);
    assert_eq!(config["file"], "ferry.yml");
    for (key, value, from) in [
        ("mirror.url", Value::from("/srv/mirror"), "ferry.yml:2"),
        (
            "mirror.branch",
            "from-variable".into(),
            "FERRY_MIRROR_BRANCH",
        ),
        ("mirror.keep", vec!["a", "b"].into(), "ferry.yml:4"),
        ("mirror.history", "merge".into(), "--history"),
        ("network.timeout", "15m".into(), "default"),
        (
            "trigger.variables",
            vec!["NAME"].into(),
            "FERRY_TRIGGER_VARIABLES",
        ),
        ("serve.listen", "127.0.0.1:2".into(), "--listen"),
        ("serve.downloads", "offline".into(), "--offline"),
        ("serve.memory", "1GiB".into(), "ferry.yml:6"),
        ("serve.index", "/srv/mirror".into(), "mirror.url"),
        ("serve.branch", "from-variable".into(), "mirror.branch"),
        (
            "serve.store",
            "./ferry-data/crates".into(),
            "serve.data_dir",
        ),
    ] {
        let found = &config["keys"][key];
        assert_eq!(
            (&found["value"], &found["from"]),
            (&value, &from.into()),
            "{key}"
        );
    }
    let unset = &config["keys"]["mail.smtp"];
    assert!(
        unset["value"].is_null() && unset["from"].is_null(),
        "{unset}"
    );
}

#[test]
fn every_key_and_its_origin_are_lines_of_the_text() {
    let output = run(&["config"], &[("FERRY_MIRROR_URL", "/srv/mirror")], "");
    let shown = stdout(&output);
    assert!(shown.starts_with("# no file\n"), "{shown}");
    let words = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words("mirror.url"),
        ["mirror.url", "/srv/mirror", "FERRY_MIRROR_URL"]
    );
    assert_eq!(
        words("mirror.branch"),
        ["mirror.branch", "master", "default"]
    );
    assert_eq!(words("serve.auth"), ["serve.auth", "unset"]);
}

#[test]
fn the_effective_configuration_shows_no_secret() {
    let variables = [
        (
            "FERRY_MIRROR_URL",
            "https://me:long-pass-pw@mirror.example/a",
        ),
        (
            "FERRY_UPSTREAM_URL",
            "https://glpat-0123456789abcdef@upstream.example/a",
        ),
        ("FERRY_MIRROR_TOKEN", "hunter2hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter3hunter3"),
        ("FERRY_TRIGGER_VARIABLES", "NAME=hunter4"),
    ];
    for format in ["text", "json"] {
        let output = run(&["config", "--format", format], &variables, "");
        let shown = stdout(&output) + &stderr(&output);
        for secret in ["pw@", "glpat", "hunter"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
    let secrets = &config_of(&[], &variables, "")["secrets"];
    assert_eq!(secrets["FERRY_MIRROR_TOKEN"], "set");
    assert_eq!(secrets["AWS_SECRET_ACCESS_KEY"], "set");
    assert_eq!(secrets["SSH_PRIVATE_KEY"], "unset");
}

#[test]
fn a_value_of_any_section_is_checked() {
    let cases: [(&str, &str); 6] = [
        (
            "trigger:\n  rate_limit: none\n",
            "ferry.yml:2:15: trigger.rate_limit: expected a whole number",
        ),
        (
            "trigger:\n  time_zone: Nowhere/Land\n",
            "ferry.yml:2:14: trigger.time_zone: expected a name such as Europe/Berlin",
        ),
        (
            "mail:\n  from: a@b.example\n",
            "ferry.yml:2:9: mail.from: needs mail.smtp, which is not set\n  help: Set mail.smtp by the variable FERRY_MAIL_SMTP",
        ),
        (
            "serve:\n  tls:\n    key: a.pem\n",
            "ferry.yml:3:10: serve.tls.key: needs serve.tls.cert, which is not set",
        ),
        (
            "serve:\n  store: s3://bucket\n  max_size: 1GB\n",
            "ferry.yml:3:13: serve.max_size: works only with a directory, and serve.store is a bucket (serve.store comes from ferry.yml:2:10)",
        ),
        (
            "serve:\n  offline_index: held\n",
            "ferry.yml:2:18: serve.offline_index: held works only with serve.downloads: offline (serve.downloads is not set)",
        ),
    ];
    for (ferry_yml, expected) in cases {
        let output = run(&["config"], &[], ferry_yml);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let shown = stderr(&output);
        assert!(
            shown.starts_with(&format!("error[config]: {expected}")),
            "{shown}"
        );
    }
}

#[test]
fn flags_of_the_servers_commands_win_over_variables() {
    let variables = [
        ("FERRY_SERVE_STORE", "ftp://variable.example"),
        ("FERRY_SERVE_INDEX", "/no/such/index"),
    ];
    for (arguments, flag) in [
        (
            &["serve", "--listen", "nowhere"][..],
            "--listen: serve.listen: ",
        ),
        (
            &["serve", "--public-url", "nowhere"],
            "--public-url: serve.public_url: ",
        ),
        (
            &["serve", "--index", "ftp://flag.example"],
            "--index: serve.index: ",
        ),
        (
            &["serve", "--data-dir", "\u{1}"],
            "--data-dir: serve.data_dir: ",
        ),
        (
            &["prefetch", "--all", "--index", "ftp://flag.example"],
            "--index: serve.index: ",
        ),
        (
            &["prefetch", "--all", "--store", "ftp://flag.example"],
            "--store: serve.store: ",
        ),
        (
            &["cache", "--store", "ftp://flag.example", "ls"],
            "--store: serve.store: ",
        ),
        (
            &["cache", "ls", "--store", "ftp://flag.example"],
            "--store: serve.store: ",
        ),
        (
            &["cache", "stat", "--data-dir", "\u{1}"],
            "--data-dir: serve.data_dir: ",
        ),
        (&["cache", "ls"], "FERRY_SERVE_STORE: serve.store: "),
    ] {
        let output = run(arguments, &variables, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let shown = stderr(&output);
        assert!(shown.contains(flag), "{arguments:?}: {shown}");
    }
}

#[test]
fn the_help_of_a_flag_names_key_variable_and_default() {
    let help = stdout(&run(&["serve", "--help"], &[], ""));
    for word in [
        "[serve.listen, FERRY_SERVE_LISTEN] [default: 127.0.0.1:8090]",
        "[serve.data_dir, FERRY_SERVE_DATA_DIR]",
        "Configuration:",
        "Global options:",
    ] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
}

#[test]
fn completions_and_manual_pages_need_no_configuration() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ferry.yml"), "no: sense").unwrap();
    let run = |arguments: &[&str]| {
        let output = ferry(folder.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            run(&["completions", shell]).contains("cargo-config"),
            "{shell}"
        );
    }
    assert!(run(&["man"]).contains(".TH crates-ferry 1"));
    assert!(run(&["man", "cache", "evict"]).contains(".TH crates-ferry-cache-evict 1"));
    run(&["man", "--dir", "pages"]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join("pages").join(name));
    assert!(
        page("crates-ferry.1")
            .unwrap()
            .contains("FERRY_MIRROR_TOKEN")
    );
    assert!(
        page("crates-ferry-sync.1")
            .unwrap()
            .contains(r"\-\-allow\-loss")
    );
    assert!(page("crates-ferry-help-sync.1").is_err());
    let unknown = ferry(folder.path(), &["man", "nonsense"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn bash_completes_the_words_after_a_command() {
    let folder = TempDir::new().unwrap();
    let script = stdout(
        &ferry(folder.path(), &["completions", "bash"])
            .output()
            .unwrap(),
    );
    for (line, wanted) in [
        ("crates-ferry sy", "sync"),
        ("crates-ferry sync --dry", "--dry-run"),
        ("crates-ferry cache ev", "evict"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let (at, before) = (words.len() - 1, words[words.len() - 2]);
        let asked = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={at}; _crates__ferry crates-ferry '{}' '{before}'\necho \"${{COMPREPLY[*]}}\"",
            words[at]
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &asked])
            .output();
        assert_eq!(stdout(&output.unwrap()).trim(), wanted, "{line}");
    }
}

#[test]
fn colours_are_forced_and_forbidden_by_the_usual_variables() {
    let shown = |variables: &[(&str, &str)]| {
        let variables = [variables, &[("FERRY_UNKNOWN", "x")]].concat();
        stderr(&run(&["sync"], &variables, ""))
    };
    assert!(!shown(&[]).contains('\u{1b}'));
    let forced = shown(&[("CLICOLOR_FORCE", "1")]);
    assert!(
        forced.contains("\u{1b}[1m\u{1b}[91merror[config]:\u{1b}[0m "),
        "{forced:?}"
    );
    assert!(forced.contains("\u{1b}[33m WARN\u{1b}[0m"), "{forced:?}");
    assert!(!shown(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn what_is_found_when_a_value_is_used_names_its_place_too() {
    for (ferry_yml, expected) in [
        (
            "serve:\n  auth: /no/such/file\n",
            "ferry.yml:2:9: serve.auth: cannot read /no/such/file",
        ),
        (
            "serve:\n  tls: { cert: /no/cert, key: /no/key }\n",
            "ferry.yml:2:16: serve.tls.cert: cannot read /no/cert",
        ),
        (
            "serve:\n  listen: 192.0.2.1:80\n",
            "ferry.yml:2:11: serve.listen: cannot listen on 192.0.2.1:80",
        ),
    ] {
        let upstream = [("FERRY_UPSTREAM_URL", "/no/such/index")];
        let output = run(&["serve"], &upstream, ferry_yml);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let shown = stderr(&output);
        let first = shown.lines().find(|line| line.starts_with("error"));
        let expected = format!("error[config]: {expected}");
        assert_eq!(first, Some(expected.as_str()), "{shown}");
    }
}

#[test]
fn a_value_that_is_not_taken_as_it_is_is_warned_of_once_without_the_value() {
    let variables = [
        ("FERRY_MIRROR_URL", "\"/srv/mirror\""),
        ("FERRY_SMTP_PASSWORD", "'hunter2-hunter2'"),
        ("FERRY_MIRROR_TOKEN", "$HUNTER2_TOKEN"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-hunter3\n"),
        ("SSH_KEY_PASSPHRASE", " hunter2 hunter4 "),
    ];
    let output = run(&["config"], &variables, "");
    assert!(output.status.success(), "{output:?}");
    let log = stderr(&output);
    for (name, told) in [
        ("FERRY_MIRROR_URL", 1),
        ("FERRY_SMTP_PASSWORD", 1),
        ("FERRY_MIRROR_TOKEN", 1),
        ("AWS_SECRET_ACCESS_KEY", 1),
        ("SSH_KEY_PASSPHRASE", 0),
    ] {
        assert_eq!(log.matches(&format!("{name}: ")).count(), told, "{log}");
    }
    assert!(!log.to_lowercase().contains("hunter2"), "{log}");
    assert!(stdout(&output).contains("/srv/mirror "), "{output:?}");
}
