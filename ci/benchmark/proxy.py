"""Passes a server's conversations on, for every peer alike: counts their bytes, and can put a distance in between."""

import asyncio
import socket
import threading


class Proxy:
    """Passes loopback connections on to a server, and counts what its clients receive and send.

    With a round trip `rtt` in seconds each byte is half of it late each way, and what a client sends on a new connection before it
    has heard of the server a whole one more, in which TCP connects. Nothing else is slowed down: bandwidth has no limit.
    """

    def __init__(self, server_port, rtt=0.0):
        self.server_port, self.rtt = server_port, rtt
        self.received = self.sent = 0
        self.open = set()
        self.loop = asyncio.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = listener.getsockname()[1]
        self.server = self.loop.run_until_complete(asyncio.start_server(self.connected, sock=listener))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def connected(self, client_reader, client_writer):
        task = asyncio.current_task()
        self.open.add(task)
        heard = asyncio.Event()
        accepted = self.loop.time()

        def sent(data):
            self.sent += len(data)
            # The client of a distant server cannot send before TCP is connected.
            begins = self.loop.time() if heard.is_set() else max(self.loop.time(), accepted + self.rtt)
            return begins + self.rtt / 2

        def received(data):
            self.received += len(data)
            return self.loop.time() + self.rtt / 2

        requests = Pieces(client_reader, sent)
        # A server that speaks first sees the connection once the last of TCP's three packets has come.
        await asyncio.sleep(self.rtt * 1.5)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
            answers = Pieces(server_reader, received)
            await asyncio.gather(requests.write_to(server_writer), answers.write_to(client_writer, heard))
            answers.reading.cancel()
            server_writer.close()
        except (OSError, asyncio.CancelledError):  # the server refused the connection, or the proxy is closed
            pass
        finally:
            requests.reading.cancel()
            client_writer.close()
            self.open.discard(task)

    def take(self):
        """Returns the bytes received and sent since the last call, once every connection has ended."""
        asyncio.run_coroutine_threadsafe(self.ended(), self.loop).result(timeout=20)
        counted = self.received, self.sent
        self.received = self.sent = 0
        return counted

    async def ended(self):
        if self.open:
            await asyncio.wait(self.open, timeout=10)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(timeout=20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def end(self):
        self.server.close()
        await self.ended()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class Pieces:
    """One direction of a conversation: what was read at once, each piece with the time at which it is due."""

    def __init__(self, reader, due):
        self.queue = asyncio.Queue()
        self.reading = asyncio.create_task(self.read(reader, due))

    async def read(self, reader, due):
        try:
            while data := await reader.read(1 << 16):
                self.queue.put_nowait((due(data), data))
        except OSError:  # this side went away: the other one learns it from the end
            pass
        self.queue.put_nowait((due(b""), b""))

    async def write_to(self, writer, begun=None):
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, data = await self.queue.get()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if begun:
                    begun.set()
                if not data:
                    return writer.write_eof()
                writer.write(data)
                await writer.drain()
        except OSError:  # the reader went away
            pass
