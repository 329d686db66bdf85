"""The key of an older call stands in its query or its body, and in no log."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.location import Site
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient
from airflow_provider_akkio.exceptions import AkkioError
from tests.scripted import Received, Reply, ScriptedAkkio, reset

KEY = "a+key/with=all&of%it"
DONE = Reply(body={"status": "success", "datasets": [], "rows": 1, "name": "n"})


def account(akkio: ScriptedAkkio) -> Account:
    return Account("akkio_default", Site(akkio.url), KEY, requests_per_second=1000)


def by_blocking_client(akkio: ScriptedAkkio) -> None:
    with BlockingClient(account(akkio)) as client:
        datasets = client.protocol.datasets
        client.run(datasets.get("D1"))
        client.run(datasets.append("D1", [{"a": 1}], already=0))
        client.run(datasets.delete("D1"))


def by_asynchronous_client(akkio: ScriptedAkkio) -> None:
    async def talk() -> None:
        async with AsynchronousClient(account(akkio)) as client:
            datasets = client.protocol.datasets
            await client.run(datasets.get("D1"))
            await client.run(datasets.append("D1", [{"a": 1}], already=0))
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
    with BlockingClient(account(akkio)) as client, pytest.raises(AkkioError) as caught:
        client.run(client.protocol.datasets._ask(client.protocol.datasets._get("D1"), "Dataset", lambda _: None))
    assert KEY not in repr(caught.value)
    assert "a%2Bkey" not in str(caught.value)
