"""A generated index: the same on every machine, of any size, with names that spread over the folders as real ones do."""

import hashlib
import itertools
import json
import pathlib
import random
import subprocess

from . import git

# Commits reach into the first files only, so that indexes of different sizes get the very same new commits.
TOUCHED_FILES = 40_000
# Set so that 43,000 names fill as many folders of the second level as those of 2020 did.
SHARED_BEGINNINGS = 0.6
START = 1_593_561_600  # 2020-07-01


def generate(path, files, commits):
    """Writes a packed bare repository with so many files in its first commit, and so many commits after it."""
    git.new_repository(path)
    # Without deltas, fast-import is quick; the repack below makes better ones.
    importer = subprocess.Popen(
        ["git", "-C", path, "fast-import", "--quiet", "--depth=0"], stdin=subprocess.PIPE, env=git.environment()
    )
    names = Names(seed=1).take(files)
    with importer.stdin as stream:
        write_root(stream, names)
        write_commits(stream, names[:TOUCHED_FILES], commits)
    if importer.wait() != 0:
        raise SystemExit("bench: git fast-import failed")
    git.git(path, "repack", "-adfq", "--window=4", "--write-bitmap-index")
    git.pack(path)


class Names:
    """Draws crate names, each once, from the counts of real ones in spread.txt."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.folders, self.letters = read_spread()

    def take(self, count):
        # One name in each folder first: the root is then the same at every size.
        taken = [self.draw(folder) for folder in self.folders[0]]
        seen = set(taken)
        while len(taken) < count:
            # Real names share their beginnings (rust-, serde_, actix-), more than their letters alone would make them.
            common = taken and self.random.random() < SHARED_BEGINNINGS
            beginning = self.random.choice(taken)[:4] if common else self.pick(self.folders)
            name = self.draw(beginning)
            if name not in seen:
                seen.add(name)
                taken.append(name)
        return taken

    def pick(self, counted):
        values, up_to = counted
        return self.random.choices(values, cum_weights=up_to)[0]

    def draw(self, name):
        length = self.random.randint(5, 18)
        while len(name) < length or name[-1] in "-_":
            name += self.pick(self.letters[name[-1]])
        return name


def read_spread():
    """Returns the folders, and the letters after each letter, with their counts added up."""
    text = pathlib.Path(__file__).with_name("spread.txt").read_text(encoding="utf-8")
    folders, letters = text.split("[folders]")[1].split("[letters]")
    # Names of up to three letters run out; the longer ones grow with the index.
    long = [word for word in folders.split() if word.index(":") == 2]
    return added_up(long), {line[0]: added_up(line[2:].split()) for line in letters.strip().splitlines()}


def added_up(words):
    values, counts = zip(*(word.rsplit(":", 1) for word in words))
    return values, list(itertools.accumulate(map(int, counts)))


def index_path(name):
    return f"{name[:2]}/{name[2:4]}/{name}"


def versions(name):
    """Returns how many versions a crate has: mostly a few, so that a file has 1 to 6 KB."""
    return 1 + int(random.Random(name).expovariate(0.2))


def line(name, number, yanked=False):
    """Returns one version's line; its checksum is as hard to compress as a real one."""
    rng = random.Random(f"{name} {number // 4}")  # dependencies change now and then
    dependencies = [
        {"name": word, "req": f"^{rng.randint(0, 4)}.{rng.randint(0, 20)}", "features": [], "optional": rng.random() < 0.2,
         "default_features": True, "target": None, "kind": rng.choice(["normal", "normal", "dev"])}
        for word in rng.sample(COMMON, rng.randint(0, 5))
    ]
    version = f"0.{number // 10}.{number % 10}"
    checksum = hashlib.sha256(f"{name}-{version}".encode()).hexdigest()
    return json.dumps(
        {"name": name, "vers": version, "deps": dependencies, "cksum": checksum, "features": {}, "yanked": yanked},
        separators=(",", ":"),
    )


COMMON = (
    "serde rand libc log lazy_static syn quote clap regex futures tokio hyper chrono byteorder bitflags failure reqwest url "
    "serde_json serde_derive proc-macro2 env_logger num-traits rayon itertools uuid base64 toml anyhow thiserror bytes"
).split()
CONFIG = '{"dl":"https://upstream.example/api/v1/crates","api":"https://upstream.example"}\n'


def write_root(stream, names):
    header(stream, START, "Collapse index into one commit")
    file(stream, "config.json", CONFIG)
    for name in names:
        file(stream, index_path(name), content(name, versions(name)))


def write_commits(stream, names, count):
    """Writes commits as crates.io does, one crate each: nine in ten a new version, some yanked, some new."""
    rng, known = random.Random(2), {}
    for number in range(count):
        kind = rng.random()
        if kind < 0.06:
            name, verb, have, yanked = f"{rng.choice(names)}-{number}", "Updating", 1, False
        else:
            name = rng.choice(names)
            yanked = kind > 0.97
            have = known.get(name, versions(name)) + (not yanked)
            verb = "Yanking" if yanked else "Updating"
        known[name] = have
        header(stream, START + 60 * (number + 1), f"{verb} crate `{name}#0.{(have - 1) // 10}.{(have - 1) % 10}`")
        file(stream, index_path(name), content(name, have, yanked))


def content(name, count, last_yanked=False):
    return "".join(line(name, n, last_yanked and n == count - 1) + "\n" for n in range(count))


def header(stream, seconds, subject):
    data = subject.encode()
    stream.write(b"commit refs/heads/master\ncommitter bors <bors@upstream.example> %d +0000\n" % seconds)
    stream.write(b"data %d\n%s\n" % (len(data), data))


def file(stream, path, text):
    data = text.encode()
    stream.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
