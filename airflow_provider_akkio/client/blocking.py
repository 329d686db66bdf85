"""The blocking client, on ``requests``."""

from __future__ import annotations

import io
import json
import logging
import re
import time
import warnings
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import InsecureRequestWarning, ReadTimeoutError
from urllib3.util import parse_url

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.messages import (
    MAX_BODY_BYTES,
    Answer,
    Conversation,
    NoAnswer,
    Outcome,
    Pause,
    Request,
)
from airflow_provider_akkio.api.meter import NO_METER, Meter
from airflow_provider_akkio.api.protocol import AkkioProtocol
from airflow_provider_akkio.client.allowance import allowance_of
from airflow_provider_akkio.client.headers import request_headers, with_key
from airflow_provider_akkio.client.time_limit import PunctualAdapter
from airflow_provider_akkio.client.trust import trusted
from airflow_provider_akkio.exceptions import AkkioUntrustedAddress

_CHUNK_BYTES = 64 * 1024
_KEY_IN_QUERY = re.compile(r"(api_key=)[^&\s]*")


class BlockingClient:
    """Drives conversations in the calling thread.

    :param account: whose Akkio to talk to.
    :param meter: takes the numbers; default nobody.
    """

    def __init__(self, account: Account, meter: Meter = NO_METER) -> None:
        self.protocol = AkkioProtocol(account, meter=meter)
        self._account = account
        self._allowance = allowance_of(account)
        self._session = open_session(account)
        self._session.mount(f"{account.site.origin}/", PunctualAdapter(account.timeout))

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, conversation: Conversation[Outcome]) -> Outcome:
        """Do what a conversation asks for until it returns; raise what it raises."""
        reply: Answer | NoAnswer | None = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._exchange(step)

    def _exchange(self, request: Request) -> Answer | NoAnswer:
        taken_at = self._allowance.wait()
        answer: Answer | NoAnswer | None = None
        try:
            answer = self._send(request)
        finally:
            self._allowance.give_back(taken_at, answer)
        return answer

    def _send(self, request: Request) -> Answer | NoAnswer:
        request = with_key(request, self._account)
        body = None if request.json is None else _Body(request.json)
        headers = None if body is None else {"Content-Type": "application/json"}
        try:
            response = self._session.request(request.method, request.url, data=body, headers=headers, stream=True)
        except requests.RequestException as error:
            return NoAnswer(_root_cause(error), was_sent=body is None or body.was_sent)
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

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise AkkioUntrustedAddress(
            f"The session of connection {self._account.connection!r} carries its API key, and so reaches "
            f"{self._account.site.origin} alone, not {request.url!r}."
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


def open_session(account: Account) -> requests.Session:
    """Return a session that sends the account's key, to the account's origin alone and never along a redirect.

    :param account: whose key.
    :raises AkkioConnectionError: if the certificates that it trusts cannot be read.
    """
    session = _Session()
    session.verify = account.verify
    if not trusted(account):
        _keep_urllib3_from_repeating_it(account.site.origin)
    session.headers.update(request_headers(account))
    for prefix in list(session.adapters):
        session.mount(prefix, _NoOtherOrigin(account))
    session.mount(f"{account.site.origin}/", HTTPAdapter())
    return session


def _keep_urllib3_from_repeating_it(origin: str) -> None:
    """Ignore the warning that urllib3 would print at each request, with the name of the proxy if there is one."""
    for address in filter(None, (origin, select_proxy(origin, get_environ_proxies(origin)))):
        host = (parse_url(address).host or "").strip("[]")
        warnings.filterwarnings("ignore", f".* host '{re.escape(host)}'", InsecureRequestWarning)


def _read(response: requests.Response) -> Answer:
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
    return Answer(response.status_code, bytes(body), response.headers.get("Retry-After"), defect)


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason; the outer ones repeat it in the words of each library that it came through."""
    while (inner := error.__cause__ or error.__context__ or getattr(error, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}"
