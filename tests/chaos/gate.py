"""A gate between Airflow and the sandbox, through which all goes well until it is told otherwise."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

import psutil
import requests

from airflow_provider_akkio.api.types import TrainingStatus
from airflow_provider_akkio.sandbox import Sandbox
from tests.scripted import Answering, Reply, ScriptedAkkio, reset, status, trickle

MINUTE = 60.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong at Akkio.

    :param name: what to call it.
    :param answering: makes what takes the place of Akkio's answer, at a gate.
    :param seconds: for how long it lasts from the first request on; 0 for that request alone.
    :param acts: whether Akkio acts on the request all the same.
    """

    name: str
    answering: Callable[[Gate], Answering]
    seconds: float = MINUTE
    acts: bool = True


class Gate(ScriptedAkkio):
    """Hands requests on to a sandbox, and counts the submissions that it accepts.

    While ``is_held``, no training ends: a fault can be sure to meet the wait.

    :param sandbox: where the trainings are done.
    :param name: id of the connection that leads to this gate.
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
            self.script(endpoint, self._answer)

    def break_down(self, fault: Fault, *endpoints: str, after: int = 0) -> None:
        """Let a fault begin with the next request to one of these endpoints.

        :param fault: what goes wrong.
        :param endpoints: where; of ``datasets``, only the requests that add rows.
        :param after: how many such requests to let through before.
        """
        self._fault, self._endpoints, self._began_at, self._spared = fault, endpoints, None, after

    @property
    def trainings(self) -> int:
        """How many trainings were really begun for the submissions."""
        tasks = self._sandbox._trainings._tasks
        return len({id(tasks[akkio_task_id].training) for akkio_task_id in self.accepted})

    def result(self, akkio_task_id: str) -> Any:
        """Return what the sandbox has as the result of a training."""
        path = f"/api/v1/models/train/{akkio_task_id}/result"
        return self._ask("GET", path, self.received[-1].headers["X-API-Key"], b"").json()

    def _answer(self, handler: Any) -> None:
        fault = self._fault
        if fault is None or not self._is_broken(fault, handler):
            self._pass_on(handler)(handler)
            return
        self.faulty_requests += 1
        if fault.acts:
            self._pass_on(handler)
        fault.answering(self)(handler)

    def _is_broken(self, fault: Fault, handler: Any) -> bool:
        endpoint = handler.path.partition("?")[0].rpartition("/")[2]
        if endpoint not in self._endpoints or (endpoint == "datasets" and b'"rows"' not in handler.sent):
            return False
        if self._spared:
            self._spared -= 1
            return False
        if self._began_at is None:
            self._began_at = time.monotonic()
            return True
        return time.monotonic() < self._began_at + fault.seconds

    def _pass_on(self, handler: Any) -> Reply:
        answer = self._ask(handler.command, handler.path, handler.headers["X-API-Key"], handler.sent)
        if handler.path.endswith("/new") and answer.ok:
            self.accepted.append(answer.json()["task_id"])
        if self.is_held and b'"SUCCEEDED"' in answer.content:
            return status(TrainingStatus.IN_PROGRESS)
        return Reply(answer.status_code, answer.content)

    def _ask(self, method: str, path: str, key: str, body: bytes) -> requests.Response:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        return requests.request(method, f"{self._sandbox.url}{path}", headers=headers, data=body, timeout=30)


def _refusing(gate: Gate) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        reset(handler)
        gate.refuse()
        time.sleep(MINUTE)
        gate.listen_again()

    return answer


def kill_who_asks(handler: BaseHTTPRequestHandler) -> None:
    """Kill the process at the other end of the connection, so that it never sees an answer."""
    port = handler.client_address[1]
    [asking] = [one.pid for one in psutil.net_connections("tcp4") if one.pid and one.laddr.port == port]
    os.kill(asking, signal.SIGKILL)


REFUSING = Fault("refuses connections", _refusing, acts=False)
RESETTING = Fault("resets connections", lambda _: reset)
ERROR = Fault("answers 500", lambda _: Reply(500, {"detail": "Internal Server Error"}))
HTML = Fault("answers HTML", lambda _: Reply(200, b"<html><body>Down for maintenance</body></html>"))
RUBBISH = Fault("answers rubbish", lambda _: Reply(200, b'\x00\xff{"status": [["SUCCEEDED"], "task_id'))
THROTTLING = Fault("answers 429", lambda _: Reply(429, {"detail": "slow down"}, {"Retry-After": "5"}), acts=False)
TRICKLING = Fault("trickles", lambda _: trickle)
KILLED_IN_BETWEEN = Fault("kills the task before it answers", lambda _: kill_who_asks, seconds=0)

OUTAGES = (REFUSING, RESETTING, ERROR, HTML, RUBBISH, THROTTLING, TRICKLING)
