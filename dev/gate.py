"""A gate before the sandbox that keeps to the account's limit as Akkio does, and counts."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND
from airflow_provider_akkio.api.types import TrainingStatus
from dev.arrivals import Arrivals

_REFUSAL = json.dumps({"detail": "too many requests"}).encode()
_IN_PROGRESS = json.dumps(
    {"status": TrainingStatus.IN_PROGRESS, "metadata": {"type": TrainingStatus.IN_PROGRESS}}
).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent of who is killed while it asks, and tell anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class CountingGate:
    """Hands on to a sandbox what is within the limit, and answers 429 to what is not.

    While ``is_held``, no training is said to have succeeded, so that all of them are waited for at the same time.

    :param sandbox: URL of the sandbox; it need not be there yet.
    :param most_per_second: requests within one second that are handed on; default Akkio's limit.
    """

    def __init__(self, sandbox: str, most_per_second: int = int(DEFAULT_REQUESTS_PER_SECOND)) -> None:
        self.arrivals = Arrivals()
        self.refused = 0
        self.submitted: list[str] = []
        self.under_way = 0
        self.is_held = False
        self._sandbox = sandbox
        self._most_per_second = most_per_second
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def _answer(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        with self._lock:
            if self.arrivals.count() > self._most_per_second:
                self.refused += 1
                return 429, _REFUSAL
        if not path.endswith("/new"):
            return self._hand_on(method, path, key, body)
        with self._lock:
            self.under_way += 1
        try:
            status, answer = self._hand_on(method, path, key, body)
            if 200 <= status < 300:
                self.submitted.append(json.loads(answer)["task_id"])
            return status, answer
        finally:
            with self._lock:
                self.under_way -= 1

    def _hand_on(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        url = f"{self._sandbox}{path}"
        try:
            answer = requests.request(method, url, headers=headers, data=body, timeout=30, allow_redirects=False)
        except requests.RequestException as error:
            return 502, json.dumps({"detail": str(error)}).encode()
        if self.is_held and b'"SUCCEEDED"' in answer.content:
            return 200, _IN_PROGRESS
        return answer.status_code, answer.content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = gate._answer(self.command, self.path, self.headers["X-API-Key"] or "", body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        return Handler
