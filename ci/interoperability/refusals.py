"""How servers refuse a sync, and what crates-ferry makes of it: exit code, kind, the server's own words, and the advice."""

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Refusal:
    name: str
    # Brings the refusal about, between `init` and `sync`: takes the life and the server, and returns variables of the environment.
    arrange: Callable
    code: int
    kind: str
    # What the server says, and what the advice names.
    message: str
    advice: str


def of_another(life, server):
    """Gives the mirror's repository to another user than the service's."""
    # git looks at the path as it is given.
    for path in (server.home / "repositories/mirror.git", life.mirror, *life.mirror.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def unwritable(life, _):
    """Leaves no place for loose objects, as full disks, quotas and foreign folders do, for root as well."""
    for first in range(256):
        folder = life.mirror / "objects" / f"{first:02x}"
        if not folder.exists():
            folder.touch()


def rules(*lines):
    return lambda _, server: server.rules(*lines)


def other_mirror(life, server):
    return {"FERRY_MIRROR_URL": server.url("nosuch.git")}


REFUSALS = {
    "gitolite": [
        Refusal("read only", rules("R = ferry"), 3, "permission", "W any mirror ferry DENIED by fallthru", "gitolite.conf"),
        Refusal("no rule at all", rules("RW = other"), 3, "permission", "R any mirror ferry DENIED by fallthru", "gitolite.conf"),
        Refusal("another branch alone", rules("RW dev = ferry"), 3, "permission",
                "W refs/heads/master mirror ferry DENIED by fallthru", "gitolite.conf"),
        Refusal("a rule that denies", rules("- master = ferry", "RW = ferry"), 3, "permission",
                "W refs/heads/master mirror ferry DENIED by refs/heads/master", "gitolite.conf"),
        Refusal("no such repository", other_mirror, 3, "permission", "R any nosuch ferry DENIED by fallthru", "gitolite.conf"),
        Refusal("another owner", of_another, 1, "server", "detected dubious ownership in repository", "safe.directory PATH"),
        Refusal("no place for objects", unwritable, 1, "server", "unable to migrate objects to permanent storage", "`objects/`"),
    ],
}
