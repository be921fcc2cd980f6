"""Serves git over ssh with asyncssh: asyncssh_server.py PORT HOST_KEY AUTHORIZED_KEYS."""

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE

import asyncssh

PORT, HOST_KEY, AUTHORIZED_KEYS = int(sys.argv[1]), sys.argv[2], sys.argv[3]


async def serve(client):
    service, path = shlex.split(client.command)
    protocol = {name: value for name, value in client.env.items() if name == "GIT_PROTOCOL"}
    git = await asyncio.create_subprocess_exec(
        "git", service.removeprefix("git-"), path, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=os.environ | protocol
    )
    await client.redirect(stdin=git.stdin, stdout=git.stdout, stderr=git.stderr)
    code = await git.wait()
    await client.stdout.drain()
    client.exit(code)


async def main():
    await asyncssh.listen(
        "127.0.0.1", PORT, server_host_keys=[HOST_KEY], authorized_client_keys=AUTHORIZED_KEYS, process_factory=serve,
        encoding=None,
    )
    await asyncio.Event().wait()


asyncio.run(main())
