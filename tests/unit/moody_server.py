"""A local web server with configurable answers: whole, in parts, wrong, late or none."""

import hashlib
import http.server
import re
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

from cellferry.references.registry import RegistryEntry

CONTENT = bytes(range(256)) * 2000
"""A file of half a megabyte, several blocks."""

OTHER = CONTENT[::-1]
PATH = "/files/lung-1.0.cellferry.zip"


def reference(content=CONTENT, **changes):
    values = {
        "name": "lung",
        "version": "1.0",
        "location": "",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "license": "CC0-1.0",
        "description": "a lung",
        "registry": Path("refs.yaml"),
    }
    return RegistryEntry(**(values | changes))


class Answer:
    """The server's answer to a request.

    Parameters
    ----------
    content
        The whole file.
    status
        Sent in place of the file, if it is not 200.
    headers
        Additional headers, or replacements.
    ends_after
        Bytes of the answer after which the connection is closed.
    ranges
        True if requests for a part of the file are answered with it.
    length
        Content-Length in place of the right one; None: the header is omitted.
    """

    def __init__(
        self, content=b"", *, status=200, headers=None, ends_after=None, ranges=True, length="right"
    ):
        self.content, self.status, self.headers = content, status, headers or {}
        self.ends_after, self.ranges, self.length = ends_after, ranges, length

    def send(self, handler):
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.ranges else 0
        body, total = self.content[start:], len(self.content)
        status = 206 if start and self.status == 200 else self.status
        headers = {"Content-Length": len(body) if self.length == "right" else self.length}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        handler.send_response(status)
        for name, value in (headers | self.headers).items():
            if value is not None:
                handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(body[: self.ends_after])
        handler.close_connection = True


class Server:
    """A server and its received requests."""

    def __init__(self, address):
        self.address = address
        self.answers = {}
        self.asked = []

    def tell(self, path, *answers):
        """Answer requests for a path in these ways, one after the other; the last for all further ones."""
        self.answers[path] = list(answers)

    @property
    def ranges(self):
        """The Range of each request, or None."""
        return [headers.get("Range") for _, headers in self.asked]


@contextmanager
def serving(certificate=None, key=None):
    """A running server; https with files of a certificate and its key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, dict(self.headers)))
            answers = server.answers.get(self.path, [Answer(status=404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            answer.send(self)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        server = Server(f"http{'s' if certificate else ''}://127.0.0.1:{running.server_port}")
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            running.socket = context.wrap_socket(running.socket, server_side=True)
        running.handle_error = lambda *_: None  # errors of connections that the client refuses
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        running.shutdown()
        thread.join()
