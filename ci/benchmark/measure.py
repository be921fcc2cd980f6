"""One measurement: a fresh mirror on the server, a fresh client, one command, and a look at what it did."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from . import git
from .indexes import replace

LAUNCHER = Path(__file__).with_name("launcher.py")
TIMEOUT = 1800


@dataclass
class Usage:
    """What one run of a command used; bytes throughout, seconds for the times."""

    wall: float
    cpu: float
    # Of the largest process.
    memory: int
    # Written to files, also to those that are gone now.
    written: int
    # What is left in the client's folder.
    disk: int


@dataclass
class Result:
    """All runs of one peer in one setting."""

    runs: list = field(default_factory=list)
    received: int | None = None
    sent: int | None = None


class Client:
    """An empty folder that stands for a CI job's fresh container."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, command, environment, warm=None):
        """Runs a command in the emptied folder, which is also its home and its place for temporary files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if warm is not None:
            replace(self.folder / "warm.git", warm)
        os.sync()  # what an earlier run wrote is not this one's to wait for
        result = self.folder.with_name("result")
        result.unlink(missing_ok=True)
        environment = git.environment() | environment | {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        # The output goes through a pipe: in a file it would count as written.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", LAUNCHER, result, *command], cwd=self.folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        output = self.output(process, command)
        code, wall, cpu, memory, written = result.read_text().split()
        if code != "0":
            raise SystemExit(f"bench: {' '.join(command)}\nended with {code}:\n{output}")
        return Usage(float(wall), float(cpu), int(memory), int(written), disk_usage(self.folder))

    def output(self, process, command):
        try:
            return process.communicate(timeout=TIMEOUT)[0]
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # the launcher's own session: what this run started
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SystemExit(f"bench: {' '.join(command)} took more than {TIMEOUT} s") from None
            raise


def disk_usage(folder):
    """Returns the bytes that a folder's files occupy."""
    return sum(entry.lstat().st_blocks * 512 for entry in folder.rglob("*") if not entry.is_dir() or entry.is_symlink())


class Bench:
    """The folder of served repositories, and the client."""

    def __init__(self, work, binary):
        self.repositories, self.binary = work / "served", binary
        self.repositories.mkdir(parents=True, exist_ok=True)
        self.client = Client(work / "client" / "home")
        self.mirror = self.repositories / "mirror.git"

    def serve(self, index):
        replace(self.repositories / "upstream.git", index.upstream)

    def sync(self, server, index, behind, peer, counted=False):
        """Lets one peer bring a fresh mirror up to date, and checks the mirror afterwards."""
        prepared = index.mirror(behind)
        replace(self.mirror, prepared)
        upstream, mirror = (server.address(name, counted) for name in ("upstream.git", "mirror.git"))
        environment = server.client_environment() | {"UPSTREAM": upstream, "MIRROR": mirror}
        command = peer.command(self.binary, upstream, mirror)
        used = self.client.run(command, environment, prepared if peer.warm else None)
        self.verify(index, prepared)
        return used

    def init(self, server, index, history):
        """Lets crates-ferry write the first commit of an empty mirror, and checks the mirror afterwards."""
        replace(self.mirror, None)
        git.new_repository(self.mirror)
        command = [str(self.binary), "init", "--history", history,
                   "--upstream", server.address("upstream.git", False), "--mirror", server.address("mirror.git", False),
                   "--dl", "https://crates.example.com/api/v1/crates", "--api", "https://crates.example.com"]
        used = self.client.run(command, server.client_environment())
        self.compare(index)
        return used

    def verify(self, index, prepared):
        """Ends the benchmark unless the mirror is upstream's tree with our config.json, on top of what it was."""
        self.compare(index)
        before, after = git.git(prepared, "rev-parse", "master"), git.git(self.mirror, "rev-parse", "master")
        for ancestor in (before, index.tip):
            git.git(self.mirror, "merge-base", "--is-ancestor", ancestor, after)
        if git.git(prepared, "rev-parse", "master:config.json") != git.git(self.mirror, "rev-parse", "master:config.json"):
            raise SystemExit("bench: the mirror's config.json is no longer ours")

    def compare(self, index):
        """Compares the listings of the root trees: `git diff-tree` would need upstream's tree in the mirror."""
        theirs = set(git.git(index.upstream, "ls-tree", "master").splitlines())
        ours = set(git.git(self.mirror, "ls-tree", "master").splitlines())
        differing = {line.split("\t")[1] for line in theirs ^ ours}
        if differing != {"config.json"}:
            raise SystemExit(f"bench: mirror and upstream differ in {sorted(differing)}, not in config.json alone")

    def fsck(self):
        git.git(self.mirror, "fsck", "--full", "--no-dangling", "--no-progress")
