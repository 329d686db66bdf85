"""The trigger on a real event loop, against a scripted Akkio on a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.exceptions import AkkioError, AkkioTrainingFailedError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.triggers import akkio
from airflow_provider_akkio.triggers.akkio import (
    AkkioChatExploreTrigger,
    AkkioTaskEvent,
    AkkioTaskTrigger,
    AkkioTrainTrigger,
    WaitOutcome,
)
from tests.conftest import Logged
from tests.scripted import Reply, ScriptedAkkio, status
from tests.triggers.conftest import events_of

DEFERRAL_TIMEOUT = 700.0
MAX_SECONDS = 300.0
"""Limit of a wait of one second on a busy machine; a trigger that is misled by a clock waits for 600 seconds."""


def trigger(trigger_class: type[AkkioTaskTrigger] = AkkioTrainTrigger, **arguments: Any) -> AkkioTaskTrigger:
    now = time.time()
    defaults = {"akkio_task_id": "T1", "submitted_at": now, "deadline": now + 600, "akkio_conn_id": "akkio_default"}
    return trigger_class(**{**defaults, "poll_interval": 0.05, **arguments})


def event_of(outcome: WaitOutcome, **fields: Any) -> AkkioTaskEvent:
    return AkkioTaskEvent(akkio_task_id="T1", outcome=outcome, submitted_at=1.0, deadline=2.0, **fields)


def test_trigger_fires_one_event_with_the_location_of_the_result(connected: ScriptedAkkio) -> None:
    connected.script("status", status("PENDING"), status("SUCCEEDED", location="/x/result"))
    waiting = trigger(submitted_at=5.0, deadline=time.time() + 600, duration=10, try_number=2)
    assert events_of(waiting) == [
        AkkioTaskEvent(
            akkio_task_id="T1",
            outcome=WaitOutcome.SUCCEEDED,
            submitted_at=5.0,
            deadline=waiting.deadline,
            duration=10,
            location="/x/result",
            try_number=2,
        )
    ]


def test_trigger_does_not_fetch_the_result(connected: ScriptedAkkio) -> None:
    connected.script("status", status("SUCCEEDED"))
    events_of(trigger())
    assert connected.requests_to("result") == []


def test_trigger_continues_after_a_temporary_failure_to_read_the_connection(
    connected: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setattr(akkio, "RETRY_DELAYS", (0.01, 0.01))
    read, failures = (
        AkkioHook.aget_client_config,
        iter([AirflowNotFoundException("no connection"), OSError("no vault")]),
    )

    async def read_at_the_third_attempt(hook: AkkioHook) -> ClientConfig:
        for failure in failures:
            raise failure
        return await read(hook)

    monkeypatch.setattr(AkkioHook, "aget_client_config", read_at_the_third_attempt)
    connected.script("status", status("SUCCEEDED"))
    assert [event.outcome for event in events_of(trigger())] == [WaitOutcome.SUCCEEDED]
    assert "OSError: no vault" in logged()


@pytest.mark.parametrize("limits", [{}, {"deadline": 0.0}, {"execution_deadline": 5.0}])
def test_trigger_reports_an_unexpected_error_with_the_id_of_the_training(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]
) -> None:
    monkeypatch.setattr(akkio, "RETRY_DELAYS", (100.0,) if limits else (0.01,))
    [event] = events_of(trigger(akkio_conn_id="no_such_connection", **limits))
    assert event.outcome is WaitOutcome.FAILED
    assert "AirflowNotFoundException" in event.message
    assert "AkkioTrainSensor(akkio_task_id='T1')" in event.message


def test_trigger_reports_an_error_with_its_class_and_message(connected: ScriptedAkkio) -> None:
    connected.script("status", status("FAILED", error="too few rows"))
    [event] = events_of(trigger())
    assert event.outcome is WaitOutcome.FAILED
    error = event.to_exception()
    assert isinstance(error, AkkioTrainingFailedError)
    assert "T1" in str(error)
    assert "too few rows" in str(error)


@pytest.mark.parametrize("code", [500, 502, 503])
def test_trigger_keeps_polling_after_5xx(connected: ScriptedAkkio, code: int) -> None:
    connected.script("status", Reply(code, headers={"Retry-After": "0"}), status("SUCCEEDED"))
    assert [event.outcome for event in events_of(trigger())] == [WaitOutcome.SUCCEEDED]


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        ({"deadline": 0.3}, WaitOutcome.FAILED),
        ({"deadline": 600.0, "execution_deadline": 0.3}, WaitOutcome.EXECUTION_TIMEOUT),
        ({"deadline": 0.3, "execution_deadline": 600.0}, WaitOutcome.FAILED),
    ],
)
def test_trigger_stops_at_the_first_deadline(
    connected: ScriptedAkkio, limits: dict[str, float], outcome: WaitOutcome
) -> None:
    connected.script("status", status("IN_PROGRESS"))
    [event] = events_of(trigger(**{name: time.time() + seconds for name, seconds in limits.items()}))
    assert event.outcome is outcome
    assert "IN_PROGRESS" in event.message


def deferred_by(worker_is_ahead_by: float, *, ago: float = 0.0, timeout: float, **arguments: Any) -> AkkioTaskTrigger:
    """Return a trigger in a triggerer that a worker with another clock deferred some seconds ago."""
    deferred_at = time.time() - ago
    worker_now = deferred_at + worker_is_ahead_by
    deferred = trigger(
        submitted_at=worker_now,
        deferred_at=worker_now,
        deadline=worker_now + timeout,
        deferral_timeout=DEFERRAL_TIMEOUT,
        **arguments,
    )
    deferred.trigger_id = 1
    deferred.timeout_after = datetime.fromtimestamp(deferred_at + DEFERRAL_TIMEOUT, tz=UTC)  # type: ignore[attr-defined] # set by the triggerer
    return deferred


different_clocks = pytest.mark.parametrize(
    "worker_is_ahead_by", [-600.0, 0.0, 600.0], ids=["worker's clock behind", "same clock", "worker's clock ahead"]
)


@different_clocks
def test_trigger_waits_until_its_timeout_with_any_clock_of_the_worker(
    connected: ScriptedAkkio, worker_is_ahead_by: float
) -> None:
    connected.script("status", status("IN_PROGRESS"))
    waiting = deferred_by(worker_is_ahead_by, timeout=1.0)
    started_at = time.monotonic()
    [event] = events_of(waiting)
    assert 0.9 < time.monotonic() - started_at < MAX_SECONDS
    assert event.outcome is WaitOutcome.FAILED
    assert "did not end within 1 s" in event.message
    assert (event.submitted_at, event.deadline) == (waiting.submitted_at, waiting.deadline)


@different_clocks
def test_trigger_respects_the_execution_timeout_with_any_clock_of_the_worker(
    connected: ScriptedAkkio, worker_is_ahead_by: float
) -> None:
    connected.script("status", status("IN_PROGRESS"))
    waiting = deferred_by(worker_is_ahead_by, timeout=600.0)
    waiting.execution_deadline = waiting.deferred_at + 1.0
    started_at = time.monotonic()
    [event] = events_of(waiting)
    assert 0.9 < time.monotonic() - started_at < MAX_SECONDS
    assert event.outcome is WaitOutcome.EXECUTION_TIMEOUT


@different_clocks
def test_trigger_does_not_wait_longer_after_a_restart_of_the_triggerer(
    connected: ScriptedAkkio, worker_is_ahead_by: float
) -> None:
    connected.script("status", status("IN_PROGRESS"))
    [event] = events_of(deferred_by(worker_is_ahead_by, ago=20.0, timeout=10.0))
    assert event.outcome is WaitOutcome.FAILED
    assert len(connected.received) == 1


@different_clocks
def test_trigger_of_any_clock_does_not_resume_too_early(connected: ScriptedAkkio, worker_is_ahead_by: float) -> None:
    connected.script("status", status("SUCCEEDED"))
    started_at = time.monotonic()
    events_of(deferred_by(worker_is_ahead_by, timeout=600.0, resume_in=1.0))
    assert 0.9 < time.monotonic() - started_at < MAX_SECONDS


@pytest.mark.parametrize("clock_difference", [0.0, 600.0], ids=["same clock", "worker's clock ahead"])
def test_trigger_fires_after_resume_in_in_a_triggerer(connected: ScriptedAkkio, clock_difference: float) -> None:
    connected.script("status", status("SUCCEEDED"))
    waiting = trigger(deferred_at=time.time() + clock_difference, resume_in=1.0)
    waiting.trigger_id = 1
    started_at = time.monotonic()
    events_of(waiting)
    assert 0.9 < time.monotonic() - started_at < MAX_SECONDS


def test_trigger_of_a_finished_training_fires_after_resume_in_without_a_poll(connected: ScriptedAkkio) -> None:
    resume_at = time.time() + 0.5
    [event] = events_of(trigger(succeeded=True, location="/x/result", deferred_at=time.time(), resume_in=0.5))
    assert (event.outcome, event.location) == (WaitOutcome.SUCCEEDED, "/x/result")
    assert time.time() >= resume_at
    assert connected.received == []


def test_trigger_serializes_all_arguments_and_no_key(connected: ScriptedAkkio) -> None:
    path, arguments = trigger(
        execution_deadline=5.0, deferred_at=2.0, resume_in=3.0, deferral_timeout=4.0, push_status=True, succeeded=True
    ).serialize()
    assert path == "airflow_provider_akkio.triggers.akkio.AkkioTrainTrigger"
    assert "the-key" not in json.dumps(arguments)
    assert AkkioTrainTrigger(**arguments).serialize() == (path, arguments)


def test_chat_trigger_polls_the_chat_after_its_serialization(connected: ScriptedAkkio) -> None:
    connected.script("T1", status("SUCCEEDED", location="/chat-explore/chats/C1"))
    path, arguments = trigger(AkkioChatExploreTrigger).serialize()
    assert path == "airflow_provider_akkio.triggers.akkio.AkkioChatExploreTrigger"
    [event] = events_of(AkkioChatExploreTrigger(**arguments))
    assert (event.outcome, event.location) == (WaitOutcome.SUCCEEDED, "/chat-explore/chats/C1")
    assert [request.path for request in connected.received] == ["/api/v1/chat-explore/status/T1"]


def test_chat_trigger_reports_the_execution_timeout(connected: ScriptedAkkio) -> None:
    connected.script("T1", status("IN_PROGRESS"))
    [event] = events_of(trigger(AkkioChatExploreTrigger, execution_deadline=time.time() + 0.3))
    assert event.outcome is WaitOutcome.EXECUTION_TIMEOUT
    assert "Chat T1 did not end" in event.message


def test_killed_trigger_logs_that_the_training_continues(logged: Logged) -> None:
    asyncio.run(trigger().on_kill())
    assert "AkkioTrainSensor(akkio_task_id='T1')" in logged()


@pytest.mark.parametrize(
    "payload", [None, {}, "done", {"akkio_task_id": "T1", "outcome": "perhaps"}, {"model_id": "M1"}]
)
def test_unknown_event_raises(payload: Any) -> None:
    with pytest.raises(AkkioError, match="Unknown trigger event"):
        AkkioTaskEvent.from_payload(payload)


def test_event_with_unknown_keys_is_accepted() -> None:
    event = event_of(WaitOutcome.SUCCEEDED, location="/x")
    assert AkkioTaskEvent.from_payload(event.to_payload() | {"seconds": 7}) == event


@pytest.mark.parametrize("name", ["NoSuchError", "annotations", "AirflowException", ""])
def test_event_with_unknown_error_class_becomes_akkio_error(name: str) -> None:
    event = event_of(WaitOutcome.FAILED, error=name, message="why")
    assert type(event.to_exception()) is AkkioError
