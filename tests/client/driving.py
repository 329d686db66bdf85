"""Makes requests with either client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.location import Site
from airflow_provider_akkio.api.messages import (
    Answer,
    Conversation,
    Method,
    NoAnswer,
    Pause,
    Request,
)
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient
from tests.scripted import ScriptedAkkio

Talk = Callable[..., list[Answer | NoAnswer]]
Exchange = Callable[[Account, Request], Answer | NoAnswer]

UNHINDERED = 1000.0
"""A rate that holds up no test; of its own accord, a connection sends five requests a second."""


def exchanges(requests: tuple[Request, ...]) -> Conversation[list[Answer | NoAnswer]]:
    replies = []
    for request in requests:
        yield Pause(0.01)
        reply = yield request
        assert reply is not None
        replies.append(reply)
    return replies


def blocking(account: Account, *requests: Request) -> list[Answer | NoAnswer]:
    with BlockingClient(account) as client:
        return client.run(exchanges(requests))


def asynchronous(account: Account, *requests: Request) -> list[Answer | NoAnswer]:
    async def talk() -> list[Answer | NoAnswer]:
        async with AsynchronousClient(account) as client:
            return await client.run(exchanges(requests))

    return asyncio.run(talk())


def account(url: str, timeout: float = 10.0, **fields: Any) -> Account:
    fields = {"key": "the-key", "requests_per_second": UNHINDERED} | fields
    return Account("akkio_default", Site(url), timeout=timeout, **fields)


def get(akkio: ScriptedAkkio) -> Request:
    return Request(Method.GET, f"{akkio.url}/api/v1/status")


def post(akkio: ScriptedAkkio) -> Request:
    return Request(Method.POST, f"{akkio.url}/api/v1/new", {"dataset_id": "ü"})
