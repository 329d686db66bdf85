"""A proxy in front of the sandbox that enforces Akkio's rate limit and counts requests."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND
from dev.request_counter import RequestCounter


class Gate(ThreadingHTTPServer):
    """Forwards requests within the rate limit to a sandbox and rejects the others with HTTP 429.

    While ``holds_results`` is set, successful trainings are reported as running, so that all are polled at once.

    :param sandbox: URL of the sandbox, which may start later.
    """

    daemon_threads = True

    def __init__(self, sandbox: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counter = RequestCounter()
        self.rejected = 0
        self.submitted: list[str] = []
        self.holds_results = False
        self._sandbox = sandbox
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def respond(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        """Return the HTTP status and body of the response to a request."""
        with self._lock:
            if self.counter.count() > DEFAULT_REQUESTS_PER_SECOND:
                self.rejected += 1
                return 429, b'{"detail": "too many requests"}'
        status, response = self._forward(method, path, key, body)
        if path.endswith("/new") and 200 <= status < 300:
            self.submitted.append(json.loads(response)["task_id"])
        return status, response

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that were killed during a request; report other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def _forward(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        url = f"{self._sandbox}{path}"
        try:
            response = requests.request(method, url, headers=headers, data=body, timeout=30, allow_redirects=False)
        except requests.RequestException as error:
            return 502, json.dumps({"detail": str(error)}).encode()
        if self.holds_results and b'"SUCCEEDED"' in response.content:
            return 200, b'{"status": "IN_PROGRESS", "metadata": {"type": "IN_PROGRESS"}}'
        return response.status_code, response.content


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, response = self.server.respond(self.command, self.path, self.headers["X-API-Key"] or "", body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
