"""What a server cannot do at all, and the sentence in which crates-ferry then ends: by server, role and history."""

NO_TREES = "the server does not serve trees by id, which `history: snapshot` needs"
NO_SHALLOW = "the server does not offer `shallow`, without which it sends nothing less than the whole repository"
# It answers one client at a time, and a sync reads one side while it writes to the other.
ONE_CLIENT = "while waiting for upstream's pack"
# It reads on after the end of a pack, until the client hangs up: git waits for ever.
NO_REPORT = "while waiting for the mirror to process the push"

EXPECTED = {
    (server, role, "snapshot"): NO_TREES
    for server in ("JGit daemon", "JGit servlet", "dulwich daemon", "two dulwich daemons", "dulwich HTTP", "klaus")
    for role in ("upstream", "both")
}
EXPECTED["dulwich daemon", "both", "merge"] = ONE_CLIENT
EXPECTED |= {("go-git", role, history): NO_SHALLOW for role in ("upstream", "both") for history in ("merge", "snapshot")}
EXPECTED |= {("go-git", "mirror", history): NO_REPORT for history in ("merge", "snapshot")}
