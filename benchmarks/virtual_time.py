"""An event loop on which time passes without waiting, and a client that talks to a simulated Akkio on it."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import Flow, Request, Response, Sleep
from airflow_provider_akkio.api.tasks import AkkioApi
from airflow_provider_akkio.api.types import AkkioTask, TrainingResult
from airflow_provider_akkio.client.rate_limit import RateLimiter, RequestQueue

START = 1e6
"""Virtual start time; a request that is due at zero precedes all others in the queue."""

RESPONSE_SECONDS = 0.05
"""Seconds until a response arrives; Akkio evaluates the request after half of it."""

CONFIG = ClientConfig("akkio_default", BaseUrl("https://akkio.invalid"), "the-key")

_Result = TypeVar("_Result")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Advances its clock where another loop would sleep."""

    def __init__(self) -> None:
        self._now = START
        super().__init__(_NonBlockingSelector(self._advance))

    def time(self) -> float:
        """Return the virtual time."""
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


class _NonBlockingSelector(selectors.SelectSelector):
    """Never waits.

    :param advance: called with the seconds for which another selector would have waited.
    """

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits for something that never happens")
        if timeout > 0:
            self._advance(timeout)
        return []


def run_in_virtual_time(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine on a :class:`VirtualLoop` and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def status_response(status: str, estimate_seconds: float | None = None) -> Response:
    """Return Akkio's response to a poll."""
    metadata = {} if estimate_seconds is None else {"estimate_seconds": estimate_seconds}
    return _json_response({"status": status, "metadata": metadata})


def _json_response(body: Mapping[str, Any]) -> Response:
    return Response(200, json.dumps(body).encode())


RUNNING, SUCCEEDED = status_response("IN_PROGRESS"), status_response("SUCCEEDED")
RESULT = _json_response({"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})


def poll_and_fetch(api: AkkioApi, training: AkkioTask, deadline: float) -> Flow[TrainingResult]:
    """Poll until a training is done and fetch its result: all requests of a training after its submission."""
    state = yield from api.poll_until_done(training, deadline)
    return (yield from api.result(training.akkio_task_id, state.location, deadline))


class VirtualAccount:
    """The trainings of one process and account, with the real rate limiter and queue.

    :param requests_per_second: rate limit.
    """

    def __init__(self, requests_per_second: float) -> None:
        self.clock = asyncio.get_running_loop().time
        self._queue = RequestQueue(RateLimiter(requests_per_second, self.clock))
        self._requests_per_second = requests_per_second
        self._polling = 0

    async def poll_and_fetch(
        self, training: AkkioTask, deadline: float, respond: Callable[[Request], Response]
    ) -> None:
        """Poll a training until it is done and fetch its result.

        :param training: submitted training.
        :param deadline: time by the loop's clock.
        :param respond: returns Akkio's response to a request that arrives now.
        """
        api = AkkioApi(CONFIG, clock=self.clock, seconds_per_round=lambda: self._polling / self._requests_per_second)
        flow, reply = poll_and_fetch(api, training, deadline), None
        self._polling += 1
        try:
            while True:
                step = flow.send(reply)
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    reply = None
                else:
                    reply = await self._exchange(step, respond)
        except StopIteration:
            return
        finally:
            self._polling -= 1

    async def _exchange(self, request: Request, respond: Callable[[Request], Response]) -> Response:
        acquired_at, response = await self._queue.acquire(request.due_at), None
        try:
            await asyncio.sleep(RESPONSE_SECONDS / 2)
            response = respond(request)
            await asyncio.sleep(RESPONSE_SECONDS / 2)
            return response
        finally:
            self._queue.rate_limiter.release(acquired_at, response)
            self._queue.wake_next()
