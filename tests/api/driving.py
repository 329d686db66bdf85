"""Drives a conversation without a network, in time that passes at will."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import (
    Flow,
    Outcome,
    Request,
    Response,
    Sleep,
    TransportError,
)
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.trainings import AkkioApi

ACCOUNT = ClientConfig("akkio_default", BaseUrl("https://api.akkio.com"), "an-api-key")
STARTED_AT = 1_000_000.0


def answer(body: Any, status: int = 200, **parts: Any) -> Response:
    """Return an answer with a JSON body."""
    return Response(status, json.dumps(body).encode(), **parts)


def status(name: str, **metadata: Any) -> Response:
    """Return an answer to a status question."""
    return answer({"status": name, "metadata": metadata})


MODEL = answer({"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})
NOT_FOUND = answer({"detail": "unknown"}, 404)
UNREACHABLE = TransportError("refused", was_sent=False)
LOST = TransportError("reset", was_sent=True)


@dataclass
class Numbers:
    """Remembers what was counted and timed."""

    counts: Counter[MetricName] = field(default_factory=Counter)
    times: dict[MetricName, list[float]] = field(default_factory=dict)

    def count(self, metric: MetricName) -> None:
        self.counts[metric] += 1

    def time(self, metric: MetricName, seconds: float) -> None:
        self.times.setdefault(metric, []).append(seconds)


@dataclass
class Talk:
    """Answers the requests of a conversation, the last answer again and again, and lets its pauses pass at once."""

    replies: Iterable[Response | TransportError]
    now: float = STARTED_AT
    requests: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    seconds_per_round: float = 0.0
    most_steps: int = 100_000

    def hold(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        """Hold a conversation to its end."""
        conversation = start(AkkioApi(ACCOUNT, lambda: self.now, self.numbers, lambda: self.seconds_per_round))
        replies = iter(self.replies)
        reply: Response | TransportError | None = None
        last: Response | TransportError | None = None
        for _ in range(self.most_steps):
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value
            if isinstance(step, Sleep):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                reply = None
            else:
                self.requests.append(step)
                self.asked_at.append(self.now)
                last = reply = next(replies, last)
        raise AssertionError(f"the conversation has not ended after {self.most_steps} steps")

    @property
    def paths(self) -> list[str]:
        """The last part of each request's path."""
        return [request.url.rpartition("/")[2] for request in self.requests]
