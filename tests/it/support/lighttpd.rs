//! A real smart HTTP git server: `git http-backend` behind lighttpd, on a loopback port.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::skip::skip;

/// Lighttpd over a folder of bare repositories; it ends with the value.
pub(crate) struct Lighttpd {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Lighttpd {
    /// Starts a server for every repository below `repos_dir`, or says that the test is skipped where the machine
    /// has no lighttpd. Repositories that are pushed to need `http.receivepack true`.
    pub(crate) fn start(repos_dir: &Path, login: Option<(&str, &str)>) -> Option<Self> {
        let Some(program) = installed() else {
            skip("lighttpd is not there (package lighttpd)");
            return None;
        };
        // Another process may take the free port before lighttpd does; then another one is tried.
        let started = (0..5).find_map(|_| Self::try_start(&program, repos_dir, login));
        Some(started.expect("lighttpd starts on one of five ports"))
    }

    fn try_start(program: &Path, repos_dir: &Path, login: Option<(&str, &str)>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let conf = folder.path().join("lighttpd.conf");
        fs::write(&conf, configuration(folder.path(), repos_dir, port, login)).unwrap();
        let mut child = Command::new(program)
            .arg("-D")
            .arg("-f")
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says so once it listens, and ends at once where the port is taken.
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while log.read_line(&mut line).unwrap() > 0 {
            if line.contains("server started") {
                std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
                return Some(Self {
                    child,
                    port,
                    _folder: folder,
                });
            }
        }
        child.wait().unwrap();
        assert!(
            line.contains("Address already in use"),
            "lighttpd does not start: {line}"
        );
        None
    }

    /// Returns the port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of a repository, for example of `mirror.git`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/git/{path}", self.port)
    }
}

impl Drop for Lighttpd {
    fn drop(&mut self) {
        // The server runs in the foreground, so that this is its only process besides running CGI ones.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed() -> Option<PathBuf> {
    ["/usr/sbin/lighttpd", "/usr/local/sbin/lighttpd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn configuration(
    folder: &Path,
    repos_dir: &Path,
    port: u16,
    login: Option<(&str, &str)>,
) -> String {
    let exec_path = Command::new("git").arg("--exec-path").output().unwrap();
    let exec_path = String::from_utf8(exec_path.stdout).unwrap();
    let (backend, repos) = (exec_path.trim(), repos_dir.display());
    let folder_text = folder.display();
    let mut conf = format!(
        r#"
server.modules = ("mod_alias", "mod_cgi", "mod_setenv", "mod_auth", "mod_authn_file")
server.document-root = "{folder_text}"
server.upload-dirs = ("{folder_text}")
server.bind = "127.0.0.1"
server.port = {port}
alias.url = ("/git" => "{backend}/git-http-backend")
cgi.assign = ("" => "")
setenv.add-environment = ("GIT_PROJECT_ROOT" => "{repos}", "GIT_HTTP_EXPORT_ALL" => "")
"#
    );
    if let Some((user, password)) = login {
        let users = folder.join("users");
        fs::write(&users, format!("{user}:{password}\n")).unwrap();
        conf += &format!(
            r#"
auth.backend = "plain"
auth.backend.plain.userfile = "{}"
auth.require = ("/" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
"#,
            users.display()
        );
    }
    conf
}
