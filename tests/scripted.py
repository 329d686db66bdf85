"""An HTTP server on a real socket that sends scripted responses, including invalid and incomplete ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Responder = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """A received request. Requests with the same client ``port`` used the same connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    port: int


@dataclass(frozen=True)
class Reply:
    """A complete response; ``body`` is sent as JSON unless it is bytes; by default an object, or an error of Akkio."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        content = self.body
        if content is None:
            content = {} if self.status < 400 else {"detail": "scripted"}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(self.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | self.headers
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def accepted(akkio_task_id: str = "T1") -> Reply:
    """Akkio's response to a submission."""
    return Reply(201, {"task_id": akkio_task_id})


def status(name: str, **metadata: Any) -> Reply:
    """Akkio's response to a poll."""
    return Reply(body={"status": name, "metadata": {"type": name, **metadata}})


def result(model_id: str = "M1", **parts: Any) -> Reply:
    """Akkio's response with the result of a training."""
    return Reply(body={"status": "success", "model_id": model_id, "stats": [], "field_importance": {}, **parts})


def chat(*messages: tuple[str, str]) -> Reply:
    """Akkio's response with the messages of a chat: pairs of role and content."""
    sent = [{"role": role, "content": content, "images": [], "table": None} for role, content in messages]
    return Reply(body={"_owner": "O1", "_org": "O2", "messages": sent})


def result_named_after_training(handler: BaseHTTPRequestHandler) -> None:
    """Send a result whose model is named after the training."""
    akkio_task_id = handler.path.split("/")[-2]
    result(f"model of {akkio_task_id}")(handler)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Reset the TCP connection instead of a response."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Announce 100 bytes, send 10, and close the connection."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status":')
    handler.close_connection = True


def _trickling(start: bytes, repeated: bytes) -> Responder:
    """Send a text every 50 ms for up to 100 s, until the client closes the connection or the server stops."""

    def answer(handler: Any) -> None:
        is_stopping = handler.server.is_stopping
        handler.wfile.write(start)
        for _ in range(2000):
            handler.wfile.write(repeated)
            handler.wfile.flush()
            if is_stopping.wait(0.05):
                return

    return answer


trickling_status = _trickling(b"HTTP/1.1 200 ", b"O")
trickling_head = _trickling(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")
trickle = _trickling(b"HTTP/1.1 200 OK\r\n\r\n", b" ")
trickling_chunk = _trickling(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0")
endless_promises = _trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def stall(handler: BaseHTTPRequestHandler) -> None:
    """Send a body except its last byte, and keep the connection open."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}")
    silence(handler)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Send a body of 64 MiB."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b" " * 1024 * 1024)


def silence(handler: BaseHTTPRequestHandler) -> None:
    """Send nothing until the client closes the connection, for up to 100 s."""
    handler.connection.settimeout(100)
    handler.rfile.read(1)


def end_of_execution_timeout(handler: BaseHTTPRequestHandler) -> None:
    """End the ``execution_timeout`` of the task that runs in this process, as Airflow's timer does; send nothing."""
    os.kill(os.getpid(), signal.SIGALRM)
    silence(handler)


def tunnel(to: str) -> Responder:
    """Respond to a proxy's ``CONNECT`` with a tunnel to another server, such as ``127.0.0.1:1234``."""

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


class _Server(ThreadingHTTPServer):
    """A server whose responses can end when it stops."""

    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_stopping = threading.Event()


class ScriptedAkkio:
    """A server with one script per endpoint; the last response of a script is repeated.

    :param tls: context to serve ``https``; default ``http``.
    :param keep_alive: whether a connection serves several requests; default one.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, keep_alive: bool = False) -> None:
        self.received: list[Received] = []
        self._scheme = "http" if tls is None else "https"
        self._scripts: dict[str, list[Responder]] = defaultdict(lambda: [Reply(404, {"detail": "not scripted"})])
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
        """Refuse connections from now on; the port stays reserved."""
        port = self._server.server_port
        self._stop()
        self._bind(port)

    def listen_again(self) -> None:
        """Accept connections again after :meth:`refuse`."""
        self._server.server_activate()
        self._serve()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def script(self, endpoint: str, *answers: Responder) -> None:
        """Set the responses of an endpoint: ``new``, ``status``, ``result`` or another last part of a path."""
        self._scripts[endpoint] = list(answers)

    def requests_to(self, endpoint: str) -> list[Received]:
        """Return the requests to an endpoint."""
        return [request for request in self.received if last_part(request.path) == endpoint]

    def _bind(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), self._handler(), bind_and_activate=False)
        self._server.server_bind()
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _stop(self) -> None:
        self._server.is_stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self, path: str) -> Responder:
        script = self._scripts[last_part(path)]
        return script.pop(0) if len(script) > 1 else script[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = outer._protocol

            def _serve(self) -> None:
                self.sent = sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(sent) if sent else None
                request = Received(self.command, self.path, dict(self.headers), body, self.client_address[1])
                with outer._lock:
                    outer.received.append(request)
                    answer = outer._next(self.path)
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    self.close_connection = True

            do_GET = do_POST = do_DELETE = do_CONNECT = _serve

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler


def last_part(path: str) -> str:
    """Return the last part of a request's path, without the query."""
    return path.partition("?")[0].rpartition("/")[2]
