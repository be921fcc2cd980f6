"""The life of a mirror, step by step, and what must be true after each."""

import json
import shutil
import subprocess

from .servers import environment

SETTINGS = {
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "daemon.receivepack": "true",
    "http.receivepack": "true",
    "receive.denyNonFastForwards": "true",
    "receive.fsckObjects": "true",
}
OWN = ".gitlab-ci.yml"
CRATES = 40
# How long one command may take.
LIMIT = 120


class Failed(Exception):
    """A step that did not do what it should."""


class Life:
    """A mirror's life with these two servers: one of the upstream's repository, and one of the mirror's."""

    def __init__(self, binary, folder, history):
        self.binary, self.folder, self.history = binary, folder, history
        root = folder / "repositories"
        self.upstream, self.mirror = root / "upstream.git", root / "mirror.git"
        self.versions = 0
        shutil.rmtree(folder, ignore_errors=True)
        for repository in (self.upstream, self.mirror):
            repository.mkdir(parents=True)
            # What is committed here must stay writable for a server that runs as another user.
            self.git(repository, "init", "--quiet", "--bare", "--initial-branch=master", "--shared=0666")
            for key, value in SETTINGS.items():
                self.git(repository, "config", key, value)
        self.publish(CRATES)

    def live(self, upstream, mirror):
        """Returns `yes`, or at which step it ended and why."""
        self.connect(upstream, mirror)
        steps = {
            "init": lambda: self.ferry("init", "--history", self.history),
            "up to date": lambda: self.ferry("sync"),
            "dry run": self.dry_run,
            "new commits": lambda: self.ferry("sync"),
            "own file": self.own_file,
            "squash": self.squash,
            "after the squash": self.after,
            "check": lambda: self.ferry("check"),
            "clone": lambda: self.clone(mirror),
        }
        for name, step in steps.items():
            try:
                step()
                # What a dry run leaves behind is the mirror before it.
                if name != "dry run":
                    self.compare()
            except Failed as failure:
                return f"{name}: {failure}"
        return "yes"

    def connect(self, upstream, mirror):
        self.environment = environment() | upstream.client_environment() | mirror.client_environment()
        self.environment |= {
            "FERRY_UPSTREAM_URL": upstream.url("upstream.git"),
            "FERRY_MIRROR_URL": mirror.url("mirror.git"),
            "FERRY_NETWORK_TIMEOUT": "20s",
        }

    def be_refused(self, server, refusal):
        """Returns `yes` if a sync ends as the refusal says, at its first attempt, or how it ended."""
        self.connect(server, server)
        try:
            self.ferry("init")
        except Failed as failure:
            return f"init: {failure}"
        self.publish(3)
        self.environment |= refusal.arrange(self, server) or {}
        before = self.tip(self.mirror)
        done = self.run([str(self.binary), "--format", "json", "sync"])
        try:
            error = json.loads(done.stdout)["error"]
        except (ValueError, KeyError):
            return f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        said = " / ".join([error["message"], *error["causes"], f"{error['advice']}"])
        if (done.returncode, error["kind"]) != (refusal.code, refusal.kind):
            return f"exit code {done.returncode}, {error['kind']}: {said}"
        missing = [words for words in (refusal.message, refusal.advice) if words not in said]
        if missing:
            return f"not said, {missing}: {said}"
        if "retrying" in done.stderr:
            return f"tried more than once: {done.stderr}"
        return "yes" if self.tip(self.mirror) == before else "the mirror moved"

    def dry_run(self):
        self.publish(3)
        before = self.tip(self.mirror)
        self.ferry("sync", "--dry-run")
        if self.tip(self.mirror) != before:
            raise Failed("a dry run moved the mirror")

    def own_file(self):
        """A person commits to the mirror, and both sides go on."""
        blob = self.git(self.mirror, "hash-object", "-w", "--stdin", stdin="sync:\n  script: x\n")
        index = {"GIT_INDEX_FILE": str(self.folder / "index")}
        self.git(self.mirror, "read-tree", "master", env=index)
        self.git(self.mirror, "update-index", "--add", "--cacheinfo", f"100644,{blob},{OWN}", env=index)
        tree = self.git(self.mirror, "write-tree", env=index)
        commit = self.git(self.mirror, "commit-tree", tree, "-p", "master", "-m", "Add a job")
        self.git(self.mirror, "update-ref", "refs/heads/master", commit)
        self.publish(2)
        self.ferry("sync")

    def squash(self):
        """What crates.io does some times a year: the whole tree in one commit without parents."""
        message = f"Collapse index into one commit\n\nPrevious HEAD was {self.tip(self.upstream)}, now on the branch\n"
        tree = self.git(self.upstream, "rev-parse", "master^{tree}")
        commit = self.git(self.upstream, "commit-tree", tree, "-m", message)
        self.git(self.upstream, "update-ref", "refs/heads/snapshot-2026-01-01", "master")
        self.git(self.upstream, "update-ref", "refs/heads/master", commit)
        self.ferry("sync")

    def after(self):
        self.publish(2)
        self.ferry("sync")

    def clone(self, mirror):
        copy = self.folder / "clone"
        done = self.run(["git", "clone", "--quiet", "--bare", mirror.url("mirror.git"), str(copy)])
        if done.returncode:
            raise Failed(f"git cannot clone the mirror: {done.stderr.strip()}")
        if self.tip(copy) != self.tip(self.mirror):
            raise Failed("git's clone is not the mirror")

    def publish(self, count):
        """Adds commits to upstream, each of one version of a crate, as crates.io does."""
        for _ in range(count):
            self.versions += 1
            number = self.versions
            name = f"crate{number % CRATES:02}"
            line = json.dumps({"name": name, "vers": f"1.0.{number}", "deps": [], "cksum": "0" * 64, "features": {}, "yanked": False})
            subject = f"Updating crate `{name}#1.0.{number}`"
            config = json.dumps({"dl": "https://crates.example/api/v1/crates", "api": "https://crates.example"}) + "\n"
            parent = "" if number == 1 else "from refs/heads/master^0\n"
            stream = (
                f"commit refs/heads/master\ncommitter a <a@crates.example> {1700000000 + number} +0000\n"
                f"data {len(subject)}\n{subject}\n{parent}"
                f"M 100644 inline cr/at/{name}\ndata {len(line) + 1}\n{line}\n\n"
                f"M 100644 inline config.json\ndata {len(config)}\n{config}\n"
            )
            self.git(self.upstream, "fast-import", "--quiet", stdin=stream)

    def ferry(self, *arguments):
        done = self.run([str(self.binary), "--format", "json", *arguments])
        if done.returncode == 0:
            return
        try:
            error = json.loads(done.stdout)["error"]
            said = " / ".join([error["message"], *error.get("causes", [])])
        except (ValueError, KeyError, TypeError):
            said = (done.stdout + done.stderr).strip()[-300:]
        raise Failed(f"exit code {done.returncode}: {said}")

    def compare(self):
        """The mirror must be upstream's tree, and its own file."""
        listed = [self.git(repository, "ls-tree", "-r", "master").splitlines() for repository in (self.upstream, self.mirror)]
        different = {line.split("\t")[1] for line in set(listed[0]) ^ set(listed[1])} - {OWN}
        if different:
            raise Failed(f"mirror and upstream differ in {sorted(different)[:3]}")
        self.git(self.mirror, "fsck", "--connectivity-only", "master")

    def tip(self, repository):
        return self.git(repository, "rev-parse", "master")

    def run(self, command):
        try:
            return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=LIMIT, cwd=self.folder)
        except subprocess.TimeoutExpired:
            raise Failed(f"{command[0]} took more than {LIMIT} s") from None

    @staticmethod
    def git(repository, *arguments, stdin=None, env=None):
        # A look from beside the server, which may not own it.
        command = ["git", "-c", "safe.directory=*", "-C", str(repository), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment() | (env or {}))
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()
