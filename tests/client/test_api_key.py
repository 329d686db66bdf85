"""The API key is in the header, in the query or the body of v1 requests, and in no log or error."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.http import Method, Request, authenticate
from airflow_provider_akkio.api.requester import parse_response
from airflow_provider_akkio.exceptions import AkkioError
from tests.client.driving import Send, client_config, v1_request
from tests.end_to_end import echoes
from tests.end_to_end.keys import Keys
from tests.scripted import Reply, Responder, ScriptedAkkio, cut_short, reset, silence

KEY = "a+key/with=all&of%it"

every_method = pytest.mark.parametrize("method", list(Method))


@every_method
def test_v1_request_has_the_key_next_to_its_parameters(send: Send, akkio: ScriptedAkkio, method: Method) -> None:
    akkio.script("models", Reply())
    send(client_config(akkio.url, api_key=KEY), v1_request(method, akkio.url))
    [received] = akkio.received
    query = parse_qs(urlsplit(received.path).query)
    if method is Method.GET:
        assert (query, received.body) == ({"id": ["M1"], "api_key": [KEY]}, None)
    else:
        assert (query, received.body) == ({}, {"id": "M1", "api_key": KEY})


@every_method
def test_v2_request_has_the_key_only_in_its_header(send: Send, akkio: ScriptedAkkio, method: Method) -> None:
    akkio.script("models", Reply())
    send(client_config(akkio.url, api_key=KEY), replace(v1_request(method, akkio.url), api_version=ApiVersion.V2))
    [received] = akkio.received
    assert received.headers["X-API-Key"] == KEY
    assert "api_key" not in f"{received.path} {received.body}"


def test_v1_request_without_parameters_has_the_key_in_its_query() -> None:
    request = Request(Method.GET, "https://api.akkio.com/v1/models", api_version=ApiVersion.V1)
    sent = authenticate(request, client_config("https://api.akkio.com", api_key=KEY))
    assert sent.url == "https://api.akkio.com/v1/models?api_key=a%2Bkey%2Fwith%3Dall%26of%25it"


@every_method
@pytest.mark.parametrize("api_version", list(ApiVersion))
def test_repr_of_a_request_does_not_show_the_key(method: Method, api_version: ApiVersion) -> None:
    request = Request(method, "https://api.akkio.com/v1/models?id=M1", {"id": "M1"}, api_version=api_version)
    sent = authenticate(request, client_config("https://api.akkio.com", api_key="the-key"))
    assert "the-key" not in repr(sent)


def test_key_is_not_sent_to_a_proxy(send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", akkio.url)
    akkio.script("akkio.invalid:443", Reply(403))
    send(client_config("https://akkio.invalid", api_key=KEY), v1_request(Method.POST, "https://akkio.invalid"))
    [received] = akkio.received
    assert received.method == "CONNECT"
    assert KEY not in str(received)


BEHAVIOURS: dict[str, Responder | None] = {
    **echoes.FAILURES,
    "redirect": echoes.REDIRECT,
    "reset": reset,
    "incomplete body": cut_short,
    "silence": silence,
    "refused connection": None,
}


@pytest.fixture
def keys() -> Keys:
    return Keys(["akkio_default"])


@pytest.fixture
def find_key(keys: Keys, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Find the key in outcomes, in errors with their tracebacks, and in everything that was logged."""
    caplog.set_level(logging.DEBUG)

    def find(*outcomes: object) -> list[str]:
        texts = [caplog.text, *(str(record.__dict__) for record in caplog.records)]
        for outcome in outcomes:
            texts.append(repr(outcome))
            if isinstance(outcome, BaseException):
                texts.append("".join(traceback.format_exception(outcome)))
        return [found.excerpt for found in keys.finds("", "\n".join(texts).encode())]

    return find


@pytest.fixture
def outcome_of(send: Send, akkio: ScriptedAkkio, keys: Keys) -> Callable[[Method, Responder | None], object]:
    """Send a v1 request to a server with this behaviour, and return its parsed response or its error."""

    def outcome(method: Method, behaviour: Responder | None) -> object:
        timeout = 0.5 if behaviour is silence else 60.0
        config = client_config(akkio.url, api_key=keys["akkio_default"], timeout=timeout)
        if behaviour is None:
            akkio.refuse()
        else:
            akkio.script("models", behaviour)
        reply = send(config, v1_request(method, akkio.url))
        if behaviour is None:
            akkio.listen_again()
        assert bool(akkio.received) == (behaviour is not None)
        try:
            return parse_response(config, "Model 'M1'", reply, time.time())
        except AkkioError as error:
            return error

    return outcome


@pytest.mark.parametrize("method", [Method.GET, Method.POST])
@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
def test_no_outcome_or_log_contains_the_key(
    outcome_of: Callable[[Method, Responder | None], object],
    find_key: Callable[..., list[str]],
    method: Method,
    behaviour: Responder | None,
) -> None:
    assert find_key(outcome_of(method, behaviour)) == []
