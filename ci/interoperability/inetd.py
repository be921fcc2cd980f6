"""Speaks git:// for programs that talk on stdin and stdout: inetd.py PORT ROOT UPLOAD_PACK RECEIVE_PACK."""

import os
import socketserver
import subprocess
import sys

PORT, ROOT = int(sys.argv[1]), sys.argv[2]
SERVICES = {"git-upload-pack": sys.argv[3].split(), "git-receive-pack": sys.argv[4].split()}
# Whoever does not pass it on speaks v0.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "GIT_PROTOCOL"}


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        line = self.exactly(int(self.exactly(4), 16) - 4)
        service, path = line.split(b"\0", 1)[0].decode().split(" ", 1)
        command = [*SERVICES[service], f"{ROOT}/{path.lstrip('/')}"]
        done = subprocess.run(command, stdin=self.request, stdout=self.request, stderr=sys.stderr, env=ENVIRONMENT)
        print(*command, done.returncode, file=sys.stderr, flush=True)

    def exactly(self, length):
        taken = b""
        while len(taken) < length:
            piece = self.request.recv(length - len(taken))
            if not piece:
                raise EOFError
            taken += piece
        return taken


class Inetd(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Inetd(("127.0.0.1", PORT), Connection).serve_forever()
