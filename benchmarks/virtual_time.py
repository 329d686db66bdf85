"""An event loop on which waiting takes no time, and an account that asks a model of Akkio on it."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.api.trainings import AkkioApi
from airflow_provider_akkio.client.asynchronous import AsynchronousClient, SessionPool
from airflow_provider_akkio.client.rate_limit import RateLimiter, RequestQueue

START = 1e6
"""When virtual time begins; zero means "before all others" where requests queue."""

ANSWER_SECONDS = 0.05
"""What an answer takes; Akkio looks at the training after half of it."""

ACCOUNT = ClientConfig("akkio_default", BaseUrl("https://akkio.invalid"), "the-key")

_Result = TypeVar("_Result")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sets its clock forward where another loop would sleep."""

    def __init__(self) -> None:
        self._now = START
        super().__init__(_Skipping(self._skip))

    def time(self) -> float:
        """Return the virtual present."""
        return self._now

    def _skip(self, seconds: float) -> None:
        self._now += seconds


class _Skipping(selectors.SelectSelector):
    """Never waits.

    :param skip: told the seconds that it would have waited.
    """

    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for something that will not come")
        if timeout > 0:
            self._skip(timeout)
        return []


def run_in_virtual_time(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine on a :class:`VirtualLoop`, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def status_answer(status: str, estimate_seconds: float | None = None) -> Response:
    """Return Akkio's answer to a question for the status."""
    metadata = {} if estimate_seconds is None else {"estimate_seconds": estimate_seconds}
    return answer_with({"status": status, "metadata": metadata})


def answer_with(body: Mapping[str, Any]) -> Response:
    """Return an answer with a body."""
    return Response(200, json.dumps(body).encode())


RUNNING, SUCCEEDED = status_answer("IN_PROGRESS"), status_answer("SUCCEEDED")
RESULT = answer_with({"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})


class VirtualClient(AsynchronousClient):
    """The real client, its queue and its rate_limiter, on a virtual loop, with a model in place of the network.

    It is not entered: it has no connection that had to be closed.

    :param shared: what the clients of the account share; see :func:`virtual_session`.
    :param answer: what Akkio says to a request that arrives now.
    """

    def __init__(self, shared: SessionPool, answer: Callable[[Request], Response]) -> None:
        super().__init__(ACCOUNT)
        clock = asyncio.get_running_loop().time
        self.api = AkkioApi(ACCOUNT, clock=clock, seconds_per_round=self._seconds_per_round)
        self._pool = shared
        self._answer = answer

    async def _send(self, _pool: SessionPool, request: Request) -> Response | TransportError:
        await asyncio.sleep(ANSWER_SECONDS / 2)
        answer = self._answer(request)
        await asyncio.sleep(ANSWER_SECONDS / 2)
        return answer


def virtual_session(requests_per_second: float) -> SessionPool:
    """Return what the clients of one account share, with an rate_limiter by the running loop's clock.

    :param requests_per_second: what the account may ask for in a second.
    """
    return SessionPool(RequestQueue(RateLimiter(requests_per_second, asyncio.get_running_loop().time)), sessions={})
