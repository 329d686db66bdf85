"""The API key is in no error, log record, event, value or ``repr``, even if Akkio or another server repeats it."""

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
from tests.scripted import Responder, ScriptedAkkio, accepted, status

CONNECTION = "akkio_default"
REQUEST = TrainRequest(dataset_id="D1", force=True)

FindKey = Callable[..., list[str]]

every_failure = pytest.mark.parametrize("response", echoes.FAILURES.values(), ids=echoes.FAILURES.keys())


@pytest.fixture
def keys(akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The key of the connection ``akkio_default``, whose host is the scripted Akkio."""
    keys = Keys([CONNECTION])
    for name, value in akkio_connection(akkio.url, keys[CONNECTION]).items():
        monkeypatch.setenv(name, value)
    return keys


@pytest.fixture
def config(keys: Keys, akkio: ScriptedAkkio) -> ClientConfig:
    return ClientConfig(CONNECTION, BaseUrl(akkio.url), keys[CONNECTION])


@pytest.fixture
def find_key(keys: Keys, caplog: pytest.LogCaptureFixture) -> FindKey:
    """Return the excerpts with the key from values, and from everything that was logged so far."""
    caplog.set_level(logging.DEBUG)

    def find(*values: Any) -> list[str]:
        text = "\n".join([caplog.text, *(form for value in values for form in _text_forms(value))])
        return [found.excerpt for found in keys.finds("", text.encode())]

    return find


def _text_forms(value: Any) -> Iterator[str]:
    yield str(value)
    yield repr(value)
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(value))
        yield from _text_forms(value.__cause__ or value.__context__)


def error_of(call: Callable[[], object]) -> AkkioError:
    with pytest.raises(AkkioError) as caught:
        call()
    return caught.value


def new_trigger() -> AkkioTrainTrigger:
    now = time.time()
    return AkkioTrainTrigger(
        akkio_task_id="T1", submitted_at=now, deadline=now + 0.2, poll_interval=0.1, akkio_conn_id=CONNECTION
    )


def run_trigger(trigger: AkkioTrainTrigger) -> list[Any]:
    """Run a trigger, and return the payloads of its events."""

    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


@every_failure
@pytest.mark.parametrize(
    ("endpoint", "call"),
    [
        ("new", lambda: AkkioHook().submit_training(REQUEST)),
        ("result", lambda: AkkioHook().get_training_result("T1", deadline=time.time())),
    ],
    ids=["submission", "result"],
)
def test_error_does_not_contain_the_key(
    akkio: ScriptedAkkio, find_key: FindKey, endpoint: str, call: Callable[[], object], response: Responder
) -> None:
    akkio.script(endpoint, response)
    assert find_key(error_of(call)) == []


def test_redirect_error_does_not_contain_the_key(akkio: ScriptedAkkio, find_key: FindKey) -> None:
    akkio.script("new", echoes.REDIRECT)
    assert find_key(error_of(lambda: AkkioHook().submit_training(REQUEST))) == []


@pytest.mark.parametrize(
    "response",
    [*echoes.FAILURES.values(), *echoes.STATES.values()],
    ids=[*echoes.FAILURES, *echoes.STATES],
)
def test_trigger_event_does_not_contain_the_key(akkio: ScriptedAkkio, find_key: FindKey, response: Responder) -> None:
    akkio.script("status", response)
    [event] = run_trigger(new_trigger())
    assert akkio.requests_to("status")
    assert find_key(event) == []


@every_failure
def test_connection_test_does_not_show_the_key(akkio: ScriptedAkkio, find_key: FindKey, response: Responder) -> None:
    akkio.script("status", response)
    assert find_key(AkkioHook().test_connection()) == []


@pytest.mark.parametrize("is_blocking", [True, False])
def test_returned_value_does_not_contain_the_key(akkio: ScriptedAkkio, find_key: FindKey, is_blocking: bool) -> None:
    akkio.script("new", echoes.TASK_ID)
    akkio.script("result", echoes.MODEL)
    hook = AkkioHook()
    if is_blocking:
        values = hook.submit_training(REQUEST), hook.get_training_result("T1")
    else:
        values = asyncio.run(hook.asubmit_training(REQUEST)), asyncio.run(hook.aget_training_result("T1"))
    assert find_key(*values) == []


def test_search_includes_the_log_records_of_urllib3(
    akkio: ScriptedAkkio, find_key: FindKey, caplog: pytest.LogCaptureFixture
) -> None:
    akkio.script("new", accepted("T1"))
    training = AkkioHook().submit_training(REQUEST)
    assert '"POST /api/v1/models/train/new HTTP/1.1" 201' in caplog.text
    assert find_key(training) == []


@pytest.mark.parametrize(
    "create",
    [
        lambda config: config,
        BlockingClient,
        AsynchronousClient,
        open_session,
        lambda config: BlockingClient(config).api,
        lambda _: AkkioHook(),
        request_headers,
        lambda config: open_session(config).headers,
    ],
    ids=["config", "blocking client", "asynchronous client", "session", "api", "hook", "headers", "session headers"],
)
def test_repr_of_objects_with_the_key_does_not_show_it(
    config: ClientConfig, find_key: FindKey, create: Callable[[ClientConfig], Any]
) -> None:
    assert find_key(create(config)) == []


def test_serialized_trigger_does_not_contain_the_key(akkio: ScriptedAkkio, keys: Keys) -> None:
    akkio.script("status", status("SUCCEEDED"))
    trigger = new_trigger()
    events = run_trigger(trigger)
    assert [event["outcome"] for event in events] == ["succeeded"]
    assert not list(keys.finds("", pickle.dumps((trigger.serialize(), vars(trigger), events))))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda key: quote(key, safe=""),
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "Python": repr,
    "HTML": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 with a name": lambda key: base64.b64encode(f"name:{key}".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"X-API-Key: {key}".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "first half": lambda key: key[:20],
    "second half": lambda key: key[20:],
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_key_search_finds_every_encoding(encode: Callable[[str], str]) -> None:
    keys = Keys(["first", "second"])
    text = f"first line\nhere: {encode(keys['second'])}.\n"
    assert [found.owner for found in keys.finds("a text", text.encode())] == ["second"]
    assert not list(Keys(["first", "second"]).finds("a text", text.encode()))
