"""Runs one command and writes what it used: launcher.py RESULT COMMAND…

A program of its own, and started without Python's site packages, because a child's peak memory counts from what its parent
had when it forked: measured from the benchmark itself, nothing would ever seem smaller than the benchmark.
"""

import os
import sys
import time

start = time.monotonic()
child = os.fork()
if child == 0:
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)
# The usage of a child that was waited for includes that of its own such children; the memory is the largest one's.
_, status, used = os.wait4(child, 0)
wall = time.monotonic() - start
with open(sys.argv[1], "w") as result:
    cpu, memory, written = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, used.ru_oublock * 512
    print(os.waitstatus_to_exitcode(status), wall, cpu, memory, written, file=result)
