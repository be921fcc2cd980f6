"""A bucket: what `crates-ferry serve` asks of an S3 server, held in memory. Signatures are not checked, so that its own time is small."""

import hashlib
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape


class Bucket:
    """A running server with one bucket, `crates`; `with` ends it."""

    def __init__(self):
        self.objects, lock = {}, threading.Lock()
        objects = self.objects

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            # Head and body in one packet.
            wbufsize = -1

            def answer(self, status, body=b"", length=None, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def key(self):
                return urlsplit(self.path).path.removeprefix("/crates/")

            def found(self, with_body):
                data = objects.get(self.key())
                if data is None:
                    return self.answer(404)
                about = {"etag": f'"{hashlib.md5(data).hexdigest()}"', "last_modified": formatdate(usegmt=True)}
                self.answer(200, data if with_body else b"", len(data), **about)

            def do_HEAD(self):
                self.found(with_body=False)

            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                if "list-type" not in query:
                    return self.found(with_body=True)
                prefix = query.get("prefix", [""])[0]
                with lock:
                    keys = [(key, len(data)) for key, data in objects.items() if key.startswith(prefix)]
                contents = "".join(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{size}</Size>"
                    "<ETag>x</ETag></Contents>"
                    for key, size in keys
                )
                listed = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
                self.answer(200, listed.encode(), content_type="application/xml")

            def do_PUT(self):
                data = self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    if self.headers.get("if-none-match") and self.key() in objects:
                        return self.answer(412)
                    objects[self.key()] = data
                self.answer(200, etag=f'"{hashlib.md5(data).hexdigest()}"')

            def do_DELETE(self):
                with lock:
                    objects.pop(self.key(), None)
                self.answer(204)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def variables(self):
        """Returns the variables of a server that stores its crate files here."""
        return {
            "FERRY_SERVE_STORE": "s3://crates/kept",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}",
            "AWS_ACCESS_KEY_ID": "access-key",
            "AWS_SECRET_ACCESS_KEY": "secret-key-of-the-bench",
            "AWS_REGION": "us-east-1",
        }
