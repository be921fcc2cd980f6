"""A full-text search in PostgreSQL, made and asked as crates.io's is: the measure for the catalog's."""

import os
import shutil
import statistics
import subprocess
from pathlib import Path

TABLES = """
CREATE EXTENSION pg_trgm;
CREATE FUNCTION canon_crate_name(text) RETURNS text AS $$ SELECT replace(lower($1), '-', '_') $$ LANGUAGE sql IMMUTABLE;
CREATE TABLE crates (id serial PRIMARY KEY, name text NOT NULL, words tsvector);
CREATE TABLE asked (kind text, n int, text text, PRIMARY KEY (kind, n));
\\copy crates (name) FROM 'names'
\\copy asked FROM 'asked'
UPDATE crates SET words = setweight(to_tsvector('english', name), 'A');
CREATE INDEX ON crates USING gin (words);
CREATE INDEX ON crates USING gin (canon_crate_name(name) gin_trgm_ops);
VACUUM ANALYZE crates;
"""
# What crates.io asks for the first page: names that contain the text, or words; the name itself first, then by rank.
QUERY = """\\set n random(1, {count})
SELECT text AS q FROM asked WHERE kind = '{kind}' AND n = :n \\gset
SELECT id, name, count(*) OVER () FROM crates, plainto_tsquery('english', :q) query
WHERE words @@ query OR canon_crate_name(name) LIKE '%' || canon_crate_name(:q) || '%'
ORDER BY canon_crate_name(name) = canon_crate_name(:q) DESC, ts_rank_cd(words, query) DESC, name ASC LIMIT 20;
"""


def programs():
    """Returns the folder of the server's programs, the newest; `None` where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def measure(folder, names, asked, rate, seconds):
    """Yields for each kind of `asked` the median and the 99th percentile, in seconds, of as many texts a second as `rate`."""
    folder.mkdir()
    (folder / "names").write_text("".join(f"{name}\n" for name in names))
    rows = (f"{kind}\t{number}\t{text}\n" for kind, texts in asked.items() for number, text in enumerate(texts, 1))
    (folder / "asked").write_text("".join(rows))
    # The server refuses to be root's.
    unprivileged = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    if unprivileged:
        for above in (folder, *folder.parents):
            if above.stat().st_uid == 0 and str(above).startswith("/tmp/"):
                above.chmod(0o755)
        shutil.chown(folder, "postgres")
    address = {"PATH": f"{programs()}:{os.environ['PATH']}", "PGHOST": str(folder), "PGDATABASE": "postgres", "PGUSER": "postgres"}

    def run(*command, **more):
        done = subprocess.run([*unprivileged, *command], cwd=folder, env=address, check=True, text=True, capture_output=True, **more)
        return done.stdout

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "data")
    settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c shared_buffers=256MB"
    run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", settings, "start")
    try:
        run("psql", "--quiet", "--set=ON_ERROR_STOP=1", input=TABLES)
        for kind, texts in asked.items():
            (folder / "query").write_text(QUERY.format(kind=kind, count=len(texts)))
            load = ["-n", "-M", "prepared", "-f", "query", "-R", str(rate), "-T", str(seconds), "-c", "8", "-j", "2", "-l"]
            run("pgbench", *load, f"--log-prefix={kind}")
            # The third column, in microseconds; it counts from when the query was due.
            took = [int(line.split()[2]) / 1e6 for log in folder.glob(f"{kind}.*") for line in log.read_text().splitlines()]
            yield kind, statistics.median(took), sorted(took)[int(len(took) * 0.99)]
    finally:
        run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")
