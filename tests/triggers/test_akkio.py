"""The trigger on a real event loop, against an Akkio on a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioError, AkkioTrainingFailedError
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger, TrainingEvent, WaitOutcome
from tests.conftest import Logged
from tests.scripted import Reply, ScriptedAkkio, result, status


def trigger(**arguments: Any) -> AkkioTrainTrigger:
    now = time.time()
    given = {"akkio_task_id": "T1", "submitted_at": now, "deadline": now + 60, "akkio_conn_id": "akkio_default"}
    return AkkioTrainTrigger(**{**given, "poll_interval": 0.05, **arguments})


def events(trigger: AkkioTrainTrigger) -> list[TrainingEvent]:
    async def collect() -> list[TrainingEvent]:
        return [TrainingEvent.from_payload(event.payload) async for event in trigger.run()]

    return asyncio.run(collect())


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio that has a result."""
    connected.script("result", result())
    return connected


def test_it_fires_one_event_with_the_place_of_the_result(trained: ScriptedAkkio) -> None:
    trained.script("status", status("PENDING"), status("SUCCEEDED", location="/x/result"))
    assert events(trigger()) == [TrainingEvent(akkio_task_id="T1", ending=WaitOutcome.SUCCEEDED, location="/x/result")]


def test_it_waits_until_the_result_can_be_had(connected: ScriptedAkkio) -> None:
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", Reply(502), result())
    assert [event.ending for event in events(trigger())] == [WaitOutcome.SUCCEEDED]
    assert len(connected.asked("result")) == 2


def test_whatever_breaks_it_reaches_the_task_with_the_trainings_id() -> None:
    [event] = events(trigger(akkio_conn_id="no_such_connection"))
    assert event.ending is WaitOutcome.FAILED
    assert "AirflowNotFoundException" in event.message
    assert "AkkioTrainSensor(akkio_task_id='T1')" in event.message


def test_a_failure_travels_with_its_class_and_its_words(connected: ScriptedAkkio) -> None:
    connected.script("status", status("FAILED", error="too few rows"))
    [event] = events(trigger())
    assert event.ending is WaitOutcome.FAILED
    error = event.as_exception()
    assert isinstance(error, AkkioTrainingFailedError)
    assert str(error) == "Akkio ended training T1 with FAILED: too few rows"


def test_an_outage_does_not_end_the_wait(trained: ScriptedAkkio) -> None:
    trained.script("status", Reply(503, headers={"Retry-After": "0"}), status("SUCCEEDED"))
    assert [event.ending for event in events(trigger())] == [WaitOutcome.SUCCEEDED]


@pytest.mark.parametrize(
    ("limits", "ending"),
    [
        ({"deadline": 0.3}, WaitOutcome.FAILED),
        ({"deadline": 60.0, "execution_deadline": 0.3}, WaitOutcome.OUT_OF_EXECUTION_TIME),
        ({"deadline": 0.3, "execution_deadline": 60.0}, WaitOutcome.FAILED),
    ],
)
def test_whichever_limit_comes_first_ends_it(
    connected: ScriptedAkkio, limits: dict[str, float], ending: WaitOutcome
) -> None:
    connected.script("status", status("IN_PROGRESS"))
    [event] = events(trigger(**{name: time.time() + seconds for name, seconds in limits.items()}))
    assert event.ending is ending
    assert "its last status is IN_PROGRESS" in event.message


def test_a_triggerer_resumes_no_task_before_airflow_knows_that_it_was_deferred(trained: ScriptedAkkio) -> None:
    trained.script("status", status("SUCCEEDED"))
    resume_at = time.time() + 1
    in_triggerer = trigger(resume_at=resume_at)
    in_triggerer.trigger_id = 1
    events(in_triggerer)
    assert time.time() >= resume_at


def test_it_is_serialized_whole_and_without_the_key(connected: ScriptedAkkio) -> None:
    path, arguments = trigger(execution_deadline=5.0, resume_at=3.0).serialize()
    assert path == "airflow_provider_akkio.triggers.akkio.AkkioTrainTrigger"
    assert "the-key" not in json.dumps(arguments)
    assert AkkioTrainTrigger(**arguments).serialize() == (path, arguments)


def test_a_killed_task_is_told_that_the_training_goes_on(logged: Logged) -> None:
    asyncio.run(trigger().on_kill())
    said = logged()
    assert "Training T1 may still be running at Akkio" in said
    assert "AkkioTrainSensor(akkio_task_id='T1')" in said


@pytest.mark.parametrize(
    "payload", [None, {}, "done", {"akkio_task_id": "T1", "ending": "perhaps"}, {"model_id": "M1"}]
)
def test_an_event_that_is_none_of_ours_never_means_success(payload: Any) -> None:
    with pytest.raises(AkkioError, match="none that this version of the provider knows"):
        TrainingEvent.from_payload(payload)


def test_an_event_of_a_newer_version_is_understood() -> None:
    event = TrainingEvent(akkio_task_id="T1", ending=WaitOutcome.SUCCEEDED, location="/x")
    assert TrainingEvent.from_payload(event.to_payload() | {"seconds": 7}) == event


@pytest.mark.parametrize("name", ["NoSuchError", "annotations", "AirflowException", ""])
def test_an_error_of_another_version_is_still_an_akkio_error(name: str) -> None:
    event = TrainingEvent(akkio_task_id="T1", ending=WaitOutcome.FAILED, error=name, message="why")
    assert type(event.as_exception()) is AkkioError
