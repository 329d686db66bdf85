"""A proxy between Airflow and the sandbox that injects faults and counts submissions."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Timer
from typing import Any

import psutil
import requests

from airflow_provider_akkio.api.types import TrainingStatus
from airflow_provider_akkio.sandbox import Sandbox
from tests.scripted import Answering, Reply, ScriptedAkkio, last_part, reset, status, trickle

MINUTE = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault of Akkio or of the network.

    :param name: name in the tables.
    :param answering: creates the response of a gate during the fault.
    :param seconds: duration from the first affected request on; 0 affects one request.
    :param acts: whether Akkio receives and processes the request nevertheless.
    """

    name: str
    answering: Callable[[Gate], Answering]
    seconds: float = MINUTE
    acts: bool = True


class Gate(ScriptedAkkio):
    """A proxy to a sandbox.

    While ``is_held``, finished trainings are reported as in progress, so that a fault meets the wait.

    :param sandbox: the sandbox.
    :param name: ID of the connection whose host is this gate.
    """

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        super().__init__()
        self.name = name
        self.accepted: list[str] = []
        self.faulty_requests = 0
        self.is_held = False
        self._sandbox = sandbox
        self._fault: Fault | None = None
        self._endpoints: tuple[str, ...] = ()
        self._spared = 0
        self._began_at: float | None = None
        for endpoint in ("new", "status", "result", "datasets", "models"):
            self.script(endpoint, self._respond)

    def break_down(self, fault: Fault, *endpoints: str, after: int = 0) -> None:
        """Inject a fault from the next request to one of the endpoints on.

        :param fault: the fault.
        :param endpoints: affected endpoints; for ``datasets``, only requests that append rows are affected.
        :param after: number of such requests to forward before.
        """
        self._fault, self._endpoints, self._began_at, self._spared = fault, endpoints, None, after

    def recover_after(self, seconds: float) -> None:
        """Accept connections again after some seconds of :meth:`refuse`."""
        timer = Timer(seconds, self.listen_again)
        timer.daemon = True
        timer.start()

    @property
    def trainings(self) -> int:
        """Number of trainings that the sandbox started for the submissions."""
        tasks = self._sandbox._trainings._tasks
        return len({id(tasks[akkio_task_id].training) for akkio_task_id in self.accepted})

    def result(self, akkio_task_id: str) -> Any:
        """Return the result of a training as the sandbox sends it."""
        path = f"/api/v1/models/train/{akkio_task_id}/result"
        return self._send("GET", path, self.received[-1].headers["X-API-Key"], b"").json()

    def _respond(self, handler: Any) -> None:
        fault = self._fault
        if fault is None or not self._affects(fault, handler):
            self._forward(handler)(handler)
            return
        self.faulty_requests += 1
        if fault.acts:
            self._forward(handler)
        fault.answering(self)(handler)

    def _affects(self, fault: Fault, handler: Any) -> bool:
        endpoint = last_part(handler.path)
        if endpoint not in self._endpoints or (endpoint == "datasets" and b'"rows"' not in handler.sent):
            return False
        if self._spared:
            self._spared -= 1
            return False
        if self._began_at is None:
            self._began_at = time.monotonic()
            return True
        return time.monotonic() < self._began_at + fault.seconds

    def _forward(self, handler: Any) -> Reply:
        response = self._send(handler.command, handler.path, handler.headers["X-API-Key"], handler.sent)
        if handler.path.endswith("/new") and response.ok:
            self.accepted.append(response.json()["task_id"])
        if self.is_held and b'"SUCCEEDED"' in response.content:
            return status(TrainingStatus.IN_PROGRESS)
        return Reply(response.status_code, response.content)

    def _send(self, method: str, path: str, key: str, body: bytes) -> requests.Response:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        return requests.request(method, f"{self._sandbox.url}{path}", headers=headers, data=body, timeout=120)


def _refuse(gate: Gate) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        reset(handler)
        gate.refuse()
        gate.recover_after(MINUTE)

    return answer


def _kill_client(handler: BaseHTTPRequestHandler) -> None:
    port = handler.client_address[1]
    [pid] = [one.pid for one in psutil.net_connections("tcp4") if one.pid and one.laddr.port == port]
    os.kill(pid, signal.SIGKILL)


REFUSING = Fault("refused connections", _refuse, acts=False)
RESETTING = Fault("connection resets", lambda _: reset)
ERROR = Fault("HTTP 500", lambda _: Reply(500, {"detail": "Internal Server Error"}))
HTML = Fault("HTML", lambda _: Reply(200, b"<html><body>Down for maintenance</body></html>"))
INVALID_JSON = Fault("invalid JSON", lambda _: Reply(200, b'\x00\xff{"status": [["SUCCEEDED"], "task_id'))
THROTTLING = Fault("HTTP 429", lambda _: Reply(429, {"detail": "slow down"}, {"Retry-After": "5"}), acts=False)
TRICKLING = Fault("slow responses", lambda _: trickle)
KILLING = Fault("SIGKILL of the task", lambda _: _kill_client, seconds=0)

OUTAGES = (REFUSING, RESETTING, ERROR, HTML, INVALID_JSON, THROTTLING, TRICKLING)
