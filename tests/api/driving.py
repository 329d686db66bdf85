"""Drives a conversation without a network, in time that passes at will."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.location import Site
from airflow_provider_akkio.api.messages import (
    Answer,
    Conversation,
    NoAnswer,
    Outcome,
    Pause,
    Request,
)
from airflow_provider_akkio.api.meter import Metric
from airflow_provider_akkio.api.protocol import AkkioProtocol

ACCOUNT = Account("akkio_default", Site("https://api.akkio.com"), "an-api-key")
STARTED_AT = 1_000_000.0


def answer(body: Any, status: int = 200, **parts: Any) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(body).encode(), **parts)


def status(name: str, **metadata: Any) -> Answer:
    """Return an answer to a status question."""
    return answer({"status": name, "metadata": metadata})


MODEL = answer({"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})
NOT_FOUND = answer({"detail": "unknown"}, 404)
UNREACHABLE = NoAnswer("refused", was_sent=False)
LOST = NoAnswer("reset", was_sent=True)


@dataclass
class Numbers:
    """Remembers what was counted and timed."""

    counts: Counter[Metric] = field(default_factory=Counter)
    times: dict[Metric, list[float]] = field(default_factory=dict)

    def count(self, metric: Metric) -> None:
        self.counts[metric] += 1

    def time(self, metric: Metric, seconds: float) -> None:
        self.times.setdefault(metric, []).append(seconds)


@dataclass
class Talk:
    """Answers the requests of a conversation, the last answer again and again, and lets its pauses pass at once."""

    replies: Iterable[Answer | NoAnswer]
    now: float = STARTED_AT
    requests: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    round_seconds: float = 0.0
    most_steps: int = 100_000

    def hold(self, start: Callable[[AkkioProtocol], Conversation[Outcome]]) -> Outcome:
        """Hold a conversation to its end."""
        conversation = start(AkkioProtocol(ACCOUNT, lambda: self.now, self.numbers, lambda: self.round_seconds))
        replies = iter(self.replies)
        reply: Answer | NoAnswer | None = None
        last: Answer | NoAnswer | None = None
        for _ in range(self.most_steps):
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value
            if isinstance(step, Pause):
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
