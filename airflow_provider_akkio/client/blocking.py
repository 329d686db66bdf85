"""One time limit for a whole blocking request; the limits of ``requests`` are for each single read from the network."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import time
import warnings
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import InsecureRequestWarning, ReadTimeoutError
from urllib3.util import Timeout, parse_url

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import (
    MAX_BODY_BYTES,
    Flow,
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
from airflow_provider_akkio.client.rate_limit import get_rate_limiter
from airflow_provider_akkio.client.tls import ssl_context_for
from airflow_provider_akkio.exceptions import AkkioUntrustedUrlError

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


_CHUNK_BYTES = 64 * 1024
_KEY_IN_QUERY = re.compile(r"(api_key=)[^&\s]*")


class BlockingClient:
    """Drives conversations in the calling thread.

    :param config: whose Akkio to talk to.
    :param metrics: takes the numbers; default nobody.
    """

    def __init__(self, config: ClientConfig, metrics: Metrics = NO_METRICS) -> None:
        self.api = AkkioApi(config, metrics=metrics)
        self._config = config
        self._allowance = get_rate_limiter(config)
        self._session = open_session(config)
        self._session.mount(f"{config.base_url.origin}/", PunctualAdapter(config.timeout))

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, conversation: Flow[Outcome]) -> Outcome:
        """Do what a conversation asks for until it returns; raise what it raises."""
        reply: Response | TransportError | None = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._exchange(step)

    def _exchange(self, request: Request) -> Response | TransportError:
        taken_at = self._allowance.wait()
        answer: Response | TransportError | None = None
        try:
            answer = self._send(request)
        finally:
            self._allowance.give_back(taken_at, answer)
        return answer

    def _send(self, request: Request) -> Response | TransportError:
        request = authenticate(request, self._config)
        body = None if request.json is None else _Body(request.json)
        headers = None if body is None else {"Content-Type": "application/json"}
        try:
            response = self._session.request(request.method, request.url, data=body, headers=headers, stream=True)
        except requests.RequestException as error:
            return TransportError(_root_cause(error), was_sent=body is None or body.was_sent)
        with response:
            return _read(response)


def _take_keys_out(record: logging.LogRecord) -> bool:
    """Take the keys of legacy calls out of the addresses that urllib3 logs at DEBUG."""
    if isinstance(record.args, tuple):
        record.args = tuple(_KEY_IN_QUERY.sub(r"\1***", one) if isinstance(one, str) else one for one in record.args)
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_take_keys_out)


class _Body(io.BytesIO):
    """A request body that knows whether it was sent: without its body, Akkio cannot have acted on it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(body).encode())
        self.was_sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.was_sent = True
        return super().read(size)


class _NoOtherOrigin(BaseAdapter):
    """Stands where a session would reach another origin than the account's, and refuses."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__()
        self._config = config

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise AkkioUntrustedUrlError(
            f"The session of connection {self._config.connection_id!r} carries its API key, and so reaches "
            f"{self._config.base_url.origin} alone, not {request.url!r}."
        )

    def close(self) -> None:
        """Hold nothing, and so free nothing."""


class _Session(requests.Session):
    """A session that the environment cannot lead astray, nor an answer."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no target in any answer: ``requests`` would take the API key along to another host."""

    def merge_environment_settings(
        self,
        url: str | bytes | None,
        proxies: Any,
        stream: bool | None,
        verify: bool | str | None,
        cert: Any,
    ) -> Any:
        """Put the session's ``verify`` above ``REQUESTS_CA_BUNDLE``, which otherwise overrides it."""
        return super().merge_environment_settings(url, proxies, stream, self.verify if verify is None else verify, cert)


def open_session(config: ClientConfig) -> requests.Session:
    """Return a session that sends the account's key, to the account's origin alone and never along a redirect.

    :param config: whose key.
    :raises AkkioConfigurationError: if the certificates that it trusts cannot be read.
    """
    session = _Session()
    session.verify = config.verify
    if not ssl_context_for(config):
        _keep_urllib3_from_repeating_it(config.base_url.origin)
    session.headers.update(request_headers(config))
    for prefix in list(session.adapters):
        session.mount(prefix, _NoOtherOrigin(config))
    session.mount(f"{config.base_url.origin}/", HTTPAdapter())
    return session


def _keep_urllib3_from_repeating_it(origin: str) -> None:
    """Ignore the warning that urllib3 would print at each request, with the name of the proxy if there is one."""
    for address in filter(None, (origin, select_proxy(origin, get_environ_proxies(origin)))):
        host = (parse_url(address).host or "").strip("[]")
        warnings.filterwarnings("ignore", f".* host '{re.escape(host)}'", InsecureRequestWarning)


def _read(response: requests.Response) -> Response:
    body = bytearray()
    defect = None
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                defect = "is longer than 32 MiB"
                break
    except ReadTimeoutError:
        defect = "did not end in time"
    except Exception as error:  # noqa: BLE001 - urllib3, http.client and ssl each have errors of their own for a broken body
        defect = f"was cut short ({_root_cause(error)})"
    return Response(response.status_code, bytes(body), response.headers.get("Retry-After"), defect)


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason; the outer ones repeat it in the words of each library that it came through."""
    while (inner := error.__cause__ or error.__context__ or getattr(error, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}"
