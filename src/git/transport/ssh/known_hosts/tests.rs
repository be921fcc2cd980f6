#![allow(clippy::unwrap_used)]

use super::*;

const GITLAB_ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf";
const ONE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFSMqzJeV9rUzU4kWitGjeR4PWSa29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn parse(text: &str) -> Result<KnownHosts> {
    let known_hosts = KnownHostsText {
        text: text.to_owned(),
        origin: "SSH_KNOWN_HOSTS".to_owned(),
    };
    KnownHosts::parse(&known_hosts, "git.example", 22)
}

fn verdict(text: &str, host: &str, port: u16, shown: &str) -> HostKeyStatus {
    parse(text).unwrap().verify(host, port, &key(shown))
}

fn trusts(text: &str, host: &str, port: u16) -> bool {
    verdict(text, host, port, ONE) == HostKeyStatus::Trusted
}

#[test]
fn a_plain_name_ignores_case() {
    let file = format!("Git.Example {ONE}");
    assert!(trusts(&file, "git.example", 22));
    assert!(trusts(&file, "GIT.example", 22));
    assert!(!trusts(&file, "xgit.example", 22));
}

#[test]
fn a_name_in_brackets_is_for_its_port() {
    let file = format!("[git.example]:2222 {ONE}");
    assert!(trusts(&file, "git.example", 2222));
    assert!(!trusts(&file, "git.example", 2223));
    assert!(!trusts(&file, "git.example", 22));
    assert!(trusts(
        &format!("[git.example]:22 {ONE}"),
        "git.example",
        22
    ));
}

#[test]
fn lists_wildcards_and_negations_are_read_as_openssh_reads_them() {
    let file = format!("!old.git.example,*.git.example,h?st,10.0.0.1 {ONE}");
    for host in ["a.git.example", "a.b.git.example", "host", "10.0.0.1"] {
        assert!(trusts(&file, host, 22), "{host}");
    }
    for host in ["old.git.example", "git.example", "hst", "10.0.0.11"] {
        assert!(!trusts(&file, host, 22), "{host}");
    }
    assert!(trusts(&format!("[*.example]:* {ONE}"), "git.example", 2222));
    assert!(trusts(&format!("*a*b* {ONE}"), "xaab", 22));
    assert!(!trusts(&format!("!git.example {ONE}"), "other.example", 22));
}

#[test]
fn a_hashed_name_is_recognised() {
    let hashed = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, format!("{name} {ONE}\n")).unwrap();
        let ssh_keygen = std::process::Command::new("ssh-keygen")
            .args(["-H", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(ssh_keygen.status.success(), "{ssh_keygen:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|"), "{text}");
        text
    };
    assert!(trusts(&hashed("git.example"), "Git.Example", 22));
    assert!(!trusts(&hashed("git.example"), "other.example", 22));
    assert!(trusts(&hashed("[git.example]:2222"), "git.example", 2222));
    assert!(!trusts(&hashed("[git.example]:2222"), "git.example", 22));
}

#[test]
fn any_of_several_keys_of_a_host_is_trusted() {
    let file = format!("git.example {OTHER}\ngit.example {ECDSA}\ngit.example {ONE}\n");
    for shown in [ONE, OTHER, ECDSA] {
        assert_eq!(
            verdict(&file, "git.example", 22, shown),
            HostKeyStatus::Trusted
        );
    }
}

#[test]
fn a_host_with_other_keys_only_has_changed() {
    let file = format!("# scanned\ngit.example {OTHER}\n");
    let HostKeyStatus::Changed(trusted) = verdict(&file, "git.example", 22, ONE) else {
        panic!("the key is another one");
    };
    assert_eq!(trusted.len(), 1);
    assert_eq!(
        trusted[0].fingerprint,
        key(OTHER).fingerprint(HashAlg::Sha256)
    );
    assert_eq!(trusted[0].source, "SSH_KNOWN_HOSTS, line 2");
}

#[test]
fn a_revoked_key_is_refused_whatever_else_trusts_it() {
    let file = format!("git.example {ONE}\n@revoked *.example {ONE}\n");
    let place = "SSH_KNOWN_HOSTS, line 2".to_owned();
    assert_eq!(
        verdict(&file, "git.example", 22, ONE),
        HostKeyStatus::Revoked(place)
    );
    let other_host = format!("git.other {ONE}\n@revoked *.example {ONE}\n");
    assert!(trusts(&other_host, "git.other", 22));
    let gitlab = format!("@revoked * {GITLAB_ED25519}");
    let found = verdict(&gitlab, "gitlab.com", 22, GITLAB_ED25519);
    assert!(matches!(found, HostKeyStatus::Revoked(_)), "{found:?}");
}

#[test]
fn an_authority_is_no_host_key() {
    let file = format!("@cert-authority git.example {ONE}");
    assert_eq!(
        verdict(&file, "git.example", 22, ONE),
        HostKeyStatus::Unknown
    );
}

#[test]
fn the_keys_of_gitlab_com_are_built_in_and_a_file_adds_to_them() {
    for (host, port) in [
        ("gitlab.com", 22),
        ("GitLab.com", 22),
        ("altssh.gitlab.com", 443),
    ] {
        assert_eq!(
            verdict("", host, port, GITLAB_ED25519),
            HostKeyStatus::Trusted
        );
        let found = verdict("", host, port, ONE);
        assert!(matches!(found, HostKeyStatus::Changed(trusted) if trusted.len() == 3));
    }
    for (host, port) in [
        ("gitlab.com", 443),
        ("altssh.gitlab.com", 22),
        ("gitlab.example", 22),
    ] {
        assert_eq!(
            verdict("", host, port, GITLAB_ED25519),
            HostKeyStatus::Unknown
        );
    }
    let file = format!("gitlab.com {ONE}");
    assert!(trusts(&file, "gitlab.com", 22));
    assert_eq!(
        verdict(&file, "gitlab.com", 22, GITLAB_ED25519),
        HostKeyStatus::Trusted
    );
}

#[test]
fn the_known_algorithms_are_offered_first_and_sha_1_never() {
    let file = format!("git.example {ECDSA}");
    let known_hosts = parse(&file).unwrap();
    let names = |host| {
        let algorithms = known_hosts.algorithms(host, 22);
        algorithms
            .iter()
            .map(Algorithm::to_string)
            .collect::<Vec<_>>()
    };
    let plain = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ];
    assert_eq!(names("other.example"), plain);
    let known = names("git.example");
    assert_eq!(known[..2], ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert_eq!(known.len(), plain.len());
    let gitlab = names("gitlab.com");
    assert_eq!(gitlab[2..4], ["rsa-sha2-512", "rsa-sha2-256"]);
}

#[test]
fn comments_blank_lines_tabs_and_crlf_are_fine() {
    let file = format!("\r\n# a comment\r\n  \t\r\n  git.example\t{ONE}   a comment\r\n");
    assert!(trusts(&file, "git.example", 22));
}

#[test]
fn a_malformed_line_is_named() {
    let cut = &ONE[..40];
    for line in [
        "git.example",
        &format!("git.example {cut}"),
        "git.example ssh-ed25519 no/base64!",
        &format!("@unknown git.example {ONE}"),
        &format!("@revoked git.example ssh-ed25519 {}", "AAAA"),
        &format!("*.example,other ssh-rsa {cut}"),
    ] {
        let error = parse(&format!("# first\n{line}\n")).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{line}");
        assert!(
            error.to_string().starts_with("SSH_KNOWN_HOSTS, line 2:"),
            "{line}"
        );
    }
}

#[test]
fn unreadable_lines_for_other_hosts_and_keys_of_other_types_are_skipped() {
    let old = "1024 35 119045839417273245087";
    let ed448 = "ssh-ed448 AAAACXNzaC1lZDQ0OAAAADkA";
    let lines = [
        format!("other.example {old}"),
        format!("git.example {old}"),
        format!("other.example,192.0.2.1 {ed448}"),
        format!("git.example {ed448}"),
        "other.example ssh-ed25519 no/base64!".to_owned(),
        format!("|1|salt git.example {ONE}"),
        "other.example".to_owned(),
        ONE.to_owned(),
        format!("git.example {ONE}"),
    ];
    assert!(trusts(&lines.join("\n"), "git.example", 22));
}

#[test]
fn a_line_without_port_counts_where_none_names_the_port() {
    let plain = format!("git.example {ONE}\n");
    assert!(trusts(&plain, "git.example", 2222));
    // Another key is simply unknown: the line may be about another server of that host.
    assert_eq!(
        verdict(&plain, "git.example", 2222, OTHER),
        HostKeyStatus::Unknown
    );
    let both = format!("{plain}[git.example]:2222 {OTHER}\n");
    assert!(!trusts(&both, "git.example", 2222));
    let revoked = format!("@revoked {plain}[git.example]:2222 {ONE}\n");
    let verdict = verdict(&revoked, "git.example", 2222, ONE);
    assert!(matches!(verdict, HostKeyStatus::Revoked(_)), "{verdict:?}");
}

#[test]
fn a_line_to_paste_is_what_the_parser_reads_back() {
    let mut shown = key(ONE);
    shown.set_comment("a comment");
    assert_eq!(
        line("git.example", 22, &shown),
        format!("git.example {ONE}")
    );
    assert_eq!(
        line("git.example", 2222, &shown),
        format!("[git.example]:2222 {ONE}")
    );
    assert!(trusts(&line("::1", 2222, &shown), "::1", 2222));
}
