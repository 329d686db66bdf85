"""The asynchronous client, on ``aiohttp``."""

from __future__ import annotations

import asyncio
from typing import Self

import aiohttp

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.messages import (
    MAX_BODY_BYTES,
    Answer,
    Conversation,
    Method,
    NoAnswer,
    Outcome,
    Pause,
    Request,
)
from airflow_provider_akkio.api.meter import NO_METER, Meter
from airflow_provider_akkio.api.protocol import AkkioProtocol
from airflow_provider_akkio.client.headers import with_key
from airflow_provider_akkio.client.shared import SharedSession, acquire, release, time_limit


class AsynchronousClient:
    """Drives conversations on the running event loop; use it as an asynchronous context manager.

    All clients of one event loop, origin and key share their connections, 8 at most, which are closed with the last
    of them; and all of one process share their allowance.

    :param account: whose Akkio to talk to.
    :param meter: takes the numbers; default nobody.
    """

    def __init__(self, account: Account, meter: Meter = NO_METER) -> None:
        self.protocol = AkkioProtocol(account, meter=meter, round_seconds=self._round_seconds)
        self._account = account
        self._shared: SharedSession | None = None

    async def __aenter__(self) -> Self:
        self._shared, self._session = await acquire(self._account)
        self._time_limit = time_limit(self._account)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._shared is not None:
            shared, self._shared = self._shared, None
            await release(shared)

    async def run(self, conversation: Conversation[Outcome]) -> Outcome:
        """Do what a conversation asks for until it returns; raise what it raises."""
        reply: Answer | NoAnswer | None = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._exchange(step)

    def _round_seconds(self) -> float:
        return 0.0 if self._shared is None else self._shared.round_seconds

    async def _exchange(self, request: Request) -> Answer | NoAnswer:
        if self._shared is None:
            raise TypeError("the client must be entered before it is used")
        turnstile = self._shared.turnstile
        taken_at = await turnstile.enter(request.wanted_at)
        answer: Answer | NoAnswer | None = None
        try:
            answer = await self._send(request)
        finally:
            turnstile.allowance.give_back(taken_at, answer)
            turnstile.let_next()
        return answer

    async def _send(self, request: Request) -> Answer | NoAnswer:
        if request.method is Method.GET or self._shared is None:
            return await self._ask(self._session, request)
        # A connection that was idle may be closed by the server in the moment in which a submission leaves: whether
        # a training was started would not be known.
        async with self._shared.single_use() as session:
            return await self._ask(session, request)

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Answer | NoAnswer:
        request = with_key(request, self._account)
        try:
            async with session.request(
                request.method, request.url, json=request.json, allow_redirects=False, timeout=self._time_limit
            ) as response:
                return await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return NoAnswer(_named(error), was_sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return NoAnswer(_named(error), was_sent=True)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    defect = None
    try:
        while chunk := await response.content.readany():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                defect = "is longer than 32 MiB"
                break
    except TimeoutError:
        defect = "did not end in time"
    except (aiohttp.ClientError, OSError) as error:
        defect = f"was cut short ({_named(error)})"
    return Answer(response.status, bytes(body), response.headers.get("Retry-After"), defect)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error) or 'timed out'}"  # aiohttp's TimeoutError has no words of its own
