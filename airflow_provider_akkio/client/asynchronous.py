"""The asynchronous client, on ``aiohttp``."""

from __future__ import annotations

import asyncio
import math
from typing import Self

import aiohttp

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.messages import (
    MAX_BODY_BYTES,
    Answer,
    Conversation,
    NoAnswer,
    Outcome,
    Pause,
    Request,
)
from airflow_provider_akkio.api.protocol import AkkioProtocol
from airflow_provider_akkio.client.headers import request_headers
from airflow_provider_akkio.client.trust import trusted

_CHUNK_BYTES = 64 * 1024


class AsynchronousClient:
    """Drives conversations on the running event loop; use it as an asynchronous context manager.

    :param account: whose Akkio to talk to.
    """

    def __init__(self, account: Account) -> None:
        self.protocol = AkkioProtocol(account)
        self._account = account

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted(self._account)),
            headers=request_headers(self._account),
            timeout=aiohttp.ClientTimeout(
                total=self._account.timeout,
                connect=self._account.timeout / 2,
                ceil_threshold=math.inf,  # beyond its default, aiohttp rounds up to a whole second
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

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

    async def _exchange(self, request: Request) -> Answer | NoAnswer:
        try:
            async with self._session.request(
                request.method, request.url, json=request.json, allow_redirects=False
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
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
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
