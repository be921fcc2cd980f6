"""The indexes that are measured: upstream's repository, and a mirror that is some commits behind it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import generated, git

MIRROR_CONFIG = '{"dl":"https://crates.example.com/api/v1/crates","api":"https://crates.example.com"}\n'


@dataclass
class Index:
    """An upstream that does not change, and the prepared mirrors beside it."""

    title: str
    folder: Path

    @property
    def upstream(self):
        return self.folder / "upstream.git"

    @property
    def tip(self):
        return git.git(self.upstream, "rev-parse", "master")

    @property
    def files(self):
        return git.git(self.upstream, "ls-tree", "-r", "--name-only", "master").count("\n") + 1

    def mirror(self, behind):
        """Returns a mirror that lacks upstream's last commits; makes it if it is not there yet."""
        path = self.folder / f"mirror-{behind}.git"
        return prepared(path, lambda unfinished: make_mirror(unfinished, self.upstream, behind))


def real(work, bundle):
    """The real index in a bundle."""

    def make(path):
        path.mkdir()
        upstream = path / "upstream.git"
        git.new_repository(upstream)
        git.git(upstream, "fetch", "--quiet", str(bundle.resolve()), "master:master")
        git.pack(upstream)

    folder = prepared(work / bundle.stem, make)
    return Index("crates.io, July 2020", folder)


def synthetic(work, files, commits):
    """A generated index of so many files, with room for so many new commits."""

    def make(path):
        path.mkdir()
        generated.generate(path / "upstream.git", files, commits)

    folder = prepared(work / f"generated-{files}-{commits}", make)
    return Index("generated", folder)


def prepared(path, make):
    """Makes something once, under another name until it is whole."""
    if not path.exists():
        unfinished = path.with_name(path.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(path)
    return path


def make_mirror(path, upstream, behind):
    """Makes what `crates-ferry init` makes: upstream's history, and one commit with our config.json on top."""
    base = git.git(upstream, "rev-parse", f"master~{behind}")
    git.new_repository(path)
    git.git(path, "fetch", "--quiet", str(upstream.resolve()), f"{base}:refs/heads/master")
    blob = git.git(path, "hash-object", "-w", "--stdin", stdin=MIRROR_CONFIG)
    listing = git.git(path, "ls-tree", base).splitlines()
    kept = [entry for entry in listing if not entry.endswith("\tconfig.json")]
    tree = git.git(path, "mktree", stdin="\n".join([*kept, f"100644 blob {blob}\tconfig.json"]) + "\n")
    message = f"Serve the index from this mirror\n\nUpstream-Commit: {base}\n"
    tip = git.git(path, "commit-tree", tree, "-p", base, stdin=message)
    git.git(path, "update-ref", "refs/heads/master", tip)
    git.pack(path)


def replace(path, original):
    """Puts a fresh copy of a repository at a path; packs are shared as hard links, git never writes into them."""
    shutil.rmtree(path, ignore_errors=True)
    if original is not None:
        subprocess.run(["cp", "-al", str(original), str(path)], check=True)
