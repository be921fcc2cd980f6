"""The results as Markdown."""

import os
import platform
import statistics
import subprocess


def machine():
    """Returns the line that says what the numbers were measured on."""
    version = subprocess.check_output(["git", "--version"], text=True).strip()
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}, {version}, loopback"


def size(count):
    """Formats bytes with decimal units, as disks and networks are sold."""
    if count is None:
        return "–"
    for unit in ("B", "KB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def seconds(value):
    return f"{value:.0f} s" if value >= 100 else f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"


def median(result, what="wall"):
    return statistics.median(getattr(run, what) for run in result.runs)


def spread(result):
    """Returns the range as text, and the noise: how far apart the runs lie, in parts of the median."""
    walls = [run.wall for run in result.runs]
    if len(walls) == 1:
        return "one run", "–"
    return f"{seconds(min(walls))} – {seconds(max(walls))}", f"{(max(walls) - min(walls)) / median(result):.0%}"


def ratio(result, other, figures="wall"):
    if other is None or not other.runs:
        return "–"
    value = median(result, figures) / median(other, figures)
    return f"{value:.3f} ×" if value < 0.1 else f"{value:.2f} ×" if value < 10 else f"{value:.0f} ×"


def markdown(header, rows):
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


SYNC_HEADER = [
    "peer", "runs", "median", "range", "noise", "of (c)", "of (a)", "CPU", "received", "sent", "written", "disk", "peak memory",
]


def sync_table(results):
    """Returns the rows of all peers in one setting: {peer's letter: (title, result)}."""
    warm, script = (results[letter][1] if letter in results else None for letter in "ca")
    rows = []
    for title, result in results.values():
        reach, noise = spread(result)
        rows.append([
            title, len(result.runs), seconds(median(result)), reach, noise, ratio(result, warm), ratio(result, script),
            seconds(median(result, "cpu")), size(result.received), size(result.sent),
            size(median(result, "written")), size(median(result, "disk")), size(max(run.memory for run in result.runs)),
        ])
    return markdown(SYNC_HEADER, rows)


def init_table(results):
    """Returns the rows of `init`: {history: result}."""
    rows = []
    for history, result in results.items():
        reach, noise = spread(result)
        rows.append([
            f"init --history {history}", len(result.runs), seconds(median(result)), reach, noise,
            seconds(median(result, "cpu")), size(median(result, "written")), size(max(run.memory for run in result.runs)),
        ])
    return markdown(["command", "runs", "median", "range", "noise", "CPU", "written", "peak memory"], rows)


def scaling_table(small, large):
    """Returns how the same new commits cost in a small and in a large index: ((files, result), (files, result))."""
    (few, before), (many, after) = small, large
    rows = []
    for title, value, show in (
        ("median wall time", median, seconds),
        ("CPU time", lambda r: median(r, "cpu"), seconds),
        ("peak memory", lambda r: max(run.memory for run in r.runs), size),
        ("received", lambda r: r.received, size),
        ("sent", lambda r: r.sent, size),
    ):
        if value(before) is None:  # no bytes cross a network between folders
            continue
        rows.append([title, show(value(before)), show(value(after)), f"{value(after) / value(before):.2f} ×"])
    return markdown(["", f"{few:,} files", f"{many:,} files", "ratio"], rows)
