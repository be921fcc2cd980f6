"""Counts the bytes of a server's conversations, for every peer alike."""

import socket
import threading


class CountingProxy:
    """Passes loopback connections on to a server, and counts what its clients receive and send."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.threads = []
        self.received = self.sent = 0
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # shut down by close()
                return
            server = socket.create_connection(("127.0.0.1", self.server_port))
            for source, sink, name in ((client, server, "sent"), (server, client, "received")):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self.carry, args=(source, sink, name), daemon=True)
                self.threads.append(thread)
                thread.start()

    def carry(self, source, sink, name):
        try:
            while data := source.recv(1 << 16):
                with self.lock:
                    setattr(self, name, getattr(self, name) + len(data))
                sink.sendall(data)
        except OSError:  # either side went away: the other one learns it from the shutdown
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self):
        """Returns the bytes received and sent since the last call, once every connection has ended."""
        threads, self.threads = self.threads, []
        for thread in threads:
            thread.join(timeout=10)
        counted = self.received, self.sent
        self.received = self.sent = 0
        return counted

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the accept, which would keep the port otherwise
        self.acceptor.join()
        self.listener.close()
