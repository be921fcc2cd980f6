"""Git as the benchmark itself uses it: with nobody's own configuration."""

import os
import subprocess

IDENTITY = {
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@mirror.example",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@mirror.example",
}

# What a host sets on its repositories. Housekeeping is off: it would run behind the back of the next measurement.
HOST_SETTINGS = {
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "http.receivepack": "true",
    "receive.autogc": "false",
    "gc.auto": "0",
}


def environment():
    """Returns the environment of every program that the benchmark starts."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "FERRY_", "SSH_", "CI_"))}
    # A warning about a system without the person's locale would be the only thing that LANG changes.
    return kept | IDENTITY | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "LC_ALL": "C.UTF-8"}


def git(repository, *arguments, stdin=None):
    """Runs git in a repository and returns its output without the last newline."""
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)} failed:\n{done.stderr}")
    return done.stdout.rstrip("\n")


def new_repository(path):
    """Makes an empty bare repository as a host would."""
    path.mkdir(parents=True)
    git(path, "-c", "init.defaultBranch=master", "init", "--quiet", "--bare")
    for key, value in HOST_SETTINGS.items():
        git(path, "config", key, value)


def pack(repository):
    """Packs a repository as hosts do: one pack with a bitmap, and a commit graph."""
    git(repository, "repack", "-adq", "--write-bitmap-index")
    git(repository, "commit-graph", "write", "--reachable", "--no-progress")
    git(repository, "pack-refs", "--all")
