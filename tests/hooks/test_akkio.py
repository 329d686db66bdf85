"""The hook, over real sockets and Airflow's own connections."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_akkio.api.datasets import DatasetField
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskState, TrainingResult
from airflow_provider_akkio.api.v1 import NamedResource
from airflow_provider_akkio.exceptions import (
    AkkioConfigurationError,
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioTrainingFailedError,
    AkkioTrainingTimeoutError,
    AkkioUnauthorizedError,
    AkkioUnprocessableError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.sandbox import Sandbox
from tests.scripted import Reply, ScriptedAkkio, accepted, result, status

REQUEST = TrainRequest(dataset_id="D1", predict_fields="x")


class Blocking:
    """Calls the blocking methods."""

    def __init__(self) -> None:
        self._hook = AkkioHook()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)


class Asynchronous(Blocking):
    """Calls the asynchronous methods."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: asyncio.run(getattr(self._hook, f"a{name}")(*args, **kwargs))


@pytest.fixture(params=[Blocking, Asynchronous])
def hook(request: pytest.FixtureRequest) -> Any:
    return request.param()


def set_connection(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", json.dumps({"conn_type": "akkio", **fields}))


def test_submit_training_returns_the_accepted_training(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("new", accepted("T7"))
    training = hook.submit_training(REQUEST)
    assert training == AkkioTask("T7", training.submitted_at, REQUEST.duration)
    assert connected.received[0].body == REQUEST.to_json()


def test_get_training_status_returns_a_state(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("status", status("IN_PROGRESS", estimate_seconds=3))
    assert hook.get_training_status("T1") == AkkioTaskState("IN_PROGRESS", estimate_seconds=3.0)


def test_get_training_result_returns_a_result(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("result", result("M1", data_story=["so"]))
    assert hook.get_training_result("T1") == TrainingResult("M1", [], {}, ["so"])
    assert hook.get_training_result("T1", "/models/train/other/result").model_id == "M1"
    assert connected.received[-1].path == "/api/v1/models/train/other/result"


def test_poll_until_done_returns_the_final_state(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("new", accepted("T1"))
    connected.script("status", status("PENDING"), status("SUCCEEDED"))
    training = hook.submit_training(REQUEST)
    assert hook.poll_until_done(training, timeout=600, poll_interval=0.05) == AkkioTaskState("SUCCEEDED")


def test_poll_until_done_raises_for_a_failed_training(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("status", status("FAILED", error="too few rows"))
    with pytest.raises(AkkioTrainingFailedError, match="too few rows"):
        hook.poll_until_done(AkkioTask("T1", 0.0))


def test_poll_until_done_counts_its_timeout_from_the_submission(hook: Any, connected: ScriptedAkkio) -> None:
    connected.script("status", status("IN_PROGRESS"))
    training = AkkioTask("T1", time.time() - 100)
    with pytest.raises(AkkioTrainingTimeoutError, match=r"within 50 s.*IN_PROGRESS"):
        hook.poll_until_done(training, timeout=50)
    assert len(connected.received) == 1


def test_get_resumable_state_returns_none_for_a_failed_training(connected: ScriptedAkkio) -> None:
    hook = AkkioHook()
    connected.script("status", status("IN_PROGRESS"), status("FAILED"))
    training = AkkioTask("T1", time.time())
    assert hook.get_resumable_state(training) == AkkioTaskState("IN_PROGRESS")
    assert hook.get_resumable_state(training) is None


def test_empty_id_is_rejected_before_anything_is_sent(hook: Any, connected: ScriptedAkkio) -> None:
    with pytest.raises(AkkioParameterError):
        hook.get_training_status("")
    assert not connected.received


@pytest.mark.parametrize(
    "uri",
    [
        "akkio://:%20the-key%20@{host}:{port}/http",
        "akkio://http://:the-key@{host}:{port}",
        "akkio://:the-key@http%3A%2F%2F{host}%3A{port}",
        "akkio://:the-key@{host}:{port}/http?timeout=50",
    ],
)
def test_connection_can_be_a_uri(hook: Any, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    host, port = akkio.url.removeprefix("http://").split(":")
    monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", uri.format(host=host, port=port))
    akkio.script("status", status("PENDING"))
    hook.get_training_status("T1")
    assert akkio.received[0].headers["X-API-Key"] == "the-key"


def test_invalid_connection_fails_without_a_retry(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, password="  ")
    with pytest.raises(AkkioConfigurationError, match=r"'akkio_default'.*API key") as caught:
        hook.get_training_status("T1")
    assert isinstance(caught.value, AirflowFailException)


def test_get_conn_returns_an_authenticated_session(connected: ScriptedAkkio) -> None:
    connected.script("status", status("PENDING"))
    with AkkioHook().get_conn() as session:
        answer = session.get(f"{connected.url}/api/v1/models/train/T1/status", timeout=60)
    assert answer.json()["status"] == "PENDING"
    assert connected.received[0].headers["X-API-Key"] == "the-key"


class TestTestConnection:
    @pytest.mark.parametrize(
        ("reply", "works", "message"),
        [
            (Reply(404, {"detail": "Not Found"}), True, "Akkio is reachable and accepts the API key."),
            (status("PENDING"), True, "Akkio is reachable and accepts the API key."),
            (Reply(404, {"status": "missing or invalid API key"}), False, "Wrong API key."),
            (Reply(404, b"<html>another server"), False, "Akkio is unreachable."),
            (Reply(401), False, "Wrong API key."),
            (Reply(403), False, "The API key lacks permission."),
            (Reply(500), False, "Akkio is unreachable."),
            (Reply(200, b"<html>another server"), False, "Akkio is unreachable."),
            (Reply(302, headers={"Location": "/"}), False, ""),
        ],
    )
    def test_reports_the_reason(self, connected: ScriptedAkkio, reply: Reply, works: bool, message: str) -> None:
        connected.script("status", reply)
        connected.script("datasets", Reply(200, {"status": "success", "datasets": []}))
        tested, message_ = AkkioHook().test_connection()
        assert tested is works
        assert message_.startswith(message)

    def test_detects_another_server(self, connected: ScriptedAkkio) -> None:
        for endpoint in ("status", "datasets"):
            connected.script(endpoint, Reply(404, {"detail": "Not Found"}))
        tested, message = AkkioHook().test_connection()
        assert not tested
        assert "is another server. Check the host of connection 'akkio_default'" in message

    def test_sends_one_get_request(self, connected: ScriptedAkkio) -> None:
        connected.script("status", Reply(500))
        AkkioHook().test_connection()
        assert [received.method for received in connected.received] == ["GET"]

    def test_names_an_unreachable_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        set_connection(monkeypatch, password="the-key", host=f"http://127.0.0.1:{port}")
        tested, message = AkkioHook().test_connection()
        assert not tested
        assert message.startswith("Akkio is unreachable.")
        assert f"http://127.0.0.1:{port}" in message

    def test_reports_a_missing_connection(self) -> None:
        tested, message = AkkioHook("no_such_connection").test_connection()
        assert not tested
        assert "no_such_connection" in message

    def test_reports_an_invalid_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        set_connection(monkeypatch, password="the-key", host="two words")
        assert AkkioHook().test_connection()[0] is False


def test_hook_labels_the_connection_form() -> None:
    assert AkkioHook.get_ui_field_behaviour()["relabeling"]["password"] == "API key"


NUMBERS = [{"number": number, "parity": ("even", "odd")[number % 2], "name": f"n{number}"} for number in range(60)]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(key="the-key", forbidden_key="forbidden-key") as sandbox:
        yield sandbox


@pytest.fixture
def at_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AkkioHook:
    """A hook whose connection is the sandbox."""
    connect_to(sandbox, monkeypatch, "the-key")
    return AkkioHook()


def connect_to(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    set_connection(monkeypatch, host=sandbox.url, password=key, extra={"requests_per_second": 1000})


class TestDatasets:
    def test_dataset_is_created_filled_described_and_deleted(self, at_sandbox: AkkioHook) -> None:
        dataset_id = at_sandbox.create_dataset("numbers")
        assert NamedResource(dataset_id, "numbers") in at_sandbox.list_datasets()
        empty = at_sandbox.get_dataset(dataset_id)
        assert (empty.name, empty.rows, empty.fields) == ("numbers", 0, ())
        at_sandbox.append_rows(dataset_id, NUMBERS[:40])
        at_sandbox.append_rows(dataset_id, NUMBERS[40:])
        at_sandbox.append_rows(dataset_id, [])
        filled = at_sandbox.get_dataset(dataset_id)
        assert (filled.id, filled.rows) == (dataset_id, 60)
        assert at_sandbox.delete_dataset(dataset_id) is True
        assert at_sandbox.delete_dataset(dataset_id) is False
        assert dataset_id not in [resource.id for resource in at_sandbox.list_datasets()]

    def test_set_field_types_changes_only_the_given_fields(self, at_sandbox: AkkioHook) -> None:
        dataset_id = at_sandbox.create_dataset("typed")
        at_sandbox.append_rows(dataset_id, NUMBERS)
        at_sandbox.parse_fields(dataset_id)
        at_sandbox.set_field_types(dataset_id, {"number": "category"})
        assert at_sandbox.get_dataset(dataset_id).fields == (
            DatasetField("number", "category"),
            DatasetField("parity", "category"),
            DatasetField("name", "string"),
        )
        with pytest.raises(AkkioParameterError, match="type of field 'number'"):
            at_sandbox.set_field_types(dataset_id, {"number": "text"})

    def test_append_rows_sends_every_row(self, at_sandbox: AkkioHook, sandbox: Sandbox) -> None:
        dataset_id = at_sandbox.create_dataset("as given")
        at_sandbox.append_rows(dataset_id, [{"a": 'Zoë, "5"', "b": 1.5}, {"b": 2}, {"a": None, "b": True}])
        assert sandbox.datasets[dataset_id].fields == ("a", "b")
        assert sandbox.datasets[dataset_id].rows == (('Zoë, "5"', "1.5"), ("", "2"), ("", "True"))

    def test_rejected_rows_are_not_appended(self, at_sandbox: AkkioHook) -> None:
        dataset_id = at_sandbox.create_dataset("refused")
        at_sandbox.append_rows(dataset_id, NUMBERS)
        with pytest.raises(AkkioUnprocessableError, match=r"Adding rows 61 to 62 .*no field 'unknown'"):
            at_sandbox.append_rows(dataset_id, [NUMBERS[0], {"unknown": 1}])
        assert at_sandbox.get_dataset(dataset_id).rows == 60

    def test_unknown_dataset_raises_not_found(self, at_sandbox: AkkioHook) -> None:
        for call in (
            lambda: at_sandbox.get_dataset("gone?&"),
            lambda: at_sandbox.append_rows("gone", NUMBERS),
            lambda: at_sandbox.set_field_types("gone", {"number": "string"}),
        ):
            with pytest.raises(AkkioNotFoundError, match="'gone"):
                call()


class TestModels:
    def test_model_predicts_and_is_deleted(self, at_sandbox: AkkioHook) -> None:
        dataset_id = at_sandbox.create_dataset("coins")
        rows = [{"side": ("up", "down")[number % 2], "won": ("yes", "no")[number % 2]} for number in range(60)]
        at_sandbox.append_rows(dataset_id, rows)
        training = at_sandbox.submit_training(TrainRequest(dataset_id=dataset_id, predict_fields="won"))
        at_sandbox.poll_until_done(training, timeout=600, poll_interval=0.05)
        model_id = at_sandbox.get_training_result(training.akkio_task_id).model_id
        assert NamedResource(model_id, "coins: won") in at_sandbox.list_models()

        said = at_sandbox.predict(model_id, [{"side": "down"}, {"side": "up"}, {"side": None}])
        assert [one["won"] for one in said[:2]] == ["no", "yes"]
        assert all(sum(value for name, value in one.items() if name != "won") == pytest.approx(1) for one in said)
        assert at_sandbox.predict(model_id, []) == []
        [explained] = at_sandbox.predict(model_id, [{"side": "up"}], explain=True)
        assert explained.keys() - said[0].keys() == {"explanation"}

        assert at_sandbox.delete_model(model_id) is True
        assert at_sandbox.delete_model(model_id) is False
        assert model_id not in [resource.id for resource in at_sandbox.list_models()]
        with pytest.raises(AkkioNotFoundError, match=model_id):
            at_sandbox.predict(model_id, rows)


EACH_CALL: dict[str, Any] = {
    "list_datasets": lambda hook, _: hook.list_datasets(),
    "get_dataset": lambda hook, identifier: hook.get_dataset(identifier),
    "create_dataset": lambda hook, identifier: hook.create_dataset(identifier),
    "append_rows": lambda hook, identifier: hook.append_rows(identifier, NUMBERS),
    "set_field_types": lambda hook, identifier: hook.set_field_types(identifier, {"number": "string"}),
    "delete_dataset": lambda hook, identifier: hook.delete_dataset(identifier),
    "list_models": lambda hook, _: hook.list_models(),
    "predict": lambda hook, identifier: hook.predict(identifier, NUMBERS),
    "delete_model": lambda hook, identifier: hook.delete_model(identifier),
}


@pytest.mark.parametrize("call", EACH_CALL.values(), ids=EACH_CALL.keys())
@pytest.mark.parametrize(
    ("key", "error"), [("wrong-key", AkkioUnauthorizedError), ("forbidden-key", AkkioForbiddenError)]
)
def test_invalid_key_raises(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, call: Any, key: str, error: type[Exception]
) -> None:
    connect_to(sandbox, monkeypatch, key)
    with pytest.raises(error, match="connection 'akkio_default'"):
        call(AkkioHook(), "wine")


@pytest.mark.parametrize("call", [call for name, call in EACH_CALL.items() if not name.startswith("list")])
@pytest.mark.parametrize("identifier", ["", "a\nb"])
def test_invalid_id_is_rejected_before_anything_is_sent(connected: ScriptedAkkio, call: Any, identifier: str) -> None:
    with pytest.raises(AkkioParameterError):
        call(AkkioHook(), identifier)
    assert not connected.received
