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
from urllib3.util import Timeout

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PunctualAdapter(HTTPAdapter):
    """Gives each request one time limit: half of it at most to connect, all of it until the answer's last byte.

    What the network libraries cannot interrupt or count together is bounded apart: a name is looked up for as long as
    the system says, each address of a name has its half to connect, and so has the tunnel through a proxy.

    :param seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; this adapter's limit takes the place of the request's own ``timeout``."""
        limit = Timeout(connect=self._seconds / 2, total=self._seconds)
        return super().send(request, *args, **kwargs | {"timeout": limit})

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Return the pool for a request; its connections keep to the limit, but for those through a SOCKS proxy."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _PUNCTUAL.get(pool.ConnectionCls, pool.ConnectionCls)
        return cast("ConnectionPool", pool)


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


class _PunctualTLSConnection(HTTPSConnection):
    response_class = _PunctualResponse


_PUNCTUAL: dict[type[HTTPConnection], type[HTTPConnection]] = {
    HTTPConnection: _PunctualConnection,
    HTTPSConnection: _PunctualTLSConnection,
}
