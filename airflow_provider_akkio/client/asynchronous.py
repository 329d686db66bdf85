"""The one session that all waits of an event loop share for an account."""

from __future__ import annotations

import asyncio
import math
import ssl
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias
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
from airflow_provider_akkio.api.trainings import AkkioApi
from airflow_provider_akkio.client.rate_limit import MAX_CONNECTIONS, RequestQueue, get_rate_limiter
from airflow_provider_akkio.client.tls import certificates_stamp, ssl_context_for
from airflow_provider_akkio.exceptions import AkkioConfigurationError

_Identity: TypeAlias = tuple[str, str, bool | str, tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach a site.

    :param context: whom to trust there.
    :param proxy: through which proxy; default none.
    :param proxy_auth: who one is there.
    """

    context: ssl.SSLContext | Literal[False]
    proxy: URL | None = None
    proxy_auth: aiohttp.BasicAuth | None = None


class SharedSession:
    """An account's session on one event loop, open while anybody uses it.

    :param config: whose origin, key and certificates it is for.
    :param identity: see :func:`identity_of`.
    """

    def __init__(self, config: ClientConfig, identity: _Identity) -> None:
        self.queue = RequestQueue(get_rate_limiter(config))
        self.users = 0
        self._config = config
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self.identity = identity

    @property
    def seconds_per_round(self) -> float:
        """The seconds in which the account could ask once for each of its users."""
        return self.users / self.queue.rate_limiter.requests_per_second

    async def session(self) -> aiohttp.ClientSession:
        """Return the session; open it if nobody has.

        :raises AkkioConfigurationError: if the certificates cannot be read.
        """
        async with self._opening:
            if self._session is None:
                # To read certificates takes long enough to hold up the others on the loop.
                self._way = await asyncio.to_thread(_way_to, self._config)
                self._session = _open(self._config, self._way)
        return self._session

    def single_use(self) -> aiohttp.ClientSession:
        """Return a session with no connection yet, to be closed after one request; :meth:`session` comes first."""
        return _open(self._config, self._way)

    async def close(self) -> None:
        """Close the session, and with it its connections."""
        if self._session is not None:
            await self._session.close()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Identity, SharedSession]] = WeakKeyDictionary()


async def acquire(config: ClientConfig) -> tuple[SharedSession, aiohttp.ClientSession]:
    """Return what this event loop shares for an account, and its open session; :func:`release` it afterwards.

    :raises AkkioConfigurationError: if the certificates that it trusts cannot be read.
    """
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    identity = identity_of(config)
    if (shared := sessions.get(identity)) is None:
        shared = sessions[identity] = SharedSession(config, identity)
    shared.users += 1
    try:
        session = await shared.session()
    except BaseException:
        await release(shared)
        raise
    if config.verify is False:
        ssl_context_for(config)  # each wait's own log is to have the warning
    return shared, session


async def release(shared: SharedSession) -> None:
    """Close a session with its last user."""
    shared.users -= 1
    if not shared.users:
        del _shared[asyncio.get_running_loop()][shared.identity]
        await shared.close()


def identity_of(config: ClientConfig) -> _Identity:
    """Return what tells an account's session from others: renewed certificates make it another one."""
    return config.base_url.origin, config.api_key, config.verify, certificates_stamp(config)


def _open(config: ClientConfig, way: _Way) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=way.context, limit=MAX_CONNECTIONS),
        headers=request_headers(config),
        timeout=time_limit(config),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=way.proxy,
        proxy_auth=way.proxy_auth,
    )


def _way_to(config: ClientConfig) -> _Way:
    """Return how to reach an account's site; the environment's proxy is chosen as ``requests`` does, once for all."""
    from requests.utils import get_environ_proxies, select_proxy

    origin = config.base_url.origin
    context: ssl.SSLContext | Literal[False] = config.verify is not False and ssl_context_for(config)
    named = select_proxy(origin, get_environ_proxies(origin))
    if named is None:
        return _Way(context)
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise AkkioConfigurationError(
            f"Connection {config.connection_id!r}: the environment names a proxy for {origin} that is none for HTTP."
        )
    auth = None if proxy.user is None else aiohttp.BasicAuth(proxy.user, proxy.password or "")
    return _Way(context, proxy.with_user(None), auth)


def time_limit(config: ClientConfig) -> aiohttp.ClientTimeout:
    """Return the limits of one request; two connections of one account may have different ones."""
    return aiohttp.ClientTimeout(
        total=config.timeout,
        connect=config.timeout / 2,
        ceil_threshold=math.inf,  # beyond its default, aiohttp rounds up to a whole second
    )


class AsynchronousClient:
    """Drives conversations on the running event loop; use it as an asynchronous context manager.

    All clients of one event loop, origin and key share their connections, 8 at most, which are closed with the last
    of them; and all of one process share their rate_limiter.

    :param config: whose Akkio to talk to.
    :param metrics: takes the numbers; default nobody.
    """

    def __init__(self, config: ClientConfig, metrics: Metrics = NO_METRICS) -> None:
        self.api = AkkioApi(config, metrics=metrics, seconds_per_round=self._round_seconds)
        self._config = config
        self._shared: SharedSession | None = None

    async def __aenter__(self) -> Self:
        self._shared, self._session = await acquire(self._config)
        self._time_limit = time_limit(self._config)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._shared is not None:
            shared, self._shared = self._shared, None
            await release(shared)

    async def run(self, conversation: Flow[Outcome]) -> Outcome:
        """Do what a conversation asks for until it returns; raise what it raises."""
        reply: Response | TransportError | None = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._exchange(step)

    def _round_seconds(self) -> float:
        return 0.0 if self._shared is None else self._shared.seconds_per_round

    async def _exchange(self, request: Request) -> Response | TransportError:
        if self._shared is None:
            raise TypeError("the client must be entered before it is used")
        queue = self._shared.queue
        taken_at = await queue.enter(request.due_at)
        answer: Response | TransportError | None = None
        try:
            answer = await self._send(request)
        finally:
            queue.rate_limiter.give_back(taken_at, answer)
            queue.let_next()
        return answer

    async def _send(self, request: Request) -> Response | TransportError:
        if request.method is Method.GET or self._shared is None:
            return await self._ask(self._session, request)
        # A connection that was idle may be closed by the server in the moment in which a submission leaves: whether
        # a training was started would not be known.
        async with self._shared.single_use() as session:
            return await self._ask(session, request)

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Response | TransportError:
        request = authenticate(request, self._config)
        try:
            async with session.request(
                request.method, request.url, json=request.json, allow_redirects=False, timeout=self._time_limit
            ) as response:
                return await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return TransportError(_named(error), was_sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return TransportError(_named(error), was_sent=True)


async def _read(response: aiohttp.ClientResponse) -> Response:
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
    return Response(response.status, bytes(body), response.headers.get("Retry-After"), defect)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error) or 'timed out'}"  # aiohttp's TimeoutError has no words of its own
