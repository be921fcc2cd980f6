"""What is measured: three ways to do it with git, and crates-ferry."""

from dataclasses import dataclass

MERGE = """
git fetch -q "$UPSTREAM" master
tree=$(git merge-tree --write-tree master FETCH_HEAD)
new=$(git commit-tree "$tree" -p master -p FETCH_HEAD -m "Carry upstream" -m "Upstream-Commit: $(git rev-parse FETCH_HEAD)")
git push -q "$MIRROR" "$new:refs/heads/master"
"""

SCRIPT = """
git clone -q "$MIRROR" index
cd index
git remote add upstream "$UPSTREAM"
git fetch -q upstream master
git merge -q -m "Carry upstream" upstream/master
git push -q origin master
"""


@dataclass
class Peer:
    """One way to bring the mirror up to date."""

    title: str
    # Shell commands, or nothing for crates-ferry.
    script: str | None
    # Starts with a clone of the mirror in ./warm.git, made before the new commits came.
    warm: bool = False
    # Takes many seconds for each run, so fewer of them.
    slow: bool = False

    def command(self, binary, upstream, mirror):
        if self.script is None:
            return [str(binary), "sync", "--upstream", upstream, "--mirror", mirror]
        return ["sh", "-euc", self.script]


PEERS = {
    "a": Peer("a: clone, merge, push", SCRIPT, slow=True),
    "b": Peer("b: bare clone, merge-tree, push", f'git clone -q --bare "$MIRROR" cold.git\ncd cold.git{MERGE}', slow=True),
    "c": Peer("c: warm full clone", f"cd warm.git{MERGE}", warm=True),
    "d": Peer("d: crates-ferry sync, cold", None),
}
