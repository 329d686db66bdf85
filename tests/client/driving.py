"""Send requests with either client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from airflow_provider_akkio.api.config import ApiVersion, BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import Flow, Method, Request, Response, Sleep, TransportError
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient

Replies = list[Response | TransportError]
SendAll = Callable[..., Replies]
Send = Callable[[ClientConfig, Request], Response | TransportError]

UNLIMITED = 1000.0
OK = Response(200, b"{}")


def flow_of(requests: tuple[Request, ...]) -> Flow[Replies]:
    replies = []
    for request in requests:
        yield Sleep(0.01)
        reply = yield request
        assert reply is not None
        replies.append(reply)
    return replies


def blocking(config: ClientConfig, *requests: Request) -> Replies:
    with BlockingClient(config) as client:
        return client.run(flow_of(requests))


def wait_for_request_threads() -> None:
    """Wait until the threads of the blocking client's requests have ended."""
    for thread in threading.enumerate():
        if thread.name == "akkio-request":
            thread.join(120)
            assert not thread.is_alive(), "the request outlives its server"


def asynchronous(config: ClientConfig, *requests: Request) -> Replies:
    async def main() -> Replies:
        async with AsynchronousClient(config) as client:
            return await client.run(flow_of(requests))

    return asyncio.run(main())


def client_config(url: str, **fields: Any) -> ClientConfig:
    defaults = {"api_key": "the-key", "timeout": 10.0, "requests_per_second": UNLIMITED}
    return ClientConfig("akkio_default", BaseUrl(url), **defaults | fields)


def get(url: str) -> Request:
    return Request(Method.GET, f"{url}/api/v1/status")


def post(url: str) -> Request:
    return Request(Method.POST, f"{url}/api/v1/new", {"dataset_id": "ü"})


def v1_request(method: Method, url: str) -> Request:
    if method is Method.GET:
        return Request(method, f"{url}/v1/models?id=M1", api_version=ApiVersion.V1)
    return Request(method, f"{url}/v1/models", {"id": "M1"}, api_version=ApiVersion.V1)
