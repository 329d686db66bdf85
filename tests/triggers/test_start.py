"""The trigger that submits: what it finds, what it keeps, and when it leaves the task to a worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.submission import KEY
from airflow_provider_akkio.triggers.akkio import Ending, TrainingEvent
from airflow_provider_akkio.triggers.own_task import OwnTask
from airflow_provider_akkio.triggers.start import AkkioStartTrigger
from dev.versions import Part
from tests import triggerer
from tests.conftest import Logged
from tests.operators.test_akkio import PARTS, XCOMS
from tests.scripted import Reply, ScriptedAkkio, accepted, reset, result, status
from tests.triggers.conftest import InTask
from tests.versions import needs

pytestmark = needs(Part.ENDS_IN_TRIGGERER)


def trigger(**arguments: Any) -> AkkioStartTrigger:
    given: dict[str, Any] = {
        "dataset_id": "D1",
        "predict_fields": ["x"],
        "ignore_fields": None,
        "duration": 10,
        "extra_attention": False,
        "force": True,
        "akkio_conn_id": "akkio_default",
        "timeout": 60.0,
        "poll_interval": 0.05,
    }
    return AkkioStartTrigger(**{**given, **arguments})


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio that trains."""
    connected.script("new", accepted("T1"), accepted("T2"))
    connected.script("status", status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1", **PARTS))
    return connected


def not_started(events: list[Any]) -> bool:
    return [TrainingEvent.from_payload(event.payload).ending for event in events] == [Ending.NOT_STARTED]


def failure(events: list[Any]) -> TrainingEvent:
    [event] = events
    return TrainingEvent.from_payload(event.payload)


def xcoms(context: dict[str, Any]) -> dict[str, Any]:
    ti = context["ti"]
    keys = (*XCOMS, KEY)
    pulled = {key: ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=-1) for key in keys}
    return {key: value for key, value in pulled.items() if value is not None}


def test_it_trains_and_leaves_what_a_worker_leaves(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        assert triggerer.ends(triggerer.run(trigger(), context))

    run = in_task(acts)
    assert run.xcoms("train") == XCOMS
    assert [one.body["dataset_id"] for one in trained.asked("new")] == ["D1"]
    standing = run.standing("train")
    assert standing is not None
    assert standing.status == "SUCCEEDED"
    assert standing.parameters == {
        "dataset_id": "D1",
        "predict_fields": ["x"],
        "duration": 10,
        "extra_attention": False,
        "force": True,
        "akkio_conn_id": "akkio_default",
    }


def test_templates_are_rendered(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        templates = {
            "dataset_id": "{{ ti.xcom_pull(task_ids='earlier') }}",
            "predict_fields": ["{{ dag.dag_id }}", "{{ ds_nodash | length }}"],
            "duration": "{{ 60 }}",
            "akkio_conn_id": "{{ 'akkio' ~ '_default' }}",
        }
        assert triggerer.ends(triggerer.run(trigger(**templates), context))
        assert trained.asked("new")[0].body["predict_fields"] == [context["ti"].dag_id, "8"]

    in_task(acts)
    [asked] = trained.asked("new")
    assert (asked.body["dataset_id"], asked.body["duration"]) == ("D7", 60)


@pytest.mark.parametrize(
    "template",
    [
        "{{ no_such_macro }}",
        "{{ prev_start_date_success }}",
        "{{ task_state_store.get('x') }}",
        "{{ ti.xcom_pull(task_ids='nothing') }}",
        "{{ ti.xcom_pull(task_ids=['earlier', 'train']) }}",
        "{{ ti.get_previous_dagrun() }}",
        "{{ unbalanced",
        "{{ 'None' }}",
    ],
)
def test_what_cannot_be_rendered_here_is_left_to_a_worker(
    in_task: InTask, trained: ScriptedAkkio, template: str
) -> None:
    def acts(context: dict[str, Any]) -> None:
        assert not_started(triggerer.run(trigger(dataset_id=template), context))
        assert xcoms(context) == {}

    in_task(acts)
    assert not trained.received


@pytest.mark.parametrize(
    "wrong", [{"duration": 11}, {"akkio_conn_id": "no_such_connection"}, {"akkio_conn_id": ""}, {"predict_fields": []}]
)
def test_what_is_wrong_before_anything_is_sent_is_left_to_a_worker(
    in_task: InTask, trained: ScriptedAkkio, wrong: dict[str, Any]
) -> None:
    in_task(lambda context: _expect(not_started(triggerer.run(trigger(**wrong), context))))
    assert not trained.received


def test_a_later_try_is_left_to_a_worker(in_task: InTask, trained: ScriptedAkkio) -> None:
    in_task(lambda context: _expect(not_started(triggerer.run(trigger(), context, try_number=2))))
    assert not trained.received


@pytest.mark.parametrize("force", [True, False])
def test_another_triggerer_goes_on_with_the_training(in_task: InTask, trained: ScriptedAkkio, force: bool) -> None:
    class DiesWaiting(AkkioStartTrigger):
        def _wait_for(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    def acts(context: dict[str, Any]) -> None:
        with pytest.raises(KeyboardInterrupt):
            triggerer.run(DiesWaiting(**trigger(force=force).serialize()[1]), context)
        assert xcoms(context)["akkio_task_id"] == "T1"
        assert triggerer.ends(triggerer.run(trigger(force=force), context))

    assert in_task(acts).xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


def test_a_triggerer_that_dies_between_its_two_notes_loses_neither(in_task: InTask, trained: ScriptedAkkio) -> None:
    set_xcom = OwnTask.set_xcom

    async def dies(self: OwnTask, key: str, value: Any) -> None:
        if key == "akkio_task_id":
            raise KeyboardInterrupt
        await set_xcom(self, key, value)

    def acts(context: dict[str, Any]) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(OwnTask, "set_xcom", dies)
            with pytest.raises(KeyboardInterrupt):
                triggerer.run(trigger(), context)
        assert set(xcoms(context)) == {KEY}
        assert triggerer.ends(triggerer.run(trigger(), context))

    assert in_task(acts).xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


def test_what_is_kept_stays_until_airflow_has_recorded_the_end(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        assert triggerer.ends(triggerer.run(trigger(), context, then=None))
        assert set(xcoms(context)) == {*XCOMS, KEY}
        assert triggerer.ends(triggerer.run(trigger(), context))

    assert in_task(acts).xcoms("train") == XCOMS
    assert len(trained.asked("new")) == 1


def test_nothing_is_left_for_a_task_that_a_person_has_cleared(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        assert failure(triggerer.run(trigger(), context, state="scheduled")).ending is Ending.SUCCEEDED
        assert set(xcoms(context)) == {"akkio_task_id", KEY}

    in_task(acts)


def test_a_trigger_that_airflow_ends_first_removes_what_is_kept(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        ended = trigger()
        assert triggerer.ends(triggerer.run(ended, context, then=None))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(OwnTask, "state", _success)
            asyncio.run(ended.cleanup())

    assert in_task(acts).xcoms("train") == XCOMS


async def _success(_: OwnTask) -> str:
    return "success"


def test_a_triggerer_that_died_while_it_submitted_is_not_paid_twice(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        submit_and_die(trigger(), context)
        event = failure(triggerer.run(trigger(), context))
        assert (event.ending, event.error) == (Ending.FAILED, "AkkioSubmitOutcomeUnknown")
        assert "clear this task" in event.message

    in_task(acts)
    assert not trained.asked("new")


def test_without_force_it_submits_again(in_task: InTask, trained: ScriptedAkkio) -> None:
    def acts(context: dict[str, Any]) -> None:
        submit_and_die(trigger(force=False), context)
        assert triggerer.ends(triggerer.run(trigger(force=False), context))

    in_task(acts)
    assert len(trained.asked("new")) == 1


def submit_and_die(trigger: AkkioStartTrigger, context: dict[str, Any]) -> None:
    """Run a trigger until it has said that it submits, as if the triggerer was killed then."""

    async def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AkkioHook, "asubmit_training", dies)
        with pytest.raises(KeyboardInterrupt):
            triggerer.run(trigger, context)


def _expect(holds: bool) -> None:
    assert holds


@pytest.mark.parametrize(
    ("answer", "error", "kept"),
    [
        (Reply(422, {"detail": "no such field"}), "AkkioUnprocessable", False),
        (Reply(404, {"detail": "no such dataset"}), "AkkioNotFound", False),
        (reset, "AkkioSubmitOutcomeUnknown", True),
    ],
)
def test_a_submission_that_fails_fails_the_task(
    in_task: InTask, connected: ScriptedAkkio, answer: Any, error: str, kept: bool
) -> None:
    connected.script("new", answer)

    def acts(context: dict[str, Any]) -> None:
        event = failure(triggerer.run(trigger(), context))
        assert (event.ending, event.error, event.akkio_task_id) == (Ending.FAILED, error, "")
        assert (KEY in xcoms(context)) == kept

    in_task(acts)


def test_a_training_that_fails_is_resumed_by_a_worker_with_its_id(in_task: InTask, trained: ScriptedAkkio) -> None:
    trained.script("status", status("FAILED", error="too few rows"))

    def acts(context: dict[str, Any]) -> None:
        event = failure(triggerer.run(trigger(), context))
        assert (event.error, event.akkio_task_id) == ("AkkioTrainingFailed", "T1")
        assert set(xcoms(context)) == {"akkio_task_id", KEY}

    in_task(acts)


def test_it_ends_before_airflows_own_limit(in_task: InTask, trained: ScriptedAkkio) -> None:
    trained.script("status", status("IN_PROGRESS"))

    def acts(context: dict[str, Any]) -> None:
        limited = trigger()
        limited.timeout_after = datetime.now(UTC) + timedelta(seconds=5.3)  # type: ignore[attr-defined] # the triggerer sets it
        assert failure(triggerer.run(limited, context)).ending is Ending.OUT_OF_EXECUTION_TIME

    in_task(acts)


def test_xcoms_that_cannot_be_read_are_left_to_a_worker(
    in_task: InTask, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnTask, "get_xcom", _unreachable)
    in_task(lambda context: _expect(not_started(triggerer.run(trigger(), context))))
    assert not trained.received


def test_a_result_that_cannot_be_stored_is_left_to_a_worker(
    in_task: InTask, trained: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_xcom = OwnTask.set_xcom

    async def refuse(self: OwnTask, key: str, value: Any) -> None:
        if key == "stats":
            raise OSError("no room")
        await set_xcom(self, key, value)

    monkeypatch.setattr(OwnTask, "set_xcom", refuse)

    def acts(context: dict[str, Any]) -> None:
        assert failure(triggerer.run(trigger(), context)).ending is Ending.SUCCEEDED
        assert KEY in xcoms(context)

    in_task(acts)


async def _unreachable(*_: Any) -> None:
    raise OSError("the database is away")


def test_a_person_who_acts_on_it_is_told_that_the_training_goes_on(
    in_task: InTask, trained: ScriptedAkkio, logged: Logged
) -> None:
    asyncio.run(trigger().on_kill())
    assert "may still be running" not in logged()

    def acts(context: dict[str, Any]) -> None:
        waiting = trigger()
        triggerer.run(waiting, context)
        asyncio.run(waiting.on_kill())

    in_task(acts)
    assert "Training T1 may still be running at Akkio" in logged()


def test_it_is_serialized_with_its_templates_and_without_the_key(connected: ScriptedAkkio) -> None:
    path, arguments = trigger(dataset_id="{{ ds }}").serialize()
    assert path == "airflow_provider_akkio.triggers.start.AkkioStartTrigger"
    assert arguments["dataset_id"] == "{{ ds }}"
    assert "the-key" not in str(arguments)
    assert AkkioStartTrigger(**arguments).serialize() == (path, arguments)
