"""The one session that all waits of an event loop share for an account."""

from __future__ import annotations

import asyncio
import math
import ssl
from dataclasses import dataclass
from typing import Literal, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.client.allowance import MAX_CONNECTIONS, allowance_of
from airflow_provider_akkio.client.headers import request_headers
from airflow_provider_akkio.client.trust import certificates_stamp, trusted
from airflow_provider_akkio.client.turnstile import Turnstile
from airflow_provider_akkio.exceptions import AkkioConnectionError

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

    :param account: whose origin, key and certificates it is for.
    :param identity: see :func:`identity_of`.
    """

    def __init__(self, account: Account, identity: _Identity) -> None:
        self.turnstile = Turnstile(allowance_of(account))
        self.users = 0
        self._account = account
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self.identity = identity

    @property
    def round_seconds(self) -> float:
        """The seconds in which the account could ask once for each of its users."""
        return self.users / self.turnstile.allowance.requests_per_second

    async def session(self) -> aiohttp.ClientSession:
        """Return the session; open it if nobody has.

        :raises AkkioConnectionError: if the certificates cannot be read.
        """
        async with self._opening:
            if self._session is None:
                # To read certificates takes long enough to hold up the others on the loop.
                self._way = await asyncio.to_thread(_way_to, self._account)
                self._session = _open(self._account, self._way)
        return self._session

    def single_use(self) -> aiohttp.ClientSession:
        """Return a session with no connection yet, to be closed after one request; :meth:`session` comes first."""
        return _open(self._account, self._way)

    async def close(self) -> None:
        """Close the session, and with it its connections."""
        if self._session is not None:
            await self._session.close()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Identity, SharedSession]] = WeakKeyDictionary()


async def acquire(account: Account) -> tuple[SharedSession, aiohttp.ClientSession]:
    """Return what this event loop shares for an account, and its open session; :func:`release` it afterwards.

    :raises AkkioConnectionError: if the certificates that it trusts cannot be read.
    """
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    identity = identity_of(account)
    if (shared := sessions.get(identity)) is None:
        shared = sessions[identity] = SharedSession(account, identity)
    shared.users += 1
    try:
        session = await shared.session()
    except BaseException:
        await release(shared)
        raise
    if account.verify is False:
        trusted(account)  # each wait's own log is to have the warning
    return shared, session


async def release(shared: SharedSession) -> None:
    """Close a session with its last user."""
    shared.users -= 1
    if not shared.users:
        del _shared[asyncio.get_running_loop()][shared.identity]
        await shared.close()


def identity_of(account: Account) -> _Identity:
    """Return what tells an account's session from others: renewed certificates make it another one."""
    return account.site.origin, account.key, account.verify, certificates_stamp(account)


def _open(account: Account, way: _Way) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=way.context, limit=MAX_CONNECTIONS),
        headers=request_headers(account),
        timeout=time_limit(account),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=way.proxy,
        proxy_auth=way.proxy_auth,
    )


def _way_to(account: Account) -> _Way:
    """Return how to reach an account's site; the environment's proxy is chosen as ``requests`` does, once for all."""
    from requests.utils import get_environ_proxies, select_proxy

    origin = account.site.origin
    context: ssl.SSLContext | Literal[False] = account.verify is not False and trusted(account)
    named = select_proxy(origin, get_environ_proxies(origin))
    if named is None:
        return _Way(context)
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise AkkioConnectionError(
            f"Connection {account.connection!r}: the environment names a proxy for {origin} that is none for HTTP."
        )
    auth = None if proxy.user is None else aiohttp.BasicAuth(proxy.user, proxy.password or "")
    return _Way(context, proxy.with_user(None), auth)


def time_limit(account: Account) -> aiohttp.ClientTimeout:
    """Return the limits of one request; two connections of one account may have different ones."""
    return aiohttp.ClientTimeout(
        total=account.timeout,
        connect=account.timeout / 2,
        ceil_threshold=math.inf,  # beyond its default, aiohttp rounds up to a whole second
    )
