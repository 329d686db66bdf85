"""The key stands in no error, log line, value or ``repr``, whatever Akkio says, or what answers in its place."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.api.http import request_headers
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient, open_session
from airflow_provider_akkio.exceptions import AkkioError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger
from dev.stack import akkio_connection
from tests.end_to_end import echoes
from tests.end_to_end.keys import Keys
from tests.scripted import Answering, ScriptedAkkio, accepted, result, status

REQUEST = TrainRequest(dataset_id="D1", force=True)

every_failure = pytest.mark.parametrize("answer", echoes.FAILURES.values(), ids=echoes.FAILURES.keys())


@pytest.fixture
def keys(akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The key of the connection ``akkio_default``, which leads to the scripted Akkio."""
    made = Keys(["akkio_default"])
    for name, value in akkio_connection(akkio.url, made["akkio_default"]).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def told(keys: Keys, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Finds the key in values, and in everything that was logged on the way to them."""
    caplog.set_level(logging.DEBUG)

    def search(*values: Any) -> list[str]:
        text = "\n".join([caplog.text, *(form for value in values for form in _forms(value))])
        return [find.excerpt for find in keys.finds("", text.encode())]

    return search


def _forms(value: Any) -> Iterator[str]:
    yield str(value)
    yield repr(value)
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(value))
        yield from _forms(value.__cause__ or value.__context__)


def failure_of(run: Callable[[], Any]) -> AkkioError:
    with pytest.raises(AkkioError) as caught:
        run()
    return caught.value


def waiting_trigger() -> AkkioTrainTrigger:
    now = time.time()
    return AkkioTrainTrigger(
        akkio_task_id="T1", submitted_at=now, deadline=now + 0.2, poll_interval=0.1, akkio_conn_id="akkio_default"
    )


def events_of(trigger: AkkioTrainTrigger) -> list[Any]:
    """Return what a trigger tells its task."""

    async def fired() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(fired())


@every_failure
def test_no_refused_submission_tells_the_key(
    akkio: ScriptedAkkio, told: Callable[..., list[str]], answer: Answering
) -> None:
    akkio.script("new", answer)
    assert told(failure_of(lambda: AkkioHook().submit_training(REQUEST))) == []


@every_failure
def test_no_failed_wait_tells_the_key(akkio: ScriptedAkkio, told: Callable[..., list[str]], answer: Answering) -> None:
    akkio.script("status", answer)
    akkio.script("result", answer)
    assert told(events_of(waiting_trigger())) == []


@every_failure
def test_no_connection_test_tells_the_key(
    akkio: ScriptedAkkio, told: Callable[..., list[str]], answer: Answering
) -> None:
    akkio.script("status", answer)
    assert told(AkkioHook().test_connection()) == []


@pytest.mark.parametrize("answer", echoes.STATES.values(), ids=echoes.STATES.keys())
def test_no_event_tells_the_key(akkio: ScriptedAkkio, told: Callable[..., list[str]], answer: Answering) -> None:
    akkio.script("status", answer)
    akkio.script("result", echoes.MODEL)
    assert told(events_of(waiting_trigger())) == []


@pytest.mark.parametrize("is_blocking", [True, False])
def test_no_value_tells_the_key(akkio: ScriptedAkkio, told: Callable[..., list[str]], is_blocking: bool) -> None:
    akkio.script("new", echoes.TASK_ID)
    akkio.script("result", echoes.MODEL)
    hook = AkkioHook()
    if is_blocking:
        values = hook.submit_training(REQUEST), hook.get_training_result("T1")
    else:
        values = asyncio.run(hook.asubmit_training(REQUEST)), asyncio.run(hook.aget_training_result("T1"))
    assert told(*values) == []


def test_no_redirect_tells_the_key(akkio: ScriptedAkkio, told: Callable[..., list[str]]) -> None:
    akkio.script("new", echoes.REDIRECT)
    assert told(failure_of(lambda: AkkioHook().submit_training(REQUEST))) == []


def test_every_request_is_logged_where_it_is_searched_for(
    akkio: ScriptedAkkio, told: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    akkio.script("new", accepted("T1"))
    training = AkkioHook().submit_training(REQUEST)
    assert '"POST /api/v1/models/train/new HTTP/1.1" 201' in caplog.text
    assert told(training) == []


@pytest.fixture
def account(keys: Keys, akkio: ScriptedAkkio) -> ClientConfig:
    return ClientConfig("akkio_default", BaseUrl(akkio.url), keys["akkio_default"])


@pytest.mark.parametrize(
    "make",
    [
        lambda account: account,
        BlockingClient,
        AsynchronousClient,
        open_session,
        lambda account: BlockingClient(account).protocol,
        lambda _: AkkioHook(),
        request_headers,
        lambda account: open_session(account).headers,
    ],
    ids=["account", "blocking client", "asynchronous client", "session", "protocol", "hook", "headers", "session's"],
)
def test_nothing_that_holds_the_key_shows_it(
    account: ClientConfig, told: Callable[..., list[str]], make: Callable[[ClientConfig], Any]
) -> None:
    assert told(make(account)) == []


def test_a_trigger_is_stored_without_the_key(akkio: ScriptedAkkio, keys: Keys) -> None:
    akkio.script("status", status("SUCCEEDED"))
    akkio.script("result", result())
    trigger = waiting_trigger()
    events = events_of(trigger)
    assert [event["ending"] for event in events] == ["succeeded"]
    assert not list(keys.finds("", pickle.dumps((trigger.serialize(), vars(trigger), events))))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as a URL quotes it": lambda key: quote(key, safe=""),
    "as JSON": json.dumps,
    "as JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "as Python shows it": repr,
    "as HTML": html.escape,
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64 behind a name": lambda key: base64.b64encode(f"name:{key}".encode()).decode(),
    "in base64 for URLs": lambda key: base64.urlsafe_b64encode(f"X-API-Key: {key}".encode()).decode(),
    "in hexadecimal": lambda key: key.encode().hex(),
    "cut off": lambda key: key[:20],
    "without its beginning": lambda key: key[20:],
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_the_search_finds_a_key_in_every_spelling(spell: Callable[[str], str]) -> None:
    keys = Keys(["one", "another"])
    text = f"first line\nhere: {spell(keys['another'])}.\n"
    assert [find.owner for find in keys.finds("a text", text.encode())] == ["another"]
    assert not list(Keys(["one", "another"]).finds("a text", text.encode()))
