"""The git servers: git daemon, OpenSSH and lighttpd, on loopback, over one folder of repositories; or that folder itself."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import git
from .proxy import Proxy


class Server:
    """A running server; `with` ends it by its process id."""

    program = None

    def __init__(self, folder, repositories, rtt=0.0):
        self.folder, self.repositories, self.log, self.rtt = folder, repositories, folder / "log", rtt
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.port = free_port()

    def __enter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=git.environment(),
                start_new_session=True,
            )
        self.await_port()
        self.proxy = Proxy(self.port, self.rtt)
        self.ready()
        return self

    def __exit__(self, *_):
        self.proxy.close()
        self.process.terminate()
        self.process.wait(timeout=10)

    def await_port(self):
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit(f"bench: {self.program} did not start:\n{self.log.read_text(errors='replace')}")

    def ready(self):
        """Does what has to wait for the ports."""

    def address(self, name, counted):
        """Returns a repository's URL: through the proxy where bytes are counted, or where the server is to be far away."""
        return self.url(name, self.proxy.port if counted or self.rtt else self.port)

    def take(self):
        """Returns the bytes that clients received and sent through the proxy since the last call."""
        return self.proxy.take()

    def client_environment(self):
        """Returns what a client needs besides the address."""
        return {}


class GitDaemon(Server):
    program = "git"
    title = "git://"

    def command(self):
        root = str(self.repositories)
        return ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}", f"--base-path={root}",
                "--export-all", "--enable=receive-pack", root]

    def url(self, name, port):
        return f"git://127.0.0.1:{port}/{name}"


class OpenSsh(Server):
    program = "/usr/sbin/sshd"
    title = "ssh"

    def command(self):
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for key in ("hostkey", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], check=True)
        forced = self.folder / "forced.sh"
        forced.write_text(
            f"#!/bin/sh\ncd '{self.repositories}' && "
            "exec git shell -c \"$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed \"s#'/#'#\")\"\n"
        )
        forced.chmod(0o755)
        public = (self.folder / "key.pub").read_text()
        (self.folder / "authorized_keys").write_text(f'command="{forced}",restrict {public}')
        (self.folder / "conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/hostkey\nPidFile {self.folder}/pid\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nAcceptEnv GIT_PROTOCOL\n"
        )
        return [self.program, "-D", "-e", "-f", str(self.folder / "conf")]

    def ready(self):
        host_key = (self.folder / "hostkey.pub").read_text()
        lines = [f"[127.0.0.1]:{port} {host_key}" for port in (self.port, self.proxy.port)]
        (self.folder / "known_hosts").write_text("".join(lines))

    def url(self, name, port):
        return f"ssh://{getpass.getuser()}@127.0.0.1:{port}/{name}"

    def client_environment(self):
        key, known_hosts = self.folder / "key", self.folder / "known_hosts"
        return {
            "GIT_SSH_COMMAND": f"ssh -F /dev/null -i '{key}' -o IdentitiesOnly=yes -o BatchMode=yes "
            f"-o 'UserKnownHostsFile={known_hosts}'",
            "SSH_PRIVATE_KEY": str(key),
            "SSH_KNOWN_HOSTS": str(known_hosts),
        }


class Lighttpd(Server):
    program = "/usr/sbin/lighttpd"
    title = "smart HTTP"

    def command(self):
        conf = self.folder / "conf"
        conf.write_text(lighttpd_conf(self.folder, self.port, self.repositories))
        return [self.program, "-D", "-f", str(conf)]

    def url(self, name, port):
        return f"http://127.0.0.1:{port}/git/{name}"


class LighttpdTls(Lighttpd):
    module = Path("/usr/lib/lighttpd/mod_openssl.so")
    title = "smart HTTPS"

    def command(self):
        command = super().command()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=bench.example", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", self.folder / "tls.key", "-out", self.folder / "tls.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )
        with (self.folder / "conf").open("a") as conf:
            conf.write(
                f'server.modules += ("mod_openssl")\nssl.engine = "enable"\n'
                f'ssl.pemfile = "{self.folder}/tls.pem"\nssl.privkey = "{self.folder}/tls.key"\n'
            )
        return command

    def url(self, name, port):
        return f"https://127.0.0.1:{port}/git/{name}"

    def client_environment(self):
        certificate = str(self.folder / "tls.pem")
        return {"GIT_SSL_CAINFO": certificate, "FERRY_NETWORK_CA_FILE": certificate}


def http_backend():
    """Returns the path of git's CGI program for smart HTTP."""
    return Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-http-backend"


def lighttpd_conf(folder, port, repositories):
    """Returns the configuration of a lighttpd that serves the repositories below /git/."""
    # Answers are passed on while they are made, as git hosts do. Requests are not: with stream-request-body, lighttpd
    # refuses the chunked ones (411), which is how git and crates-ferry send a pack whose size is not known.
    return f"""
server.modules = ("mod_alias", "mod_cgi", "mod_setenv")
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}"
server.upload-dirs = ("{folder}")
server.stream-response-body = 2
alias.url = ("/git" => "{http_backend()}")
cgi.assign = ("" => "")
setenv.add-environment = ("GIT_PROJECT_ROOT" => "{repositories}", "GIT_HTTP_EXPORT_ALL" => "",
    "GIT_CONFIG_GLOBAL" => "/dev/null", "PATH" => "{os.environ['PATH']}")
"""


class LocalFolder:
    """No server: both repositories are folders of the client's machine, and no bytes cross a network."""

    program = "git"
    title = "local folders"

    def __init__(self, _folder, repositories, _rtt):
        self.repositories = repositories

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def address(self, name, _counted):
        # Of a plain path `git clone` would link the objects instead of carrying them.
        return (self.repositories / name).resolve().as_uri()

    def take(self):
        return None, None

    def client_environment(self):
        return {}


class HttpsAndSsh:
    """An upstream over HTTPS and a mirror over ssh, as for most who mirror a public index into a host of their own."""

    title = "upstream over HTTPS, mirror over ssh"

    def __init__(self, folder, repositories, rtt=0.0):
        self.upstream = LighttpdTls(folder / "https", repositories, rtt)
        self.mirror = OpenSsh(folder / "ssh", repositories, rtt)

    def __enter__(self):
        self.upstream.__enter__()
        try:
            self.mirror.__enter__()
        except BaseException:
            self.upstream.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.mirror.__exit__()
        self.upstream.__exit__()

    def address(self, name, counted):
        side = self.upstream if name.startswith("upstream") else self.mirror
        return side.address(name, counted)

    def take(self):
        return tuple(map(sum, zip(self.upstream.take(), self.mirror.take())))

    def client_environment(self):
        return self.upstream.client_environment() | self.mirror.client_environment()


TRANSPORTS = {
    "git": GitDaemon, "ssh": OpenSsh, "http": Lighttpd, "https": LighttpdTls, "https+ssh": HttpsAndSsh, "file": LocalFolder,
}


def missing(transport):
    """Returns the Debian packages that a transport's servers lack."""
    lighttpd = (Path(Lighttpd.program), "lighttpd")
    tls = (LighttpdTls.module, "lighttpd-mod-openssl")
    sshd = (Path(OpenSsh.program), "openssh-server")
    needed = {"ssh": [sshd], "http": [lighttpd], "https": [lighttpd, tls], "https+ssh": [lighttpd, tls, sshd]}
    return [package for path, package in needed.get(transport, []) if not path.exists()]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
