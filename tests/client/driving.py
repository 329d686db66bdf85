"""Makes requests with either client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import (
    Flow,
    Method,
    Request,
    Response,
    Sleep,
    TransportError,
)
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient
from tests.scripted import ScriptedAkkio

Talk = Callable[..., list[Response | TransportError]]
Exchange = Callable[[ClientConfig, Request], Response | TransportError]

UNHINDERED = 1000.0
"""A rate that holds up no test; of its own accord, a connection sends five requests a second."""


def exchanges(requests: tuple[Request, ...]) -> Flow[list[Response | TransportError]]:
    replies = []
    for request in requests:
        yield Sleep(0.01)
        reply = yield request
        assert reply is not None
        replies.append(reply)
    return replies


def blocking(config: ClientConfig, *requests: Request) -> list[Response | TransportError]:
    with BlockingClient(config) as client:
        return client.run(exchanges(requests))


def asynchronous(config: ClientConfig, *requests: Request) -> list[Response | TransportError]:
    async def talk() -> list[Response | TransportError]:
        async with AsynchronousClient(config) as client:
            return await client.run(exchanges(requests))

    return asyncio.run(talk())


def client_config(url: str, timeout: float = 10.0, **fields: Any) -> ClientConfig:
    fields = {"key": "the-key", "requests_per_second": UNHINDERED} | fields
    return ClientConfig("akkio_default", BaseUrl(url), timeout=timeout, **fields)


def get(akkio: ScriptedAkkio) -> Request:
    return Request(Method.GET, f"{akkio.url}/api/v1/status")


def post(akkio: ScriptedAkkio) -> Request:
    return Request(Method.POST, f"{akkio.url}/api/v1/new", {"dataset_id": "ü"})
