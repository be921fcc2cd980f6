"""The git servers: git daemon, OpenSSH and lighttpd, on loopback, over one folder of repositories; or that folder itself."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import git
from .proxy import CountingProxy


class Server:
    """A running server; `with` ends it by its process id."""

    program = None

    def __init__(self, folder, repositories):
        self.folder, self.repositories, self.log = folder, repositories, folder / "log"
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
        self.proxy = CountingProxy(self.port)
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
    port = None

    def __init__(self, _folder, repositories):
        self.repositories = repositories
        self.proxy = NothingToCount()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def url(self, name, _port):
        # Of a plain path `git clone` would link the objects instead of carrying them.
        return (self.repositories / name).resolve().as_uri()

    def client_environment(self):
        return {}


class NothingToCount:
    """Stands where a server has its CountingProxy."""

    port = None

    def take(self):
        return None, None


TRANSPORTS = {"git": GitDaemon, "ssh": OpenSsh, "http": Lighttpd, "file": LocalFolder}


def missing(transport):
    """Returns the Debian package that a transport's server lacks, or nothing."""
    server = TRANSPORTS[transport]
    packages = {"git": "git", "ssh": "openssh-server", "http": "lighttpd", "file": "git"}
    return None if shutil.which(server.program) else packages[transport]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
