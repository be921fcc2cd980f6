"""Git servers of other makers, on loopback: each serves the repositories of a folder, and `with` ends it by its process id."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmark.servers import free_port, http_backend, lighttpd_conf

# The Debian packages of all servers, and what comes from the Python package index.
DEBIAN = (
    "openssh-server openssh-client dropbear-bin nginx-light fcgiwrap apache2-bin lighttpd tinyproxy gitolite3 jgit-cli go-git "
    "libjgit-java libjetty9-java libservlet-api-java default-jdk-headless python3-venv"
)
PYTHON = "asyncssh==2.24.1 dulwich==1.2.21 klaus==3.0.1 gunicorn==27.0.1"


def install(tools):
    """Installs the servers."""
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *DEBIAN.split()], env=env, **quiet)
    subprocess.run([sys.executable, "-m", "venv", str(tools)], **quiet)
    subprocess.run([str(tools / "bin/pip"), "install", "--quiet", *PYTHON.split()], **quiet)


def environment():
    """Returns the environment of every program that is started: nobody's own settings of git, and no proxy."""
    foreign = ("GIT_", "FERRY_", "SSH_", "CI_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and not k.lower().endswith("_proxy")}
    git = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    who = {f"GIT_{role}_{what}": "interop@mirror.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | git | who | {"LC_ALL": "C.UTF-8"}


class Server:
    """A server of the repositories in `root`."""

    # What has to be there: names of programs, or paths.
    needs = ()
    # Of the environment's variables, those that the server needs besides.
    variables = {}

    def __init__(self, tools, folder, serves=("upstream.git", "mirror.git")):
        self.tools, self.root, self.serves = tools, folder / "repositories", serves
        self.folder = folder / type(self).__name__
        self.processes = []

    @classmethod
    def missing(cls, tools):
        """Returns the first program that is not there."""
        for need in cls.needs:
            need = need.format(tools=tools)
            if not shutil.which(need) and not (need.endswith(".jar") and Path(need).is_file()):
                return need
        return None

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.root.mkdir(exist_ok=True)
        self.port = free_port()
        self.start()
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start(self):
        self.spawn(self.command(), self.port)

    def spawn(self, command, port=None):
        """Starts a program, and waits until it listens."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment() | self.variables,
                cwd=self.folder, start_new_session=True,
            )
        self.processes.append(process)
        for _ in range(1200):
            if port is None:
                return
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit(f"ci/interop: {command[0]} did not start:\n{(self.folder / 'log').read_text(errors='replace')}")

    def client_environment(self):
        """Returns what a client needs besides the address."""
        return {}


class Git(Server):
    """Speaks git://, at the root of the repositories."""

    def url(self, name):
        return f"git://127.0.0.1:{self.port}/{name}"


class Http(Server):
    """Speaks smart HTTP, at the root of the repositories."""

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"


class GitDaemon(Git):
    needs = ("git",)

    def command(self):
        return ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}", f"--base-path={self.root}",
                "--export-all", "--enable=receive-pack", str(self.root)]


class Inetd(Git):
    """Runs the two programs of a server for each connection, as inetd would, with protocol v0."""

    def command(self):
        return [sys.executable, str(Path(__file__).with_name("inetd.py")), str(self.port), str(self.root), *self.services()]


class GitV0(Inetd):
    needs = ("git",)

    def services(self):
        return ["git upload-pack", "git receive-pack"]


class GoGit(Inetd):
    needs = ("go-git",)

    def services(self):
        return ["go-git upload-pack", "go-git receive-pack"]


class JGitDaemon(Git):
    # Debian's script `jgit` leaves a library out that its daemon takes.
    needs = ("java", "/usr/bin/jgit")

    def command(self):
        return ["java", "-cp", "/usr/share/java/*", "org.eclipse.jgit.pgm.Main", "daemon", "--enable", "receive-pack", "--export-all", "--listen", "127.0.0.1", "--port", str(self.port),
                str(self.root)]


class JGitServlet(Http):
    """JGit's GitServlet in Jetty, which anybody may push to."""

    needs = ("java", "javac", "/usr/share/java/org.eclipse.jgit.http.server.jar", "/usr/share/java/jetty9-servlet.jar")

    def command(self):
        jars = ("org.eclipse.jgit", "org.eclipse.jgit.http.server", "slf4j-api", "slf4j-simple", "javaewah", "jetty9-server",
                "jetty9-servlet", "jetty9-http", "jetty9-util", "jetty9-util-ajax", "jetty9-io", "jetty9-security", "servlet-api")
        path = ":".join([f"/usr/share/java/{jar}.jar" for jar in jars])
        source = Path(__file__).with_name("JGitServlet.java")
        return ["java", "-cp", path, str(source), str(self.root), str(self.port)]


class DulwichDaemon(Git):
    needs = ("{tools}/bin/python",)

    def command(self):
        program = "import sys\nfrom dulwich.server import *\n" \
            "TCPGitServer(FileSystemBackend('/'), '127.0.0.1', int(sys.argv[1])).serve_forever()"
        return [str(self.tools / "bin/python"), "-c", program, str(self.port)]

    # It takes a path for one from the root of the file system, whatever its backend's own root is.
    def url(self, name):
        return f"git://127.0.0.1:{self.port}{self.root}/{name}"


class DulwichDaemons(DulwichDaemon):
    """One for each side: a single one answers one client at a time."""

    def start(self):
        super().start()
        self.port, self.other = free_port(), self.port
        super().start()

    def url(self, name):
        url = super().url(name)
        return url.replace(f":{self.port}/", f":{self.other}/") if name == "mirror.git" else url


class Wsgi(Http):
    needs = ("{tools}/bin/gunicorn",)

    def command(self):
        (self.folder / "served.py").write_text(self.application())
        return [str(self.tools / "bin/gunicorn"), "--bind", f"127.0.0.1:{self.port}", "--threads", "4", "--chdir",
                str(self.folder), "served:application"]


class DulwichHttp(Wsgi):
    def application(self):
        return "from dulwich.server import FileSystemBackend\nfrom dulwich.web import make_wsgi_chain\n" \
            "application = make_wsgi_chain(FileSystemBackend('/'))\n"

    def url(self, name):
        return f"http://127.0.0.1:{self.port}{self.root}/{name}"


class Klaus(Wsgi):
    def application(self):
        repositories = [str(self.root / name) for name in ("upstream.git", "mirror.git")]
        return f"import klaus\napplication = klaus.make_app({repositories!r}, 'x', use_smarthttp=True, disable_push=False, " \
            "unauthenticated_push=True)\n"

    def url(self, name):
        return super().url(name.removesuffix(".git"))


class Nginx(Http):
    needs = ("nginx", "fcgiwrap")

    def start(self):
        socket_path = self.folder / "fcgi.sock"
        self.spawn(["fcgiwrap", "-c", "4", "-s", f"unix:{socket_path}"])
        temporary = "\n".join(
            f"{what}_temp_path {self.folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "conf").write_text(f"""
daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log; worker_processes 1; user {getpass.getuser()};
events {{ worker_connections 64; }}
http {{
    access_log off; {temporary} client_max_body_size 0;
    server {{
        listen 127.0.0.1:{self.port};
        location / {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass unix:{socket_path};
            fastcgi_param SCRIPT_FILENAME {http_backend()};
            fastcgi_param GIT_PROJECT_ROOT {self.root};
            fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param PATH_INFO $uri;
        }}
    }}
}}
""")
        self.spawn(["nginx", "-e", str(self.folder / "error.log"), "-c", str(self.folder / "conf")], self.port)


class Apache(Http):
    needs = ("apache2",)

    def command(self):
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
            for name in ("mpm_event", "authz_core", "cgid", "alias", "env", "setenvif")
        )
        (self.folder / "conf").write_text(f"""
ServerRoot {self.folder}
{modules}
Listen 127.0.0.1:{self.port}
ServerName localhost
User www-data
Group www-data
PidFile {self.folder}/pid
ErrorLog {self.folder}/error.log
ScriptSock {self.folder}/cgid.sock
SetEnv GIT_PROJECT_ROOT {self.root}
SetEnv GIT_HTTP_EXPORT_ALL
SetEnv GIT_CONFIG_COUNT 1
SetEnv GIT_CONFIG_KEY_0 safe.directory
SetEnv GIT_CONFIG_VALUE_0 *
SetEnvIf Git-Protocol ".*" GIT_PROTOCOL=$0
ScriptAlias / {http_backend()}/
<Location />
    Require all granted
</Location>
""")
        # It gives up root's rights, and then may write where anybody may.
        for path in [self.folder, *self.root.rglob("*")]:
            if path.is_dir():
                path.chmod(0o777)
        return ["apache2", "-D", "FOREGROUND", "-f", str(self.folder / "conf")]


class Lighttpd(Http):
    needs = ("lighttpd",)

    def command(self):
        (self.folder / "conf").write_text(lighttpd_conf(self.folder, self.port, self.root))
        return ["lighttpd", "-D", "-f", str(self.folder / "conf")]

    def url(self, name):
        return super().url(f"git/{name}")


class Tinyproxy(Nginx):
    """A forward proxy of plain HTTP, which closes idle connections, before nginx."""

    needs = ("nginx", "fcgiwrap", "tinyproxy")

    def start(self):
        super().start()
        self.proxy = free_port()
        (self.folder / "tinyproxy.conf").write_text(
            f"Port {self.proxy}\nListen 127.0.0.1\nTimeout 5\nMaxClients 20\nLogFile \"{self.folder}/proxy.log\"\nLogLevel Info\n"
        )
        self.spawn(["tinyproxy", "-d", "-c", str(self.folder / "tinyproxy.conf")], self.proxy)

    def client_environment(self):
        return {"http_proxy": f"http://127.0.0.1:{self.proxy}"}


class Ssh(Server):
    """Speaks ssh, with one key for both sides."""

    def start(self):
        for key in ("hostkey", "key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / key)], check=True
            )
        super().start()
        host_key = (self.folder / "hostkey.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")

    def url(self, name):
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.root}/{name}"

    def client_environment(self):
        key, known_hosts = self.folder / "key", self.folder / "known_hosts"
        return {
            "GIT_SSH_COMMAND": f"ssh -F /dev/null -i '{key}' -o IdentitiesOnly=yes -o BatchMode=yes "
            f"-o 'UserKnownHostsFile={known_hosts}'",
            "SSH_PRIVATE_KEY": str(key),
            "SSH_KNOWN_HOSTS": str(known_hosts),
        }


class OpenSsh(Ssh):
    needs = ("/usr/sbin/sshd", "ssh-keygen")

    def command(self):
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        shutil.copy(self.folder / "key.pub", self.folder / "authorized_keys")
        (self.folder / "conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/hostkey\nPidFile {self.folder}/pid\n"
            f"AuthorizedKeysFile {self.authorized_keys()}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nAcceptEnv GIT_PROTOCOL\n"
        )
        return ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "conf")]

    def authorized_keys(self):
        return self.folder / "authorized_keys"


class Gitolite(OpenSsh):
    """gitolite, which sshd runs for each key, with a home of its own. `ferry` is the name of the key's user."""

    needs = (*OpenSsh.needs, "gitolite")

    def command(self):
        sshd = super().command()
        self.home = self.folder / "home"
        (self.home / ".ssh").mkdir(mode=0o700, parents=True)
        # Its hooks refuse whoever comes to a repository past gitolite.
        (self.home / "repositories").mkdir()
        for name in self.serves:
            (self.home / "repositories" / name).symlink_to(self.root / name)
        shutil.copy(self.folder / "key.pub", self.folder / "ferry.pub")
        self.gitolite("setup", "-pk", str(self.folder / "ferry.pub"))
        self.rules("RW = ferry")
        with (self.folder / "conf").open("a") as conf:
            conf.write(f"SetEnv HOME={self.home}\n")
        return sshd

    def authorized_keys(self):
        return self.folder / "home/.ssh/authorized_keys"

    def rules(self, *mirror):
        """Sets the rules of the mirror's repository."""
        lines = ["repo gitolite-admin", "RW+ = ferry", "repo upstream", "R = ferry", "repo mirror", *mirror]
        (self.home / ".gitolite/conf/gitolite.conf").write_text("\n".join(lines) + "\n")
        # What `compile` does, and the hooks of the repositories that somebody else made.
        self.gitolite("setup")

    def gitolite(self, *arguments):
        with (self.folder / "gitolite.log").open("ab") as log:
            env = environment() | {"HOME": str(self.home)}
            subprocess.run(["gitolite", *arguments], env=env, cwd=self.home, stdout=log, stderr=log, check=True)

    def url(self, name):
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{name}"


class Dropbear(Ssh):
    """Takes keys from the user's home alone, so that it gets another one, in a mount namespace of its own; that takes root."""

    needs = ("dropbear", "dropbearconvert", "ssh-keygen", "unshare")

    def command(self):
        converted, home = self.folder / "hostkey.db", self.folder / "home"
        subprocess.run(
            ["dropbearconvert", "openssh", "dropbear", str(self.folder / "hostkey"), str(converted)], check=True,
            stderr=subprocess.DEVNULL,
        )
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        home.chmod(0o700)
        shutil.copy(self.folder / "key.pub", home / ".ssh/authorized_keys")
        (home / ".ssh/authorized_keys").chmod(0o600)
        dropbear = ["dropbear", "-F", "-E", "-s", "-r", str(converted), "-p", f"127.0.0.1:{self.port}", "-P",
                    str(self.folder / "pid")]
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(home), str(Path.home()), *dropbear]


class AsyncSsh(Ssh):
    needs = ("{tools}/bin/python", "ssh-keygen")

    def command(self):
        program = Path(__file__).with_name("asyncssh_server.py")
        return [str(self.tools / "bin/python"), str(program), str(self.port), str(self.folder / "hostkey"),
                str(self.folder / "key.pub")]


SERVERS = {
    "git daemon": GitDaemon,
    "git v0": GitV0,
    "OpenSSH": OpenSsh,
    "gitolite": Gitolite,
    "dropbear": Dropbear,
    "asyncssh": AsyncSsh,
    "nginx": Nginx,
    "Apache": Apache,
    "lighttpd": Lighttpd,
    "tinyproxy": Tinyproxy,
    "JGit daemon": JGitDaemon,
    "JGit servlet": JGitServlet,
    "dulwich daemon": DulwichDaemon,
    "two dulwich daemons": DulwichDaemons,
    "dulwich HTTP": DulwichHttp,
    "klaus": Klaus,
    "go-git": GoGit,
}
