"""A tracking server that passes requests on to a real one, or does what a faulty one does."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SENT_ON = ("Content-Type", "Accept")


class FaultyServer:
    """A server in front of another, which it asks everything as long as it is `well`.

    fault: `well`, `hangs` (accepts and never answers), `hangs but for health`, or `answers 500`.
    n_asked: the number of requests so far but for those of its health.
    """

    def __init__(self, real: str) -> None:
        self.real, self.fault, self.n_asked, self.stops = real, "well", 0, Event()
        self.fault_after: tuple[int, str] | None = None  # from this number of requests on, this fault
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                outer.answer(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        health = request.path == "/health"
        self.n_asked += not health
        if self.fault_after and self.n_asked >= self.fault_after[0]:
            self.fault, self.fault_after = self.fault_after[1], None
        if self.fault == "hangs" or (self.fault == "hangs but for health" and not health):
            self.stops.wait()
        elif self.fault == "answers 500":
            _send(request, 500, b"broken", "text/plain")
        else:
            headers = {name: request.headers[name] for name in SENT_ON if name in request.headers}
            asked = Request(self.real + request.path, body or None, headers, method=request.command)
            try:
                with urlopen(asked) as answer:
                    _send(request, answer.status, answer.read(), answer.headers.get("Content-Type", ""))
            except HTTPError as error:
                _send(request, error.code, error.read(), error.headers.get("Content-Type", ""))


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def faulty_server(real: str) -> Iterator[FaultyServer]:
    """A faulty server in front of the one at the address `real`."""
    server = FaultyServer(real)
    thread = Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stops.set()
        server.http.shutdown()
        server.http.server_close()
