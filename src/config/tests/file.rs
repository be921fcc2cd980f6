use super::*;

/// Loads a file's text alone; a mirror comes from the environment.
fn from_file(text: &str) -> Result<Config> {
    let (folder, _) = ferry_yml(text);
    Config::load(
        &Flags::default(),
        &Environment::from_pairs([MIRROR]).in_folder(folder.path()),
    )
}

#[test]
fn every_key_can_stand_in_the_file() {
    let config = from_file(
        "upstream: { url: git://up.example/index, branch: main }\n\
         mirror:\n  url: /srv/mirror\n  branch: 1.0\n  history: snapshot\n  dl: https://dl.example/{crate}/{version}\n  \
         api: http://api.example\n  author: Ferry <f@x.example>\n  keep: [my/pr/*, 'a,b']\n  max_root_loss: 2.5%\n\
         network: { connect_timeout: 1s, idle_timeout: 2s, timeout: 3m, retries: 0 }\n",
    )
    .unwrap();
    assert_eq!(
        (
            config.upstream.url.to_string().as_str(),
            config.upstream.branch.as_str()
        ),
        ("git://up.example/index", "main")
    );
    assert_eq!(
        config.mirror.url.to_string(),
        MIRROR.1,
        "the variable wins over the file"
    );
    assert_eq!(
        (config.mirror.branch.as_str(), config.mirror.history),
        ("1.0", Some(History::Snapshot))
    );
    assert_eq!(
        config.mirror.dl.as_deref(),
        Some("https://dl.example/{crate}/{version}")
    );
    assert_eq!(config.mirror.api.as_deref(), Some("http://api.example"));
    assert_eq!(config.mirror.author.email, "f@x.example");
    assert_eq!(
        (config.mirror.keep, config.mirror.max_root_loss),
        (vec!["my/pr/*".to_owned(), "a,b".to_owned()], 0.025)
    );
    assert_eq!(
        (config.network.timeout, config.network.retries),
        (Duration::from_secs(180), 0)
    );
}

#[test]
fn the_flag_names_the_file_before_the_variable_does() {
    let (_one, flag) = ferry_yml("mirror: { branch: flag }");
    let (_two, variable) = ferry_yml("mirror: { branch: variable }");
    let (three, _) = ferry_yml("mirror: { branch: folder }");
    let plain = Environment::from_pairs([MIRROR]).in_folder(three.path());
    let named = [MIRROR, ("FERRY_CONFIG", variable.to_str().unwrap())];
    let named = Environment::from_pairs(named).in_folder(three.path());
    let flags = Flags::new(Some(flag));
    let branch =
        |flags: &Flags, environment| Config::load(flags, environment).unwrap().mirror.branch;
    assert_eq!(branch(&flags, &named), "flag");
    assert_eq!(branch(&Flags::default(), &named), "variable");
    assert_eq!(branch(&Flags::default(), &plain), "folder");
    let missing = Flags::new(Some("no-such.yml".into()));
    assert!(message(Config::load(&missing, &plain)).contains("no-such.yml"));
}

#[test]
fn an_error_in_the_file_names_its_line_column_and_key() {
    let table = [
        (
            "miror: { url: x }",
            "ferry.yml:1:1: unknown key `miror`; did you mean mirror?; known here: upstream, mirror, network",
        ),
        (
            "mirror:\n  branhc: x",
            "ferry.yml:2:3: mirror: unknown key `branhc`; did you mean branch?; known here: url, branch,",
        ),
        (
            "mirror:\n  branch: a\n  branch: b",
            "ferry.yml:3:3: mirror: the key `branch` is given twice",
        ),
        (
            "mirror:\n  branch: [a]",
            "ferry.yml:2:11: mirror.branch: found a list, expected one value",
        ),
        (
            "mirror:\n  keep: a",
            "ferry.yml:2:9: mirror.keep: expected a list such as [a, b], found text",
        ),
        (
            "mirror:\n  keep:\n    - a\n    - '['",
            "ferry.yml:4:7: mirror.keep[1]: expected a path or a glob",
        ),
        (
            "mirror: https://me:hunter2@x.example",
            "ferry.yml:1:9: mirror: expected a mapping with the keys url,",
        ),
        (
            "mirror:\n  max_root_loss: 0.2",
            "ferry.yml:2:18: mirror.max_root_loss: expected 0% to 100%, found `0.2`",
        ),
        (
            "network:\n  timeout: soon",
            "ferry.yml:2:12: network.timeout: expected a duration such as 10s or 15m",
        ),
        (
            "mirror:\n  url: ftp://x.example/a",
            "ferry.yml:2:8: mirror.url: expected the address of a repository: `ftp://` is",
        ),
        (
            "mirror:\n  url: https://me:hunter2@x.example/a",
            "ferry.yml:2:8: mirror.url: the address carries a password",
        ),
        ("mirror:\n url: a: b", "ferry.yml:2:8: "),
        (
            "trigger:\n  variables: { A: hunter2, B: 1, A: 6 }",
            "ferry.yml:2:14: trigger.variables: `A` is given twice",
        ),
        (
            "mail:\n  to: [a@x.example, a@x.example]",
            "ferry.yml:2:21: mail.to[1]: `a@x.example` is given twice",
        ),
        (
            "policy:\n  deny:\n    - foo\n    - bar\n    - crate: foo\n      why: twice",
            "ferry.yml:5:7: policy.deny[2]: `foo` is given twice",
        ),
        (
            "policy:\n  deny: [time@>=0.1, <0.2.23]",
            "ferry.yml:2:22: policy.deny[1]: expected a crate such as serde, acme-*, serde@1.0.219 or time@<0.2.23: `<0.2.23` is \
             neither a crate name nor a pattern with `*`; in a list in `[ ]` a comma ends the element: put the rule in quotes, as \
             \"time@>=0.1, <0.2.23\"",
        ),
        (
            "trigger:\n  every: '61 * * * *'",
            "ferry.yml:2:10: trigger.every: expected",
        ),
        (
            "serve:\n  max_size: 99999999999999999999GiB",
            "ferry.yml:2:13: serve.max_size: expected a size",
        ),
        (
            "# one\nmirror:\n  branch: a\n\n---\nmirror:\n",
            "ferry.yml:5:1: a second document begins here",
        ),
        (
            "---\nmirror:\n...\nmirror:\n",
            "ferry.yml:3:1: a second document begins here",
        ),
        (
            "- a",
            "ferry.yml:1:1: found a list, expected a mapping with the keys upstream, mirror, network",
        ),
    ];
    for (text, expected) in table {
        let shown = message(from_file(text));
        assert!(shown.contains(expected), "{text}\n{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains(" at line "),
            "{shown}"
        );
    }
}

#[test]
fn a_file_that_is_not_utf8_names_the_line_and_what_to_do() {
    let (folder, path) = ferry_yml("");
    std::fs::write(path, b"mirror:\n  # caf\xe9\n").unwrap();
    let here = Environment::from_pairs([MIRROR]).in_folder(folder.path());
    let error = Config::load(&Flags::default(), &here).unwrap_err();
    assert!(
        error.chain().contains("line 2 is not UTF-8"),
        "{}",
        error.chain()
    );
    assert!(error.advice().unwrap().contains("UTF-8"), "{error:?}");
}

#[test]
fn a_password_in_the_file_is_refused_with_the_variable_that_takes_it() {
    let shown = message(from_file("mail:\n  smtp: smtps://u:hunter2@x.example\n"));
    assert!(
        shown.contains("mail.smtp: the address carries a password")
            && shown.contains("FERRY_SMTP_PASSWORD")
            && !shown.contains("FERRY_MIRROR_TOKEN"),
        "{shown}"
    );
}

#[test]
fn a_file_that_says_nothing_is_no_error() {
    for text in [
        "",
        "# nothing\n",
        "mirror:\n",
        "mirror: { branch: ~, keep: }\n",
    ] {
        assert_eq!(
            from_file(text)
                .unwrap_or_else(|e| panic!("{text}: {e}"))
                .mirror
                .branch,
            "master"
        );
    }
}

#[test]
fn a_reference_to_a_variable_is_told_with_its_place_and_what_to_do() {
    for (value, reference, variable) in [
        ("url: $MIRROR", "$MIRROR", "FERRY_MIRROR_URL"),
        ("url: '${MIRROR}'", "${MIRROR}", "FERRY_MIRROR_URL"),
        ("url: https://${HOST}/a.git", "${HOST}", "FERRY_MIRROR_URL"),
        ("keep: [a, '${KEEP}/*']", "${KEEP}", "FERRY_MIRROR_KEEP"),
    ] {
        let shown = from_file(&format!("mirror:\n  {value}\n"))
            .unwrap_err()
            .to_string();
        assert!(
            shown.contains("ferry.yml:2:")
                && shown.contains(&format!("{reference} is no value"))
                && shown.contains(&format!("set {variable}")),
            "{shown}"
        );
    }
    let config = from_file("mirror: { branch: a$b, keep: ['$a/*', 'b$'] }").unwrap();
    assert_eq!(config.mirror.branch, "a$b");
}

fn policy_of(text: &str) -> Result<crate::config::Policy> {
    let (folder, _) = ferry_yml(text);
    let environment = Environment::from_pairs::<&str, &str>([]).in_folder(folder.path());
    Ok(ServeConfig::load(&Flags::default(), &environment)?.policy)
}

#[test]
fn a_rule_is_a_text_or_a_mapping_with_an_end_and_a_reason() {
    let policy = policy_of(
        "policy:\n  min_age: 7d\n  allow: [acme-*, serde@1.0.219]\n  deny:\n    - evil-crate\n    \
         - { crate: 'time@>=0.1, <0.2.23', until: 2027-01-31, why: \"a\\n  reason\" }\n",
    )
    .unwrap();
    let allowed: Vec<_> = policy
        .allow
        .iter()
        .map(|rule| rule.crates.to_string())
        .collect();
    assert_eq!(allowed, ["acme-*", "serde@1.0.219"]);
    let [evil, time] = policy.deny.as_slice() else {
        panic!("{:?}", policy.deny);
    };
    assert_eq!(
        (evil.crates.to_string().as_str(), evil.until),
        ("evil-crate", None)
    );
    assert_eq!(time.crates.to_string(), "time@>=0.1, <0.2.23");
    assert_eq!(time.until, Some("2027-01-31T00:00:00Z".parse().unwrap()));
    assert_eq!(time.why.as_deref(), Some("a reason"));
}

#[test]
fn a_rule_that_cannot_be_used_is_located() {
    for (rule, position, why) in [
        ("serde@1", "ferry.yml:3:5: ", "begins with an operator"),
        (
            "{ why: x }",
            "ferry.yml:3:5: ",
            "the key `crate` is missing",
        ),
        (
            "{ crate: a, when: x }",
            "ferry.yml:3:",
            "unknown key `when`",
        ),
        ("{ crate: a, crate: b }", "ferry.yml:3:", "given twice"),
        (
            "{ crate: a, until: soon }",
            "ferry.yml:3:5: ",
            "expected a date",
        ),
        (
            "[a]",
            "ferry.yml:3:",
            "a crate, or a mapping with the keys crate, until and why",
        ),
    ] {
        let error = policy_of(&format!("policy:\n  deny:\n  - {rule}\n")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(position) && error.contains(why),
            "{rule}: {error}"
        );
    }
    let twice = policy_of("policy: { deny: [a, { crate: a, why: x }] }").unwrap_err();
    assert!(twice.to_string().contains("`a` is given twice"), "{twice}");
    let text = policy_of("policy: { deny: a }").unwrap_err();
    assert!(text.to_string().contains("expected a list"), "{text}");
}

#[test]
fn a_file_that_is_read_again_must_be_there_and_set_a_key_if_it_did() {
    let (folder, path) = ferry_yml("policy: { deny: [foo] }\n");
    let environment = Environment::from_pairs([MIRROR]).in_folder(folder.path());
    let again = Flags::default().again(&environment).unwrap();
    let load = |flags: &Flags| ServeConfig::load(flags, &environment);
    let message = || {
        let error = load(&again).expect_err("what the file said counts");
        error.chain().to_string()
    };
    assert_eq!(load(&again).unwrap().policy.deny.len(), 1);
    for empty in ["", "# nothing\n", "policy:\n"] {
        std::fs::write(&path, empty).unwrap();
        let told = message();
        assert!(
            told.ends_with("ferry.yml: the file sets no key any more"),
            "{told}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    let told = message();
    assert!(
        told.contains("cannot read the configuration file"),
        "{told}"
    );
    std::fs::write(&path, "policy: { deny: [foo, bar] }\n").unwrap();
    assert_eq!(load(&again).unwrap().policy.deny.len(), 2);

    // What said nothing may go on so.
    std::fs::remove_file(&path).unwrap();
    let again = Flags::default().again(&environment).unwrap();
    assert!(load(&again).unwrap().policy.deny.is_empty());
    std::fs::write(&path, "").unwrap();
    assert!(load(&again).unwrap().policy.deny.is_empty());
}

#[test]
fn brackets_within_brackets_end_in_time() {
    let deep = format!("mirror:\n  keep: {}\n", "[".repeat(100_000));
    let told = message(from_file(&deep));
    assert!(
        told.contains("ferry.yml:2: more than 100 brackets are open"),
        "{told}"
    );
    // Many beside each other are none within each other.
    let rules = "{ name: foo, why: [x] }, ".repeat(200);
    let told = message(from_file(&format!("policy: {{ deny: [{rules}] }}\n")));
    assert!(!told.contains("brackets"), "{told}");
}

#[test]
fn private_crates_are_kept_apart_and_an_empty_list_of_names_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let load = |text: &str| {
        std::fs::write(folder.path().join("ferry.yml"), text).unwrap();
        let environment = Environment::from_pairs([MIRROR]).in_folder(folder.path());
        ServeConfig::load(&Flags::default(), &environment).map_err(|error| error.to_string())
    };
    let told = load("private: { names: [] }\n").unwrap_err();
    assert!(told.ends_with("private.names: names no crate"), "{told}");
    let at = folder.path().display().to_string();
    let with = |store: &str, more: &str| {
        load(&format!(
            "serve: {{ data_dir: {at}/data }}\nprivate: {{ index: {at}/index.git, store: {store} }}\n{more}"
        ))
    };
    for (store, of) in [
        (format!("{at}/data/crates"), "serve.store"),
        (format!("{at}/data/crates/ab"), "serve.store"),
        (format!("{at}/data"), "serve.store"),
        (format!("{at}/data/tmp"), "serve.data_dir"),
        (format!("{at}/data/private"), "serve.data_dir"),
        (at.clone(), "private.index"),
        (format!("{at}/index.git"), "private.index"),
        (format!("{at}/index.git/objects"), "private.index"),
    ] {
        let told = with(&store, "").unwrap_err();
        let end = format!("private.store: is the directory of {of}, or around or inside it");
        assert!(told.ends_with(&end), "{store}: {told}");
    }
    for store in [
        format!("{at}/files"),
        format!("{at}/data/crates/private"),
        format!("{at}/data2"),
    ] {
        with(&store, "").unwrap();
    }
}
