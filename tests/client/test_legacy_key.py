"""The key of an older call stands in its query or its body, and in no log."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_akkio.api.config import ApiVersion, BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import Method, Request, authenticate
from airflow_provider_akkio.api.requester import parse_response
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient
from airflow_provider_akkio.exceptions import AkkioError
from tests.client.driving import Exchange
from tests.end_to_end import echoes
from tests.end_to_end.keys import Keys
from tests.scripted import Answering, Received, Reply, ScriptedAkkio, cut_short, reset, silence

KEY = "a+key/with=all&of%it"
DONE = Reply(body={"status": "success", "datasets": [], "rows": 1, "name": "n"})


def client_config(akkio: ScriptedAkkio) -> ClientConfig:
    return ClientConfig("akkio_default", BaseUrl(akkio.url), KEY, requests_per_second=1000)


def by_blocking_client(akkio: ScriptedAkkio) -> None:
    with BlockingClient(client_config(akkio)) as client:
        datasets = client.api.datasets
        client.run(datasets.get("D1"))
        client.run(datasets.append("D1", [{"a": 1}], rows_before=0))
        client.run(datasets.delete("D1"))


def by_asynchronous_client(akkio: ScriptedAkkio) -> None:
    async def talk() -> None:
        async with AsynchronousClient(client_config(akkio)) as client:
            datasets = client.api.datasets
            await client.run(datasets.get("D1"))
            await client.run(datasets.append("D1", [{"a": 1}], rows_before=0))
            await client.run(datasets.delete("D1"))

    asyncio.run(talk())


def given(request: Received) -> object:
    [in_query] = parse_qs(urlsplit(request.path).query).get("api_key", [None])
    return in_query if request.method == "GET" else request.body["api_key"]


@pytest.mark.parametrize("talk", [by_blocking_client, by_asynchronous_client])
def test_the_key_is_where_akkio_looks_for_it_and_in_no_log(
    akkio: ScriptedAkkio, caplog: pytest.LogCaptureFixture, talk: object
) -> None:
    akkio.script("datasets", DONE)
    with caplog.at_level(logging.DEBUG):
        talk(akkio)  # type: ignore[operator]
    assert [request.method for request in akkio.received] == ["GET", "POST", "DELETE"]
    assert [given(request) for request in akkio.received] == [KEY] * 3
    assert KEY not in caplog.text
    assert "a%2Bkey" not in caplog.text


def test_the_log_of_urllib3_shows_that_a_key_was_there(akkio: ScriptedAkkio, caplog: pytest.LogCaptureFixture) -> None:
    akkio.script("datasets", DONE)
    with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
        by_blocking_client(akkio)
    assert "/v1/datasets?id=D1&api_key=***" in caplog.text


def test_an_error_does_not_show_the_address_with_the_key(akkio: ScriptedAkkio) -> None:
    akkio.script("datasets", reset)
    with BlockingClient(client_config(akkio)) as client, pytest.raises(AkkioError) as caught:
        client.run(client.api.datasets._ask(client.api.datasets._get("D1"), "Dataset", lambda _: None))
    assert KEY not in repr(caught.value)
    assert "a%2Bkey" not in str(caught.value)


def legacy(method: Method, url: str) -> Request:
    """Return a legacy request; a ``GET`` has its parameters in the query."""
    if method is Method.GET:
        return Request(method, f"{url}/v1/models?id=M1", api_version=ApiVersion.V1)
    return Request(method, f"{url}/v1/models", {"id": "M1"}, api_version=ApiVersion.V1)


@pytest.mark.parametrize("method", list(Method))
def test_the_key_is_beside_what_the_call_says(exchange: Exchange, akkio: ScriptedAkkio, method: Method) -> None:
    akkio.script("models", DONE)
    exchange(client_config(akkio), legacy(method, akkio.url))
    [received] = akkio.received
    query = parse_qs(urlsplit(received.path).query)
    if method is Method.GET:
        assert (query, received.body) == ({"id": ["M1"], "api_key": [KEY]}, None)
    else:
        assert (query, received.body) == ({}, {"id": "M1", "api_key": KEY})


@pytest.mark.parametrize("method", list(Method))
def test_a_call_of_today_has_the_key_in_its_header_alone(
    exchange: Exchange, akkio: ScriptedAkkio, method: Method
) -> None:
    akkio.script("models", DONE)
    exchange(client_config(akkio), replace(legacy(method, akkio.url), api_version=ApiVersion.V2))
    [received] = akkio.received
    assert received.headers["X-API-Key"] == KEY
    assert "api_key" not in f"{received.path} {received.body}"


def test_the_key_is_the_only_parameter_where_there_is_no_other() -> None:
    site = BaseUrl("https://api.akkio.com")
    request = Request(Method.GET, "https://api.akkio.com/v1/models", api_version=ApiVersion.V1)
    sent = authenticate(request, ClientConfig("akkio_default", site, KEY))
    assert sent.url == "https://api.akkio.com/v1/models?api_key=a%2Bkey%2Fwith%3Dall%26of%25it"
    assert request.url == "https://api.akkio.com/v1/models"


@pytest.fixture
def finds(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Finds a key in errors, with their tracebacks, and in all that was logged on the way to them."""
    caplog.set_level(logging.DEBUG)

    def search(keys: Keys, *errors: BaseException) -> list[str]:
        shown = [form for error in errors for form in (repr(error), "".join(traceback.format_exception(error)))]
        records = [f"{record.__dict__}" for record in caplog.records]
        return [find.excerpt for find in keys.finds("", "\n".join([caplog.text, *records, *shown]).encode())]

    return search


FAILURES: dict[str, Answering] = {
    **{
        where: answering
        for where, answering in echoes.FAILURES.items()
        if where != "in an object that lacks everything"
    },
    "in a redirect": echoes.REDIRECT,
    "in a reset connection": reset,
    "in half an answer": cut_short,
    "in no answer": silence,
}


@pytest.mark.parametrize("answering", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("method", [Method.GET, Method.POST])
def test_no_failure_tells_the_key(
    exchange: Exchange,
    akkio: ScriptedAkkio,
    finds: Callable[..., list[str]],
    method: Method,
    answering: Answering,
) -> None:
    keys = Keys(["akkio_default"])
    whose = replace(client_config(akkio), key=keys["akkio_default"], timeout=0.5 if answering is silence else 10.0)
    akkio.script("models", answering)
    reply = exchange(whose, legacy(method, akkio.url))
    assert akkio.received
    with pytest.raises(AkkioError) as caught:
        parse_response(whose, "Model 'M1'", reply, time.time())
    assert finds(keys, caught.value) == []


@pytest.mark.parametrize("method", list(Method))
def test_no_refused_connection_tells_the_key(
    exchange: Exchange, akkio: ScriptedAkkio, finds: Callable[..., list[str]], method: Method
) -> None:
    keys = Keys(["akkio_default"])
    whose = replace(client_config(akkio), key=keys["akkio_default"])
    akkio.refuse()
    reply = exchange(whose, legacy(method, akkio.url))
    akkio.listen_again()
    with pytest.raises(AkkioError, match="connection to") as caught:
        parse_response(whose, "Model 'M1'", reply, time.time())
    assert finds(keys, caught.value) == []
