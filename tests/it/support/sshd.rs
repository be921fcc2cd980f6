//! A real OpenSSH server that serves the git repositories of one folder.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::skip::skip;

const SSHD: &str = "/usr/sbin/sshd";

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the server takes `GIT_PROTOCOL` from its clients; it speaks version 0 only where it does not.
    pub accept_env: bool,
    /// The folder whose repositories are served: `/group/it.git` and `group/it.git` are both `group/it.git` in it.
    pub repos: PathBuf,
    /// The types of its host keys, as `ssh-keygen -t` names them.
    pub host_keys: &'static [&'static str],
    /// More lines for `sshd_config`.
    pub config: &'static str,
}

impl Options {
    /// Serves `repos` with version 2 and one ed25519 host key.
    pub fn new(repos: impl Into<PathBuf>) -> Self {
        Self {
            accept_env: true,
            repos: repos.into(),
            host_keys: &["ed25519"],
            config: "",
        }
    }
}

/// A running server; dropping it ends it.
pub struct Sshd {
    folder: TempDir,
    process: Child,
    port: u16,
    pub(super) user: String,
    host_keys: &'static [&'static str],
}

impl Sshd {
    /// Starts a server, or says that the test is skipped where OpenSSH's server is not installed.
    pub fn start(options: &Options) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            skip(&format!("{SSHD} is not there (package openssh-server)"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for kind in options.host_keys {
            keygen(&folder.path().join(format!("host_{kind}")), &["-t", kind]);
        }
        keygen(&folder.path().join("key"), &["-t", "ed25519"]);
        write_forced_command(folder.path(), &options.repos);
        if whoami() == "root" {
            // Where sshd, started by root, shuts its unprivileged half in.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let (process, port) = (0..5).find_map(|_| spawn(folder.path(), options)).unwrap();
        let sshd = Self {
            folder,
            process,
            port,
            user: whoami(),
            host_keys: options.host_keys,
        };
        sshd.authorize(&sshd.read("key.pub"));
        Some(sshd)
    }

    /// Returns the address of a repository, for example `ssh://user@127.0.0.1:2222/group/it.git`.
    pub fn url(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        format!("ssh://{}@127.0.0.1:{}/{path}", self.user, self.port)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a known hosts line with the first host key.
    pub fn known_hosts_line(&self) -> String {
        self.known_hosts_line_of(self.host_keys[0])
    }

    /// Returns a known hosts line with the host key of a type.
    pub fn known_hosts_line_of(&self, kind: &str) -> String {
        let key = self.read(&format!("host_{kind}.pub"));
        format!("[127.0.0.1]:{} {}\n", self.port, key.trim_end())
    }

    /// Returns the text of a private key that the server accepts.
    pub fn private_key_text(&self) -> String {
        self.read("key")
    }

    /// Makes the server accept one more public key.
    pub fn authorize(&self, public_key: &str) {
        let forced = self.folder.path().join("forced.sh");
        let line = format!("command=\"{}\",restrict {public_key}\n", forced.display());
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("authorized_keys"))
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    /// Makes a key pair with `ssh-keygen` that the server accepts, and returns the private key's text.
    pub fn new_key(&self, name: &str, arguments: &[&str]) -> String {
        keygen(&self.folder.path().join(name), arguments);
        self.authorize(&self.read(&format!("{name}.pub")));
        self.read(name)
    }

    /// Makes the next service end before its first byte, and without a word, as some servers' do now and then.
    pub fn fall_silent_once(&self) {
        std::fs::write(self.folder.path().join("silent"), "").unwrap();
    }

    /// Counts the connections on which at least one service was started.
    pub fn connections(&self) -> usize {
        let text = self.read("connections");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a key pair; without a passphrase where the arguments name none.
fn keygen(file: &Path, arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-C", "a test's", "-f"]).arg(file);
    if !arguments.contains(&"-N") {
        command.args(["-N", ""]);
    }
    assert!(command.args(arguments).status().unwrap().success());
}

/// Writes the command that every login runs: git's restricted shell, in the folder of the repositories.
fn write_forced_command(folder: &Path, repos: &Path) {
    let script = format!(
        r##"#!/bin/sh
echo "$SSH_CONNECTION" >>'{folder}/connections'
rm '{folder}/silent' 2>/dev/null && exit
PATH='{path}'; export PATH
cd '{repos}' && exec git shell -c "$(printf %s "$SSH_ORIGINAL_COMMAND" | sed "s#'/#'#")"
"##,
        folder = folder.display(),
        path = std::env::var("PATH").unwrap(),
        repos = repos.display(),
    );
    let file = folder.join("forced.sh");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Starts sshd on a port that was free just now; none where somebody else took it meanwhile.
fn spawn(folder: &Path, options: &Options) -> Option<(Child, u16)> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let file = folder.join("sshd_config");
    std::fs::write(&file, sshd_config(folder, port, options)).unwrap();
    let mut process = Command::new(SSHD)
        .args(["-D", "-e", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let listening = |line: &std::io::Result<String>| {
        let line = line.as_ref().unwrap();
        line.starts_with("Server listening on")
    };
    if !log.any(|line| listening(&line)) {
        process.wait().unwrap();
        return None;
    }
    // Read on, or the server blocks when the pipe is full.
    std::thread::spawn(move || log.for_each(drop));
    Some((process, port))
}

fn sshd_config(folder: &Path, port: u16, options: &Options) -> String {
    let folder = folder.display();
    let mut config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nPidFile {folder}/sshd.pid\n\
         AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin forced-commands-only\n{}\n",
        options.config
    );
    for kind in options.host_keys {
        config.push_str(&format!("HostKey {folder}/host_{kind}\n"));
    }
    if options.accept_env {
        config.push_str("AcceptEnv GIT_PROTOCOL\n");
    }
    config
}

/// Returns the name of the user that the tests run as.
pub fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
