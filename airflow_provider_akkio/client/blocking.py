"""Send requests from the calling thread, with ``requests``."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError

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
from airflow_provider_akkio.api.tasks import AkkioApi
from airflow_provider_akkio.client.rate_limit import get_rate_limiter
from airflow_provider_akkio.client.tls import certificates_path, proxy_for, ssl_context_for, warn_if_unverified
from airflow_provider_akkio.exceptions import AkkioUntrustedUrlError

_CHUNK_BYTES = 64 * 1024
_MAX_ABANDONED = 4


def _redact_query(record: logging.LogRecord) -> bool:
    """Redact the API key that a v1 ``GET`` carries in its query."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(r"(?<=[?&]api_key=)[^&\s]*", "***", value) if isinstance(value, str) else value
            for value in record.args
        )
    return True


# urllib3 logs each URL at DEBUG, and Airflow masks secrets only in the logs of tasks.
logging.getLogger("urllib3.connectionpool").addFilter(_redact_query)


class BlockingClient:
    """Drive flows in the calling thread; use it as a context manager.

    :meth:`Request.timeout` is the time that a request may take in total, and half of it per address to connect. The
    request runs in a separate thread, because ``requests`` limits only each single read. At the deadline the thread is
    abandoned: it ends when the server closes the connection or stops sending. With four such threads, no further
    request is sent.

    :param config: the client configuration.
    :param metrics: receives counts and durations; default: they are discarded.
    :raises AkkioConfigurationError: if the certificates or the proxy are invalid.
    """

    def __init__(self, config: ClientConfig, metrics: Metrics = NO_METRICS) -> None:
        self.api = AkkioApi(config, metrics=metrics)
        self._config = config
        self._rate_limiter = get_rate_limiter(config)
        self._session = open_session(config)
        self._abandoned: list[Future[Response]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, flow: Flow[Outcome]) -> Outcome:
        """Execute the steps of a flow; return its outcome, or raise its error."""
        reply: Response | TransportError | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._exchange(step)

    def _exchange(self, request: Request) -> Response | TransportError:
        acquired_at = self._rate_limiter.acquire()
        response: Response | TransportError | None = None
        try:
            response = self._send(request)
        finally:
            self._rate_limiter.release(acquired_at, response)
        return response

    def _send(self, request: Request) -> Response | TransportError:
        self._abandoned = [exchange for exchange in self._abandoned if not exchange.done()]
        if len(self._abandoned) >= _MAX_ABANDONED:
            reason = f"{_MAX_ABANDONED} earlier requests timed out, and their responses still have not ended"
            return TransportError(reason, was_sent=False)
        # A v1 GET request has the key in its URL, which urllib3 logs at DEBUG. AkkioHook therefore masks the key, also
        # as it is percent-encoded, in Airflow's logs.
        request = authenticate(request, self._config)
        body = None if request.json is None else _Body(request.json)
        partial_response = _PartialResponse()
        exchange = _run_in_thread(partial(self._exchange_in_thread, request, body, partial_response))
        try:
            return exchange.result(request.timeout(self._config))
        except requests.RequestException as error:
            reason = _root_cause(error)
        except TimeoutError:
            reason = "timed out"
            self._abandoned.append(exchange)
        finally:
            if body is not None:
                body.close()  # an abandoned thread that has not sent the body yet cannot send it any more
        if partial_response.head is not None:
            return partial_response.as_response(defect=reason)
        return TransportError(reason, was_sent=body is None or body.was_sent)

    def _exchange_in_thread(self, request: Request, body: _Body | None, received: _PartialResponse) -> Response:
        timeout = request.timeout(self._config)
        headers = None if body is None else {"Content-Type": "application/json"}
        with self._session.request(
            request.method, request.url, data=body, headers=headers, timeout=(timeout / 2, timeout), stream=True
        ) as response:
            received.head = response
            defect = None
            try:
                while defect is None and (chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True)):
                    received.body += chunk
                    if len(received.body) > MAX_BODY_BYTES:
                        defect = "is longer than 32 MiB"
            except ReadTimeoutError:
                defect = "timed out"
            except Exception as error:  # noqa: BLE001 - urllib3, http.client and ssl have no common error for a broken body
                defect = f"was cut short ({_root_cause(error)})"
            return received.as_response(defect)


class _PartialResponse:
    """What has been received of a response, by the thread that reads it."""

    def __init__(self) -> None:
        self.head: requests.Response | None = None
        self.body = bytearray()

    def as_response(self, defect: str | None) -> Response:
        assert self.head is not None  # noqa: S101 - the callers have received it
        return Response(self.head.status_code, bytes(self.body), self.head.headers.get("Retry-After"), defect)


class _Body(io.BytesIO):
    """A request body that records whether its sending has begun: Akkio cannot act on a request without its body."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(body).encode())
        self.was_sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.was_sent = True
        return super().read(size)


def _run_in_thread(call: Callable[[], Response]) -> Future[Response]:
    # Not an executor: the interpreter would wait at exit for a response that never ends.
    future: Future[Response] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for the future
            future.set_exception(error)

    threading.Thread(target=run, name="akkio-request", daemon=True).start()
    return future


def _root_cause(error: BaseException) -> str:
    """Return the innermost error; the outer errors of requests and urllib3 repeat it."""
    while (inner := error.__cause__ or error.__context__ or getattr(error, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {str(error) or 'timed out'}"


class _SingleOriginAdapter(HTTPAdapter):
    """Refuse to send the session's API key to another origin.

    :param config: the configuration with the only origin.
    """

    def __init__(self, config: ClientConfig) -> None:
        super().__init__()
        self._config = config

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request.

        :raises AkkioUntrustedUrlError: if its URL has another origin.
        """
        origin = self._config.base_url.origin
        if not (request.url or "").startswith(f"{origin}/"):
            raise AkkioUntrustedUrlError(
                f"The session of connection {self._config.connection_id!r} sends its API key to {origin} only, not to "
                f"{request.url!r}."
            )
        return super().send(request, *args, **kwargs)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect: requests would send the API key along."""


def open_session(config: ClientConfig) -> requests.Session:
    """Return a session that sends the API key, to the configured origin only; it follows no redirects.

    :param config: the client configuration.
    :raises AkkioConfigurationError: if the certificates or the proxy are invalid.
    """
    ssl_context_for(config)  # requests would report unreadable certificates only with the first request
    proxy = proxy_for(config)
    warn_if_unverified(config)
    session = _Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would override verify, and .netrc would add credentials
    session.verify = config.verify is not False and certificates_path(config)
    session.proxies = {} if proxy is None else {"http": str(proxy), "https": str(proxy)}
    session.headers.update(request_headers(config))
    for prefix in list(session.adapters):
        session.mount(prefix, _SingleOriginAdapter(config))
    return session
