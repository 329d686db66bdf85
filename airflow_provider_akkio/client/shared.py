"""The one session that all waits of an event loop share for an account."""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import Literal, TypeAlias
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.client.allowance import MAX_CONNECTIONS, allowance_of
from airflow_provider_akkio.client.headers import request_headers
from airflow_provider_akkio.client.trust import trusted
from airflow_provider_akkio.client.turnstile import Turnstile

_Identity: TypeAlias = tuple[str, str, bool | str]


class SharedSession:
    """An account's session on one event loop, open while anybody uses it.

    :param account: whose origin, key and certificates it is for.
    """

    def __init__(self, account: Account) -> None:
        self.turnstile = Turnstile(allowance_of(account))
        self.users = 0
        self._account = account
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

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
                context = await asyncio.to_thread(trusted, self._account)
                self._session = _open(self._account, context)
        return self._session

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
    shared = sessions.setdefault(_identity(account), SharedSession(account))
    shared.users += 1
    try:
        session = await shared.session()
    except BaseException:
        await release(account, shared)
        raise
    return shared, session


async def release(account: Account, shared: SharedSession) -> None:
    """Close a session with its last user."""
    shared.users -= 1
    if not shared.users:
        del _shared[asyncio.get_running_loop()][_identity(account)]
        await shared.close()


def _identity(account: Account) -> _Identity:
    return account.site.origin, account.key, account.verify


def _open(account: Account, context: ssl.SSLContext | Literal[False]) -> aiohttp.ClientSession:
    proxy, proxy_auth = _proxy(URL(account.site.origin))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=MAX_CONNECTIONS),
        headers=request_headers(account),
        timeout=time_limit(account),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
        proxy_auth=proxy_auth,
    )


def _proxy(origin: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """Return the proxy that the environment names; aiohttp itself would look for it at each request, in a thread."""
    named = getproxies().get(origin.scheme)
    if not named or proxy_bypass(origin.host or ""):
        return None, None
    proxy = URL(named if "://" in named else f"http://{named}")
    auth = None if proxy.user is None else aiohttp.BasicAuth(proxy.user, proxy.password or "")
    return proxy.with_user(None), auth


def time_limit(account: Account) -> aiohttp.ClientTimeout:
    """Return the limits of one request; two connections of one account may have different ones."""
    return aiohttp.ClientTimeout(
        total=account.timeout,
        connect=account.timeout / 2,
        ceil_threshold=math.inf,  # beyond its default, aiohttp rounds up to a whole second
    )
