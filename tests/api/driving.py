"""Run a flow without a network, against scripted responses and a virtual clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import Flow, Outcome, Request, Response, Sleep, TransportError
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.tasks import AkkioApi

CONFIG = ClientConfig("akkio_default", BaseUrl("https://api.akkio.com"), "an-api-key")
STARTED_AT = 1_000_000.0


def response(body: Any, status: int = 200, **parts: Any) -> Response:
    return Response(status, json.dumps(body).encode(), **parts)


def status(name: str, **metadata: Any) -> Response:
    return response({"status": name, "metadata": metadata})


MODEL = response({"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})
NOT_FOUND = response({"detail": "unknown"}, 404)
GATEWAY_404 = Response(404, b"<html><h1>404 Not Found</h1>nginx</html>")
UNREACHABLE = TransportError("refused", was_sent=False)
LOST = TransportError("reset", was_sent=True)


@dataclass
class RecordedMetrics:
    """Records the metrics."""

    counts: Counter[MetricName] = field(default_factory=Counter)
    timings: dict[MetricName, list[float]] = field(default_factory=dict)

    def increment(self, metric: MetricName) -> None:
        self.counts[metric] += 1

    def timing(self, metric: MetricName, seconds: float) -> None:
        self.timings.setdefault(metric, []).append(seconds)


@dataclass
class FlowDriver:
    """Responds to the requests of a flow, repeating the last response, and lets its sleeps pass at once."""

    responses: Iterable[Response | TransportError]
    now: float = STARTED_AT
    requests: list[Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    metrics: RecordedMetrics = field(default_factory=RecordedMetrics)
    seconds_per_round: float = 0.0
    max_steps: int = 100_000

    def run(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        flow = start(AkkioApi(CONFIG, lambda: self.now, self.metrics, lambda: self.seconds_per_round))
        responses = iter(self.responses)
        sent: Response | TransportError | None = None
        last: Response | TransportError | None = None
        for _ in range(self.max_steps):
            try:
                step = flow.send(sent)
            except StopIteration as end:
                return end.value
            if isinstance(step, Sleep):
                self.sleeps.append(step.seconds)
                self.now += step.seconds
                sent = None
            else:
                self.requests.append(step)
                self.sent_at.append(self.now)
                last = sent = next(responses, last)
        raise AssertionError(f"the flow has not ended after {self.max_steps} steps")

    @property
    def paths(self) -> list[str]:
        """The last segment of the path of each request."""
        return [request.url.rpartition("/")[2] for request in self.requests]

    @property
    def methods(self) -> list[str]:
        return [str(request.method) for request in self.requests]
