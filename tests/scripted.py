"""A server on a real socket that answers what a test tells it to, the impossible included."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answering = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """A request as it arrived; those from one ``port`` came over one connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    port: int


@dataclass(frozen=True)
class Reply:
    """An answer; ``body`` is sent as JSON unless it is bytes already."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        handler.send_response(self.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | self.headers
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def status(name: str, **metadata: Any) -> Reply:
    """Akkio's answer to a status question."""
    return Reply(body={"status": name, "metadata": {"type": name, **metadata}})


def accepted(akkio_task_id: str = "T1") -> Reply:
    """Akkio's answer to a submission."""
    return Reply(201, {"task_id": akkio_task_id})


def result(model_id: str = "M1", **parts: Any) -> Reply:
    """Akkio's answer with a model."""
    return Reply(body={"status": "success", "model_id": model_id, "stats": [], "field_importance": {}, **parts})


def result_of_its_own(handler: BaseHTTPRequestHandler) -> None:
    """Response each training with a model that is called after it."""
    akkio_task_id = handler.path.split("/")[-2]
    result(f"model of {akkio_task_id}")(handler)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Cut the connection with a TCP reset, once the request has been read."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Promise a hundred bytes, and send ten."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"status":')


def _trickle(handler: BaseHTTPRequestHandler, text: bytes) -> None:
    """Send a text every twentieth of a second, until nobody listens any more."""
    for _ in range(400):
        handler.wfile.write(text)
        handler.wfile.flush()
        time.sleep(0.05)


def trickling_status(handler: BaseHTTPRequestHandler) -> None:
    """Begin a status line that does not end."""
    handler.wfile.write(b"HTTP/1.1 200 ")
    _trickle(handler, b"O")


def trickling_head(handler: BaseHTTPRequestHandler) -> None:
    """Send a status line, and begin a header that does not end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _trickle(handler, b"x")


def endless_promises(handler: BaseHTTPRequestHandler) -> None:
    """Ask to wait for the answer, again and again."""
    _trickle(handler, b"HTTP/1.1 100 Continue\r\n\r\n")


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Send a body that does not end."""
    handler.send_response(200)
    handler.end_headers()
    _trickle(handler, b" ")


def stall(handler: BaseHTTPRequestHandler) -> None:
    """Send a body but for its last byte, and then nothing more."""
    handler.send_response(200)
    handler.send_header("Content-Length", "3")
    handler.end_headers()
    handler.wfile.write(b"{}")
    silence(handler)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Send more than any answer may have."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b" " * 1024 * 1024)


def silence(handler: BaseHTTPRequestHandler) -> None:
    """Read the request, and say nothing until the other side gives up."""
    handler.connection.settimeout(20)
    handler.rfile.read(1)


def tunnel(to: str) -> Answering:
    """Response a proxy's ``CONNECT`` with a way to another server, such as ``127.0.0.1:1234``."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            try:
                while some := source.recv(64 * 1024):
                    target.sendall(some)
            finally:
                target.shutdown(socket.SHUT_WR)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        host, port = to.split(":")
        with socket.create_connection((host, int(port))) as upstream:
            back = threading.Thread(target=pump, args=(upstream, handler.connection), daemon=True)
            back.start()
            pump(handler.connection, upstream)
            back.join()

    return answer


class ScriptedAkkio:
    """Serves the three training endpoints, each from a script of its own whose last answer is repeated.

    :param tls: with what to serve ``https``; default ``http``.
    :param keep_alive: take several requests over one connection; default one.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, keep_alive: bool = False) -> None:
        self.received: list[Received] = []
        self._scheme = "http" if tls is None else "https"
        self._scripts: dict[str, list[Answering]] = defaultdict(lambda: [Reply(404, {"detail": "not scripted"})])
        self._protocol = "HTTP/1.1" if keep_alive else "HTTP/1.0"
        self._lock = threading.Lock()
        self._tls = tls
        self._bind(port=0)
        self._server.server_activate()

    def __enter__(self) -> Self:
        self._serve()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def refuse(self) -> None:
        """Refuse connections from now on; the port stays this server's own."""
        port = self._server.server_port
        self._stop()
        self._bind(port)

    def listen_again(self) -> None:
        """Take connections again."""
        self._server.server_activate()
        self._serve()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def script(self, endpoint: str, *answers: Answering) -> None:
        """Response ``new``, ``status``, ``result`` or any other last part of a path with these answers, in turn."""
        self._scripts[endpoint] = list(answers)

    def asked(self, endpoint: str) -> list[Received]:
        """Return the requests that reached an endpoint."""
        return [one for one in self.received if one.path.partition("?")[0].endswith(f"/{endpoint}")]

    def _bind(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler(), bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.server_bind()
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self, path: str) -> Answering:
        script = self._scripts[path.partition("?")[0].rpartition("/")[2]]
        return script.pop(0) if len(script) > 1 else script[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = outer._protocol

            def _serve(self) -> None:
                self.sent = sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with outer._lock:
                    outer.received.append(
                        Received(
                            self.command,
                            self.path,
                            dict(self.headers),
                            json.loads(sent) if sent else None,
                            self.client_address[1],
                        )
                    )
                    answer = outer._next(self.path)
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    self.close_connection = True

            do_GET = do_POST = do_DELETE = do_CONNECT = _serve

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        return Handler
