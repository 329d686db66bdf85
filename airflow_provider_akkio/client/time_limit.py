"""One time limit for a whole blocking request; the limits of ``requests`` are for each single read from the network."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util import Timeout
from urllib3.util.connection import allowed_gai_family, create_connection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SHORTEST = 0.001
"""Seconds that stand for none, since a socket reads 0 as "do not wait, and do not time out either"."""


class PunctualAdapter(HTTPAdapter):
    """Gives each request one time limit: half of it at most to connect, all of it until the answer's last byte.

    Looking a name up cannot be interrupted: the time that it takes counts, but the system alone bounds it.

    :param seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; this adapter's limit takes the place of the request's own ``timeout``."""
        return super().send(request, *args, **kwargs | {"timeout": _Limit(self._seconds)})

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Return the pool for a request; its connections keep to the limit, but for those through a SOCKS proxy."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _PUNCTUAL.get(pool.ConnectionCls, pool.ConnectionCls)
        return cast("ConnectionPool", pool)


class _Limit(Timeout):
    """Counts from its creation on; urllib3's own starts anew once it has the tunnel through a proxy."""

    def __init__(self, seconds: float) -> None:
        super().__init__(total=seconds)
        now = time.monotonic()
        self._connected_at = now + seconds / 2
        self._ends_at = now + seconds

    def clone(self) -> _Limit:
        return self

    def start_connect(self) -> float:
        return time.monotonic()

    @property
    def connect_timeout(self) -> float:
        return max(self._connected_at - time.monotonic(), _SHORTEST)

    @property
    def read_timeout(self) -> float:
        return max(self._ends_at - time.monotonic(), 0.0)


class _PunctualReader(io.RawIOBase):
    """Reads from a socket until a time, however often something arrives."""

    def __init__(self, sock: socket.socket, seconds: float, reader: io.RawIOBase) -> None:
        self._sock = sock
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return cast("int | None", self._reader.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._sock.settimeout(self._seconds)  # what was left is too little to send the next request with
            self._reader.close()
        super().close()


class _PunctualResponse(HTTPResponse):
    """Reads its head and its body within what is the socket's time limit when the reading begins."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_PunctualReader(sock, sock.gettimeout() or 0.0, self.fp.detach()))


class _PunctualConnection(HTTPConnection):
    response_class = _PunctualResponse

    def _new_conn(self) -> socket.socket:
        """Connect; where urllib3 gives the time for that to each address of a name, they share it here."""
        ends_at = time.monotonic() + (self.timeout or 0.0)
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
            sock = self._first_to_answer([str(address[0]) for *_, address in found], ends_at)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        sock.settimeout(max(ends_at - time.monotonic(), _SHORTEST))
        return sock

    def _first_to_answer(self, addresses: list[str], ends_at: float) -> socket.socket:
        while True:
            address, *addresses = addresses
            share = (ends_at - time.monotonic()) / (1 + len(addresses))
            try:
                return create_connection(
                    (address, self.port), max(share, _SHORTEST), self.source_address, self.socket_options
                )
            except OSError:
                if not addresses:
                    raise


class _PunctualTLSConnection(_PunctualConnection, HTTPSConnection):
    """Shakes hands in what is left of the time to connect, since the socket's limit is that."""


_PUNCTUAL: dict[type[HTTPConnection], type[HTTPConnection]] = {
    HTTPConnection: _PunctualConnection,
    HTTPSConnection: _PunctualTLSConnection,
}
