"""A registry to ask: an index in a bare repository, and `crates-ferry serve` in front of it."""

import itertools
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from . import git

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "crates-ferry"
HOOK_TOKEN = "secret-of-the-bench"
CONFIG = '{"dl":"http://127.0.0.1:1/dl","api":"http://127.0.0.1:1"}'


# Where the programs come from that are not the project's.
SOURCES = {"oha": "cargo install oha", "nginx": "Debian package nginx", "wrk": "Debian package wrk", "valgrind": "Debian package valgrind"}


def need(*programs):
    """Ends the bench where one of these programs is missing, and says where to get it."""
    if missing := [program for program in programs if not shutil.which(program)]:
        raise SystemExit("bench: missing: " + ", ".join(f"{program} ({SOURCES[program]})" for program in missing))


def index_path(name):
    lower = name.lower()
    return {1: f"1/{lower}", 2: f"2/{lower}", 3: f"3/{lower[0]}/{lower}"}.get(len(lower), f"{lower[:2]}/{lower[2:4]}/{lower}")


def new_index(folder, files):
    """Makes an index with one commit of these files, pairs of a path and its text or bytes, and config.json; returns its folder."""
    git.new_repository(folder)
    commit(folder, itertools.chain([("config.json", CONFIG)], files), start=True)
    return folder


def commit(repository, files, subject="Update crates", start=False):
    """Makes one commit of these files, pairs of a path and its text or bytes."""
    now, message = int(time.time()), subject.encode()
    head = [b"commit refs/heads/master\ncommitter a <a@b.example> %d +0000\ndata %d\n%s\n" % (now, len(message), message)]
    if not start:
        head.append(b"from refs/heads/master^0\n")
    command = ["git", "-C", repository, "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=git.environment()) as process:
        process.stdin.writelines(head)
        for path, content in files:
            content = content if isinstance(content, bytes) else content.encode()
            process.stdin.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    if process.returncode:
        raise SystemExit("bench: git fast-import failed")


def start(index, data, program=PROGRAM, launcher=(), **variables):
    """Starts a server of an index, with its data in a folder; returns the process, and its address once it listens."""
    environment = {
        "PATH": os.environ["PATH"],
        "FERRY_SERVE_INDEX": str(index),
        "FERRY_SERVE_DATA_DIR": str(data),
        "FERRY_SERVE_LISTEN": "127.0.0.1:0",
        "FERRY_SERVE_ACCESS_LOG": "off",
        "FERRY_HOOK_TOKEN": HOOK_TOKEN,
        # As in the image.
        "MALLOC_ARENA_MAX": "2",
        **variables,
    }
    process = subprocess.Popen([*launcher, program, "serve"], env=environment, stderr=subprocess.PIPE, text=True)
    for said in process.stderr:
        if found := re.search(r"listening on (\S+)", said):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, f"http://{found.group(1)}"
    raise SystemExit("bench: the server does not listen")


def end(process):
    process.terminate()
    process.wait(60)


def push(url):
    """Tells a server of a push, as GitLab does."""
    body = b'{"object_kind":"push","ref":"refs/heads/master"}'
    asked = urllib.request.Request(f"{url}/hooks/gitlab", data=body, headers={"X-Gitlab-Token": HOOK_TOKEN})
    urllib.request.urlopen(asked).read()


def get(url, headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.read(), answer.headers


def wait(works, seconds=120):
    """Tries again until it works; returns what it then returns."""
    end = time.time() + seconds
    while True:
        try:
            return works()
        except OSError:
            if time.time() > end:
                raise
            time.sleep(0.005)


def memory(process, name):
    """Reads a figure of a process's memory, in MB: RssAnon is its own, and VmRSS and VmHWM have the files beside that it has mapped."""
    found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    return int(found.group(1)) / 1000
