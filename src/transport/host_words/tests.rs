//! Each answer in the words of the host that gives it; the comments say in which of its files they are.
#![allow(clippy::unwrap_used)]

use super::*;
use Kind::{Auth, Permission, Race, Server};

type Case = (&'static str, Kind, &'static str);

fn assert_all(cases: &[Case]) {
    for (text, kind, advice) in cases {
        let answer = HostWords::new(text).meaning();
        let answer = answer.unwrap_or_else(|| panic!("not recognized: {text}"));
        assert_eq!(answer.kind, *kind, "{text}");
        assert!(answer.advice.contains(advice), "{text}: {}", answer.advice);
    }
}

#[test]
fn gitlab_says_who_may_push() {
    // lib/gitlab/git_access.rb, git_access_project.rb, lib/gitlab/checks/branch_check.rb
    assert_all(&[
        (
            "This deploy key does not have write access to this project.",
            Permission,
            "Grant write permissions",
        ),
        (
            "Deploy keys are not allowed to push code.",
            Permission,
            "Grant write permissions",
        ),
        (
            "You are not allowed to push code to protected branches on this project.",
            Permission,
            "the deploy key itself",
        ),
        (
            "You are not allowed to create protected branches on this project.",
            Permission,
            "the deploy key itself",
        ),
        (
            "\nA default branch (e.g. main) does not yet exist for rust/index\nAsk a project Owner or Maintainer to create a default branch:\n\n  https://gitlab.example/rust/index/-/project_members\n\n",
            Permission,
            "the deploy key itself",
        ),
        (
            "You are not allowed to push code to this project.",
            Permission,
            "Developer",
        ),
        (
            "You are not allowed to upload code for this project.",
            Permission,
            "Developer",
        ),
        (
            "You can't push code to an archived project.",
            Permission,
            "unarchive",
        ),
        (
            "The project you were looking for could not be found or you don't have permission to view it.",
            Permission,
            "enable the deploy key",
        ),
        (
            "The namespace you were looking for could not be found.",
            Permission,
            "look at the URL",
        ),
        (
            "A repository for this project does not exist yet.",
            Permission,
            "look at the URL",
        ),
        (
            "Git access over SSH is not allowed",
            Permission,
            "of the other kind",
        ),
        (
            "Pushing over HTTP is not allowed.",
            Permission,
            "of the other kind",
        ),
        (
            "Authentication by CI/CD job token not allowed from rust/jobs to rust/index.",
            Permission,
            "Job token permissions",
        ),
        (
            "Insufficient permissions to pull from the repository of project index.",
            Permission,
            "Job token permissions",
        ),
    ]);
}

#[test]
fn gitlab_says_who_may_come_in() {
    // lib/gitlab/git_access.rb, lib/gitlab/auth/user_access_denied_reason.rb, app/models/key.rb, ee/lib/ee/gitlab/git_access.rb
    assert_all(&[
        ("Your SSH key has expired.", Auth, "SSH_PRIVATE_KEY"),
        (
            "Your SSH key type is forbidden. Must be RSA, ECDSA, or ED25519.",
            Auth,
            "SSH_PRIVATE_KEY",
        ),
        ("Your account has been blocked.", Auth, "let in again"),
        (
            "Your account has been deactivated by your administrator. Please log back in from a web browser to reactivate your account at https://gitlab.example",
            Auth,
            "let in again",
        ),
        (
            "Your account is pending approval from your administrator and hence blocked.",
            Auth,
            "let in again",
        ),
        (
            "Your primary email address is not confirmed. Please check your inbox for the confirmation instructions.",
            Auth,
            "let in again",
        ),
        (
            "Your password expired. Please access GitLab from a web browser to update your password.",
            Auth,
            "let in again",
        ),
        (
            "You (@ferry) must accept the Terms of Service in order to perform this action.",
            Permission,
            "accept the terms",
        ),
        (
            "Cannot find valid SSO session. Please login via your group's SSO at https://gitlab.example/users/sign_in",
            Auth,
            "deploy key",
        ),
        (
            "Project requires smartcard login. Please login to GitLab using a smartcard.",
            Auth,
            "deploy key",
        ),
        (
            "OTP verification is required to access the repository.\n\n   Use: ssh git@gitlab.example 2fa_verify",
            Auth,
            "deploy key",
        ),
    ]);
}

#[test]
fn gitlab_says_what_may_be_pushed() {
    // ee/lib/ee/gitlab/checks/push_rules/{commit,branch,file_size}_check.rb, ee/lib/ee/gitlab/checks/diff_check.rb,
    // lib/gitlab/checks/global_file_size_check.rb, lib/gitlab/repository_size_error_message.rb,
    // doc/user/application_security/secret_detection, doc/user/read_only_namespaces.md
    assert_all(&[
        (
            "Commit message 'Update crate `x`\n\nfile name not found' does not follow the pattern 'TICKET-\\d+'",
            Permission,
            "commit messages",
        ),
        (
            "Commit message 'Update crate `x`' contains the forbidden pattern 'crate'",
            Permission,
            "commit messages",
        ),
        (
            "Commit message must contain a DCO signoff",
            Permission,
            "commit messages",
        ),
        (
            "Committer's email 'crates-ferry@localhost' does not follow the pattern '@example.com$'",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "Author's email 'crates-ferry@localhost' does not follow the pattern '@example.com$'",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "Author 'crates-ferry@localhost' is not a member of team",
            Permission,
            "history: snapshot",
        ),
        (
            "Committer 'bors@rust-lang.example' is not a member of team",
            Permission,
            "history: snapshot",
        ),
        (
            "Committer email 'ferry@example.com' is not verified.",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "You cannot push commits for 'ferry@example.com'. You can only push commits if the committer email is one of your own verified emails.",
            Permission,
            "who created it",
        ),
        (
            "Your git author name is inconsistent with GitLab account name",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "Commit must be signed with a GPG key",
            Permission,
            "signed commits",
        ),
        (
            "Branch name does not follow the pattern '^release/'",
            Permission,
            "mirror.branch",
        ),
        (
            "File name se/cr/secrets was prohibited by the pattern \"secret\".",
            Permission,
            "file names",
        ),
        (
            "The path 'config.json' is locked by Ada",
            Permission,
            "lock",
        ),
        (
            "PUSH BLOCKED: Secrets detected in code changes",
            Permission,
            "Secret push protection",
        ),
        (
            "File \"3/s/syn\" is larger than the allowed size of 1 MB",
            Permission,
            "limit on the size",
        ),
        (
            "You are attempting to check in one or more blobs which exceed the 100MiB limit:",
            Permission,
            "limit on the size",
        ),
        (
            "Your push has been rejected, because this repository has exceeded its size limit of 10 GB by 660 MB. Please contact your GitLab administrator for more information.",
            Permission,
            "another try does not help",
        ),
        (
            "Your push to this repository would cause it to exceed the size limit of 10 GB so it has been rejected.",
            Permission,
            "another try does not help",
        ),
        (
            "Your push to this repository has been rejected because it would exceed storage limits. Please contact your GitLab administrator for more information.",
            Permission,
            "another try does not help",
        ),
        (
            "Your top-level group rust is over the 5 user limit and has been placed in a read-only state.",
            Permission,
            "group",
        ),
        (
            "fatal: pack exceeds maximum allowed size",
            Permission,
            "another try does not help",
        ), // git: builtin/index-pack.c
    ]);
}

#[test]
fn gitlab_says_when_it_is_not_well() {
    // lib/gitlab/git_access.rb, ee/lib/ee/gitlab/git_access.rb; gitlab-shell: internal/clients/gitlab/errors.go; gitaly:
    // internal/gitlab/http_client.go, cmd/gitaly-hooks; workhorse: internal/git/error.go
    assert_all(&[
        (
            "The repository is temporarily read-only. Please try again later.",
            Server,
            "moving the repository",
        ),
        (
            "You can't push code to a read-only GitLab instance.",
            Server,
            "Geo",
        ),
        (
            "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode.",
            Server,
            "run it again later",
        ),
        ("Internal API unreachable", Server, "in a few minutes"),
        ("Internal API error (502)", Server, "in a few minutes"),
        ("GitLab: API is not accessible", Server, "in a few minutes"),
        (
            "GitLab: gitlab api is not accessible: 503",
            Server,
            "in a few minutes",
        ),
        (
            "Push operation timed out\n\nTiming information for debugging purposes:\n",
            Server,
            "in a few minutes",
        ),
        (
            "GitLab is currently unable to handle this request due to load (ID 01ABC).",
            Server,
            "in a few minutes",
        ),
        ("server is busy", Server, "in a few minutes"),
        (
            "error executing git hook\nerror resource exhausted, please try again later",
            Server,
            "in a few minutes",
        ),
    ]);
}

#[test]
fn other_hosts_say_the_like() {
    // GitHub, as users report it; Gitea and Forgejo: routers/private/{serv,hook_pre_receive}.go; Bitbucket; git: upload-pack.c
    assert_all(&[
        (
            "ERROR: The key you are authenticating with has been marked as read only.",
            Permission,
            "Allow write access",
        ),
        (
            "ERROR: Permission to rust/index.git denied to deploy key",
            Permission,
            "Allow write access",
        ),
        (
            "error: GH006: Protected branch update failed for refs/heads/master.",
            Permission,
            "GitHub",
        ),
        (
            "error: GH013: Repository rule violations found for refs/heads/master.\n\n- Changes must be made through a pull request.",
            Permission,
            "bypass list",
        ),
        (
            "push declined due to repository rule violations",
            Permission,
            "bypass list",
        ),
        (
            "error: GH007: Your push would publish a private email address.",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "push declined due to email privacy restrictions",
            Permission,
            "FERRY_MIRROR_AUTHOR",
        ),
        (
            "ERROR: This repository was archived so it is read-only.",
            Permission,
            "unarchive",
        ),
        (
            "ERROR: Your account is suspended. Please check with your installation administrator.",
            Auth,
            "let in again",
        ),
        (
            "ERROR: The repository owner has an IP allow list enabled, and 192.0.2.1 is not permitted to access this repository.",
            Permission,
            "allowed addresses",
        ),
        (
            "The 'rust' organization has enabled or enforced SAML SSO.",
            Auth,
            "single sign-on",
        ),
        (
            "Deploy Key: 3:ferry is not authorized to write to rust/index.",
            Permission,
            "give the deploy key",
        ),
        (
            "User: 1:ada with Key: 2:ferry is not authorized to write to rust/index.",
            Permission,
            "give the user",
        ),
        (
            "Mirror Repository rust/index is read-only",
            Permission,
            "ordinary one",
        ),
        ("Repo: rust/index is archived.", Permission, "unarchive"),
        (
            "Not allowed to push to protected branch master",
            Permission,
            "push to this branch",
        ),
        (
            "branch master is protected from unverified commit 7a12f22",
            Permission,
            "signed commits",
        ),
        (
            "New repository size is over limitation of 1 GiB",
            Permission,
            "limit on the size",
        ),
        (
            "conq: repository access denied. access via a deployment key is read-only.",
            Permission,
            "give the deploy key",
        ),
        (
            "upload-pack: not our ref 0123456789012345678901234567890123456789",
            Race,
            "try again",
        ),
    ]);
}

#[test]
fn remarks_and_words_of_unknown_hosts_have_no_known_meaning() {
    for text in [
        "",
        "INFO: Your SSH key is expiring soon. Please generate a new key.", // lib/gitlab/auth/key_status_checker.rb
        "You're pushing to a Geo secondary! We'll help you by proxying this request to the primary:",
        "We want a ticket number in every message.",
        "pre-receive hook declined",
        "fatal: '/srv/missing.git' does not appear to be a git repository",
    ] {
        assert_eq!(HostWords::new(text).meaning(), None, "{text}");
    }
}

#[test]
fn gitlabs_frame_is_taken_off() {
    // gitlab-shell: internal/console/console.go
    let ruler = "=".repeat(72);
    let framed = format!(
        "remote: \nremote: {ruler}\nremote: \nremote: ERROR: No.\r\n\nremote: \x1b[1mReally\x07\nremote: \nremote: {ruler}\nremote: \n"
    );
    assert_eq!(
        HostWords::new(&framed).to_string(),
        "ERROR: No. / [1mReally"
    );
    assert!(HostWords::new(&format!("remote: {ruler}\n--\n")).is_empty());
}

#[test]
fn every_pattern_is_in_lower_case_and_every_row_tells_what_to_do() {
    for (patterns, answer) in &ANSWERS {
        assert!(!patterns.is_empty() && !answer.advice.is_empty());
        for pattern in *patterns {
            assert_eq!(*pattern, pattern.to_lowercase());
        }
    }
}
