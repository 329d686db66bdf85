"""The XCom ``akkio_status``: what is reported, and how the triggerer writes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_akkio.api.types import STATUS_KEY, AkkioTask, AkkioTaskState
from airflow_provider_akkio.triggers import status as status_module
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger, WaitOutcome
from airflow_provider_akkio.triggers.status import AkkioStatusUpdate, StatusReporter, XComStatusWriter
from dev.versions import Part
from tests.scripted import ScriptedAkkio, status
from tests.triggers.conftest import RunInTask, events_of, run_as_triggerer
from tests.versions import lacks, needs

TASK_INSTANCE = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)


def reported(*states: AkkioTaskState, duration: float | None = 60) -> list[AkkioStatusUpdate | None]:
    """Return what is pushed for some poll responses, the first one second after the submission."""
    pushed: list[dict[str, Any]] = []
    training = AkkioTask("T1", submitted_at=1000.0, duration=duration)
    reporter = StatusReporter(training, pushed.append, clock=iter(range(1001, 2000)).__next__)
    for state in states:
        reporter(state)
    return [AkkioStatusUpdate.from_json(value) for value in pushed]


def test_reporter_pushes_each_status_once_with_its_first_time() -> None:
    states = [AkkioTaskState(name) for name in ("SUBMITTED", "SUBMITTED", "IN_PROGRESS", "IN_PROGRESS", "odd")]
    assert reported(*states) == [
        AkkioStatusUpdate(status="SUBMITTED", since=1001, submitted_at=1000.0),
        AkkioStatusUpdate(status="IN_PROGRESS", since=1002, submitted_at=1000.0),
        AkkioStatusUpdate(status="odd", since=1003, submitted_at=1000.0),
    ]


def test_reporter_pushes_an_estimate_that_changes_by_more_than_a_tenth() -> None:
    estimates = [None, 60.0, 65.0, 54.5, None, 67.0, 0.0, 0.0]
    updates = reported(*(AkkioTaskState("IN_PROGRESS", estimate) for estimate in estimates))
    assert [update and update.estimate_seconds for update in updates] == [None, 60.0, 67.0, 0.0]


def test_reporter_keeps_the_last_estimate() -> None:
    updates = reported(AkkioTaskState("IN_PROGRESS", 60.0), AkkioTaskState("SUCCEEDED"))
    assert [update and update.estimate_seconds for update in updates] == [60.0, 60.0]


def test_reporter_omits_the_submission_time_of_another_tasks_training() -> None:
    assert reported(AkkioTaskState("PENDING"), duration=None) == [AkkioStatusUpdate(status="PENDING", since=1001)]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "IN_PROGRESS",
        {},
        {"status": "PENDING"},
        {"status": 1, "since": 1.0},
        {"status": "x", "since": "now"},
        {"status": "x", "since": 1.0, "estimate_seconds": "long"},
        {"status": "x", "since": 1.0, "submitted_at": []},
    ],
)
def test_invalid_update_is_ignored(entry: Any) -> None:
    assert AkkioStatusUpdate.from_json(entry) is None


def test_update_with_unknown_keys_is_accepted() -> None:
    update = AkkioStatusUpdate.from_json({"status": "x", "since": 1.0, "more": [1]})
    assert update == AkkioStatusUpdate(status="x", since=1.0)


@pytest.fixture(autouse=True)
def _slow_writes_are_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a write take longer than in production: the machine may be busy."""
    monkeypatch.setattr(status_module, "MAX_WRITE_SECONDS", 120.0)


def waiting_trigger(**arguments: Any) -> AkkioTrainTrigger:
    now = time.time()
    defaults = {"akkio_task_id": "T1", "submitted_at": now, "deadline": now + 600, "akkio_conn_id": "akkio_default"}
    return AkkioTrainTrigger(**defaults, poll_interval=0.05, duration=10, **arguments)


@pytest.fixture
def training(connected: ScriptedAkkio) -> ScriptedAkkio:
    connected.script("status", status("SUBMITTED"), status("IN_PROGRESS", estimate_seconds=30), status("SUCCEEDED"))
    return connected


@needs(Part.STATUS)
def test_triggerer_pushes_the_last_status(run_in_task: RunInTask, training: ScriptedAkkio) -> None:
    run = run_in_task(lambda context: run_as_triggerer(waiting_trigger(push_status=True), context) and None)
    update = run.status_update("train")
    assert update is not None
    assert update.status == "SUCCEEDED"
    assert update.submitted_at is not None


@needs(Part.STATUS)
def test_triggerer_pushes_nothing_without_push_status(run_in_task: RunInTask, training: ScriptedAkkio) -> None:
    run = run_in_task(lambda context: run_as_triggerer(waiting_trigger(), context) and None)
    assert run.status_update("train") is None


@lacks(Part.STATUS)
def test_older_triggerer_pushes_nothing(monkeypatch: pytest.MonkeyPatch, training: ScriptedAkkio) -> None:
    monkeypatch.setattr(XCom, "set", lambda **_: pytest.fail("an XCom was written"))
    waiting = waiting_trigger(push_status=True)
    waiting.trigger_id, waiting.task_instance = 1, TASK_INSTANCE
    assert [event.outcome for event in events_of(waiting)] == [WaitOutcome.SUCCEEDED]


def test_trigger_without_a_task_instance_pushes_nothing(training: ScriptedAkkio) -> None:
    waiting = waiting_trigger(push_status=True)
    waiting.trigger_id = 1
    assert [event.outcome for event in events_of(waiting)] == [WaitOutcome.SUCCEEDED]


class Backend:
    """An XCom backend of the test's own.

    :param fail_first: whether the first write fails.
    :param release: a write waits for this event.
    """

    def __init__(self, *, fail_first: bool = False, release: threading.Event | None = None) -> None:
        self.written: list[str] = []
        self.started = threading.Event()
        self._fails = fail_first
        self._release = release

    def set(self, *, key: str, value: dict[str, Any], **_: Any) -> None:
        assert key == STATUS_KEY
        self.started.set()
        if self._release is not None:
            assert self._release.wait(120)
        if self._fails:
            self._fails = False
            raise OSError("the bucket is gone")
        self.written.append(value["status"])


@pytest.fixture
def use_backend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Backend], Backend]:
    def use(backend: Backend) -> Backend:
        monkeypatch.setattr(XCom, "set", backend.set)
        return backend

    return use


def test_writer_writes_only_the_newest_of_waiting_values(use_backend: Callable[[Backend], Backend]) -> None:
    release = threading.Event()
    backend = use_backend(Backend(release=release))

    async def run() -> None:
        writer = XComStatusWriter(TASK_INSTANCE)
        writer.push({"status": "SUBMITTED"})
        await asyncio.to_thread(backend.started.wait, 120)
        for name in ("PENDING", "IN_PROGRESS", "SUCCEEDED"):
            writer.push({"status": name})
        release.set()
        await writer.finish()

    asyncio.run(run())
    assert backend.written == ["SUBMITTED", "SUCCEEDED"]


def test_writer_logs_a_failed_write_and_writes_the_next_value(
    use_backend: Callable[[Backend], Backend], caplog: pytest.LogCaptureFixture
) -> None:
    backend = use_backend(Backend(fail_first=True))

    async def run() -> None:
        writer = XComStatusWriter(TASK_INSTANCE)
        for name in ("SUBMITTED", "SUCCEEDED"):
            writer.push({"status": name})
            await writer.finish()

    asyncio.run(run())
    assert backend.written == ["SUCCEEDED"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_writer_that_hangs_delays_the_end_of_the_wait_only_briefly(
    use_backend: Callable[[Backend], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    use_backend(Backend(release=release))
    monkeypatch.setattr(status_module, "MAX_WRITE_SECONDS", 0.05)

    async def run() -> None:
        writer = XComStatusWriter(TASK_INSTANCE)
        writer.push({"status": "IN_PROGRESS"})
        await asyncio.wait_for(writer.finish(), 60)
        release.set()
        await writer.finish()

    asyncio.run(run())


def test_hanging_writers_leave_the_threads_of_the_event_loop_free(
    use_backend: Callable[[Backend], Backend],
) -> None:
    release = threading.Event()
    backend = use_backend(Backend(release=release))

    async def run() -> None:
        writers = [XComStatusWriter(TASK_INSTANCE) for _ in range(40)]
        for writer in writers:
            writer.push({"status": "IN_PROGRESS"})
        await asyncio.to_thread(backend.started.wait, 120)
        try:
            # A DNS lookup needs one of the event loop's own threads, too.
            await asyncio.wait_for(asyncio.to_thread(str), 60)
        finally:
            release.set()
        for writer in writers:
            await writer.finish()

    asyncio.run(run())
