//! A real exim that delivers every mail it accepts into one Maildir.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::certificate;
use super::skip::skip;

const EXIM: &str = "/usr/sbin/exim4";
/// The usual password.
pub const PASSWORD: &str = "hunter2-of-the-mail";

/// How the server is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether it offers STARTTLS, and AUTH after it.
    pub starttls: bool,
    /// Whether its port speaks TLS from the first byte.
    pub implicit: bool,
    /// Whether it takes mails from who logged in only.
    pub wants_login: bool,
    /// The name that its certificate is for, besides `localhost`.
    pub certified: &'static str,
    /// The password of the user `ferry`.
    pub password: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            starttls: true,
            implicit: false,
            wants_login: true,
            certified: "IP:127.0.0.1",
            password: PASSWORD,
        }
    }
}

/// A running server; dropping it ends it. It refuses recipients that begin with `nobody`, and in EHLO a name without a dot.
pub struct Exim {
    folder: TempDir,
    process: Child,
    port: u16,
    options: Options,
}

impl Exim {
    /// Starts a server, or says that the test is skipped where exim is not installed.
    pub fn start(options: &Options) -> Option<Self> {
        if !Path::new(EXIM).exists() {
            skip(&format!("{EXIM} is not there (package exim4-daemon-light)"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let names = format!("DNS:localhost,{}", options.certified);
        certificate::make_marked_as_authority(folder.path(), &names);
        let (process, port) = (0..5).find_map(|_| spawn(folder.path(), options)).unwrap();
        Some(Self {
            folder,
            process,
            port,
            options: *options,
        })
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the password of the user `ferry`.
    pub fn password(&self) -> &'static str {
        self.options.password
    }

    /// Returns the server's address, as `mail.smtp` wants it.
    pub fn url(&self) -> String {
        let user = if self.options.wants_login {
            "ferry@"
        } else {
            ""
        };
        let scheme = if self.options.implicit {
            "smtps"
        } else {
            "smtp"
        };
        let tls = match self.options.starttls || self.options.implicit {
            true => "",
            false => "?tls=none",
        };
        format!("{scheme}://{user}127.0.0.1:{}{tls}", self.port)
    }

    /// Returns the file of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Returns the variables with which the program mails over it.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            ("FERRY_MAIL_SMTP", self.url()),
            ("FERRY_MAIL_FROM", "ferry@mirror.example".to_owned()),
            ("FERRY_MAIL_TO", "ops@mirror.example".to_owned()),
            (
                "FERRY_NETWORK_CA_FILE",
                self.ca_file().display().to_string(),
            ),
        ];
        if self.options.wants_login {
            pairs.push(("FERRY_SMTP_PASSWORD", self.password().to_owned()));
        }
        let pairs = pairs.into_iter();
        pairs
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Waits until so many mails have arrived, and returns all, the oldest first.
    pub fn messages(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.delivered();
            if found.len() >= count && self.is_idle() {
                return self.delivered();
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} mails: {}",
                found.len(),
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Returns what the server wrote to its log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("mainlog"));
        log.unwrap_or_default()
    }

    /// Says whether no accepted mail waits to be delivered.
    fn is_idle(&self) -> bool {
        let log = self.log();
        log.matches(" <= ").count() == log.matches(" Completed").count()
    }

    fn delivered(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("maildir/new")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
            .collect();
        files.sort();
        let read = |(_, path): &(_, PathBuf)| std::fs::read_to_string(path).unwrap();
        files.iter().map(read).collect()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts exim on a port that was free just now; none where somebody else took it meanwhile.
fn spawn(folder: &Path, options: &Options) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let file = folder.join("exim.conf");
    std::fs::write(&file, config(folder, port, options)).unwrap();
    // exim gives up its rights for a user of its own, who must get at the folder.
    let owned = Command::new("chown")
        .args(["-R", "Debian-exim"])
        .arg(folder)
        .status();
    assert!(owned.unwrap().success());
    let root = Command::new("chown").arg("root").arg(&file).status();
    assert!(root.unwrap().success());
    let mut process = Command::new(EXIM)
        .args(["-bdf", "-C"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((process, port));
        }
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    None
}

fn config(folder: &Path, port: u16, options: &Options) -> String {
    let folder = folder.display();
    let password = options.password;
    let tls = match options.starttls || options.implicit {
        true => format!(
            "tls_advertise_hosts = *\ntls_certificate = {folder}/cert.pem\ntls_privatekey = {folder}/key.pem\n"
        ),
        false => "tls_advertise_hosts =\n".to_owned(),
    };
    let implicit = match options.implicit {
        true => format!("tls_on_connect_ports = {port}\n"),
        false => String::new(),
    };
    let admitted = match options.wants_login {
        true => "  deny message = log in first\n       !authenticated = *\n",
        false => "",
    };
    format!(
        "{implicit}{tls}daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\nprimary_hostname = mail.example\n\
spool_directory = {folder}/spool\nlog_file_path = {folder}/%slog\npid_file_path = {folder}/exim.pid\n\
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}\nacl_smtp_rcpt = rcpt\nacl_smtp_mail = sender\nacl_smtp_helo = hello\n\
queue_run_max = 0\nsmtp_accept_max = 50\n\
begin acl\nhello:\n  deny message = that is no name of a host\n       condition = ${{if match{{$sender_helo_name}}{{[.:]}}{{0}}{{1}}}}\n  accept\n\
sender:\n  deny message = we do not know you\n       senders = ^stranger\n  accept\n\
rcpt:\n{admitted}  deny message = there is nobody of that name\n       local_parts = ^nobody\n  accept\n\
begin routers\nall:\n  driver = accept\n  transport = maildir\n\
begin transports\nmaildir:\n  driver = appendfile\n  maildir_format\n  directory = {folder}/maildir\n  create_directory\n  user = Debian-exim\n\
begin authenticators\n\
plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_condition = ${{if and{{{{eq{{$auth2}}{{ferry}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n  server_set_id = $auth2\n\
login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n  server_condition = ${{if and{{{{eq{{$auth1}}{{ferry}}}}{{eq{{$auth2}}{{{password}}}}}}}}}\n  server_set_id = $auth1\n"
    )
}
