"""A proxy in front of the sandbox that keeps trainings in progress for as long as a test needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from airflow_provider_akkio.api.types import AkkioTaskStatus
from tests.scripted import Reply, Responder, ScriptedAkkio, last_part, status

ESTIMATE_SECONDS = 40.0
"""Akkio's estimate for a training in progress; the trigger polls at least that often."""


class Gate(ScriptedAkkio):
    """A proxy to a sandbox.

    :param sandbox: URL of the sandbox.
    """

    def __init__(self, sandbox: str) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._is_holding = False

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Report every training as in progress until the block ends."""
        self._is_holding = True
        try:
            yield
        finally:
            self._is_holding = False

    def _next(self, path: str) -> Responder:
        if self._is_holding and last_part(path) == "status":
            return status(AkkioTaskStatus.IN_PROGRESS, estimate_seconds=ESTIMATE_SECONDS)
        return self._forward

    def _forward(self, handler: Any) -> None:
        headers = {"X-API-Key": handler.headers["X-API-Key"], "Content-Type": "application/json"}
        url = f"{self._sandbox}{handler.path}"
        response = requests.request(handler.command, url, headers=headers, data=handler.sent, timeout=300)
        Reply(response.status_code, response.content)(handler)
