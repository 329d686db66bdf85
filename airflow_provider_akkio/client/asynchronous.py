"""Send requests from an event loop, with aiohttp; all waits of the loop for one account share their connections."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import (
    MAX_BODY_BYTES,
    Flow,
    Method,
    Outcome,
    Request,
    Response,
    Sleep,
    TransportError,
    authenticate,
    request_headers,
)
from airflow_provider_akkio.api.requester import NO_METRICS, Metrics
from airflow_provider_akkio.api.tasks import AkkioApi
from airflow_provider_akkio.client.rate_limit import MAX_CONNECTIONS, RequestQueue, get_rate_limiter
from airflow_provider_akkio.client.tls import proxy_for, ssl_context_for, warn_if_unverified


@dataclass(eq=False)
class SessionPool:
    """What all clients of one event loop share for one account.

    :param queue: orders their requests.
    :param sessions: the HTTP session for each method. Only ``GET`` reuses connections: the server may close an idle
        connection while a submission is being sent over it, and then it is unknown whether a training has started.
    :param users: number of open clients.
    """

    queue: RequestQueue
    sessions: Mapping[Method, aiohttp.ClientSession]
    users: int = 0

    @property
    def seconds_per_round(self) -> float:
        """Seconds in which the account may send one request for each user."""
        return self.users / self.queue.rate_limiter.requests_per_second


_PoolKey: TypeAlias = tuple[str, str, ssl.SSLContext, URL | None]
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_PoolKey, SessionPool]] = WeakKeyDictionary()


@asynccontextmanager
async def session_pool(config: ClientConfig) -> AsyncIterator[SessionPool]:
    """Yield the pool of an account on the running event loop; the first user opens it and the last user closes it.

    :param config: origin, key, certificates and proxy select the pool.
    :raises AkkioConfigurationError: if the certificates or the proxy are invalid.
    """
    # In a thread: reading certificates would block the event loop.
    context, proxy = await asyncio.to_thread(lambda: (ssl_context_for(config), proxy_for(config)))
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    key = (config.base_url.origin, config.api_key, context, proxy)
    if (pool := pools.get(key)) is None:
        sessions = {method: _open_session(context, proxy, reuse_connections=method is Method.GET) for method in Method}
        pool = pools[key] = SessionPool(RequestQueue(get_rate_limiter(config)), sessions)
    pool.users += 1
    try:
        yield pool
    finally:
        pool.users -= 1
        if not pool.users:
            del pools[key]
            async with AsyncExitStack() as stack:
                for session in pool.sessions.values():
                    stack.push_async_callback(session.close)


def _open_session(context: ssl.SSLContext, proxy: URL | None, *, reuse_connections: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=MAX_CONNECTIONS, force_close=not reuse_connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
    )


class AsynchronousClient:
    """Drive flows on the running event loop; use it as an asynchronous context manager.

    All clients of one event loop, origin and key share at most 8 connections; all of one process share a rate limiter.
    :meth:`Request.timeout` is the time that a request may take in total, and half of it to connect.

    :param config: the client configuration.
    :param metrics: receives counts and durations; default: they are discarded.
    """

    def __init__(self, config: ClientConfig, metrics: Metrics = NO_METRICS) -> None:
        self.api = AkkioApi(config, metrics=metrics, seconds_per_round=self._seconds_per_round)
        self._config = config
        # Not the session's own headers: aiohttp would send the API key to an HTTP proxy with CONNECT.
        self._headers = request_headers(config)
        self._pool: SessionPool | None = None
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._pool = await self._exit_stack.enter_async_context(session_pool(self._config))
        warn_if_unverified(self._config)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool = None
        await self._exit_stack.aclose()

    async def run(self, flow: Flow[Outcome]) -> Outcome:
        """Execute the steps of a flow; return its outcome, or raise its error."""
        reply: Response | TransportError | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._exchange(step)

    def _seconds_per_round(self) -> float:
        return 0.0 if self._pool is None else self._pool.seconds_per_round

    async def _exchange(self, request: Request) -> Response | TransportError:
        if self._pool is None:
            raise TypeError("enter the client with `async with` before you use it")
        queue = self._pool.queue
        acquired_at = await queue.acquire(request.due_at)
        response: Response | TransportError | None = None
        try:
            response = await self._send(self._pool, request)
        finally:
            queue.rate_limiter.release(acquired_at, response)
            queue.wake_next()
        return response

    async def _send(self, pool: SessionPool, request: Request) -> Response | TransportError:
        request = authenticate(request, self._config)
        try:
            async with pool.sessions[request.method].request(
                request.method,
                request.url,
                json=request.json,
                headers=self._headers,
                allow_redirects=False,
                timeout=_timeout(request.timeout(self._config)),
            ) as response:
                return await _read(response)
        except aiohttp.ClientHttpProxyError as error:  # its text has the URL of the proxy, which may contain a password
            return TransportError(f"the proxy responded to CONNECT with HTTP {error.status}", was_sent=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return TransportError(_describe(error), was_sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return TransportError(_describe(error), was_sent=True)


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # By default, aiohttp rounds a timeout above 5 s up to a whole second.
    return aiohttp.ClientTimeout(total=seconds, connect=seconds / 2, ceil_threshold=math.inf)


async def _read(response: aiohttp.ClientResponse) -> Response:
    body = bytearray()
    defect = None
    try:
        while defect is None and (chunk := await response.content.readany()):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                defect = "is longer than 32 MiB"
    except TimeoutError:
        defect = "timed out"
    except (aiohttp.ClientError, OSError) as error:
        defect = f"was cut short ({_describe(error)})"
    return Response(response.status, bytes(body), response.headers.get("Retry-After"), defect)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error) or 'timed out'}"  # aiohttp's TimeoutError has no text
