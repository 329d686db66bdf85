"""What a wait tells of itself, and that nothing of it ends the wait."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_akkio.api.types import STATUS_KEY
from airflow_provider_akkio.triggers import telling
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger, TrainingEvent, WaitOutcome
from airflow_provider_akkio.triggers.status import StatusWriter, TaskXCom
from dev.versions import Part
from tests import triggerer
from tests.scripted import ScriptedAkkio, result, status
from tests.triggers.conftest import InTask
from tests.versions import lacks, needs


class Backend:
    """A task whose XComs are kept by something slow, or broken."""

    def __init__(self, *, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.written: list[Any] = []

    async def set_xcom(self, key: str, value: Any) -> None:
        assert key == STATUS_KEY
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.written.append(value["status"])


def tell(backend: Any, *statuses: str) -> None:
    async def run() -> None:
        teller = StatusWriter(backend)
        for name in statuses:
            teller.tell({"status": name})
            await asyncio.sleep(0)
        await teller.finish()

    asyncio.run(run())


def wait(**arguments: Any) -> AkkioTrainTrigger:
    now = time.time()
    given = {"akkio_task_id": "T1", "submitted_at": now, "deadline": now + 60, "akkio_conn_id": "akkio_default"}
    return AkkioTrainTrigger(**given, poll_interval=0.05, duration=10, **arguments)


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio that trains for a while."""
    connected.script("status", status("SUBMITTED"), status("IN_PROGRESS", estimate_seconds=30), status("SUCCEEDED"))
    connected.script("result", result("M1"))
    return connected


@needs(Part.STATUS)
def test_the_task_has_the_last_status_when_the_wait_ends(in_task: InTask, trained: ScriptedAkkio) -> None:
    run = in_task(lambda context: triggerer.run(wait(tells_status=True), context) and None)
    standing = run.standing("train")
    assert standing is not None
    assert standing.status == "SUCCEEDED"
    assert standing.submitted_at is not None


@needs(Part.STATUS)
def test_nothing_is_told_where_nothing_is_to_be_left_in_xcom(in_task: InTask, trained: ScriptedAkkio) -> None:
    run = in_task(lambda context: triggerer.run(wait(), context) and None)
    assert run.standing("train") is None


@lacks(Part.STATUS)
def test_an_airflow_whose_triggerer_writes_no_xcom_is_not_asked_to(
    monkeypatch: pytest.MonkeyPatch, trained: ScriptedAkkio
) -> None:
    async def write(*_: Any) -> None:
        pytest.fail("it was asked to")

    monkeypatch.setattr(TaskXCom, "set_xcom", write)
    waiting = wait(tells_status=True)
    waiting.trigger_id = 1
    waiting.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    assert endings(waiting) == [WaitOutcome.SUCCEEDED]


def endings(waiting: AkkioTrainTrigger) -> list[WaitOutcome]:
    """Run a trigger, and return how the wait ended."""

    async def collect() -> list[WaitOutcome]:
        return [TrainingEvent.from_payload(event.payload).ending async for event in waiting.run()]

    return asyncio.run(collect())


def test_a_trigger_without_a_task_tells_nobody(trained: ScriptedAkkio) -> None:
    alone = wait(tells_status=True)
    alone.trigger_id = 1
    assert endings(alone) == [WaitOutcome.SUCCEEDED]


def test_of_what_comes_while_one_is_written_the_newest_counts() -> None:
    backend = Backend(seconds=0.05)
    tell(backend, "SUBMITTED", "IN_PROGRESS", "SUCCEEDED")
    assert backend.written == ["SUBMITTED", "SUCCEEDED"]


def test_a_backend_that_fails_is_a_warning_and_asked_again_for_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        teller = StatusWriter(backend)  # type: ignore[arg-type] # stands in for a task
        for name in ("SUBMITTED", "SUCCEEDED"):
            teller.tell({"status": name})
            await teller.finish()
            backend.error = None

    backend = Backend(error=OSError("the bucket is gone"))
    asyncio.run(run())
    assert backend.written == ["SUCCEEDED"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_came_while_a_write_failed_is_written(caplog: pytest.LogCaptureFixture) -> None:
    class FailsOnce(Backend):
        async def set_xcom(self, key: str, value: Any) -> None:
            try:
                await super().set_xcom(key, value)
            finally:
                self.error = None

    backend = FailsOnce(error=OSError("the bucket is gone"), seconds=0.05)
    tell(backend, "SUBMITTED", "IN_PROGRESS")
    assert backend.written == ["IN_PROGRESS"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@needs(Part.STATUS)
def test_a_backend_that_blocks_holds_up_no_thread_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    is_over = threading.Event()
    monkeypatch.setattr(XCom, "set", lambda **_: is_over.wait(30))
    task = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)

    async def run() -> None:
        tellers = [StatusWriter(TaskXCom(task, telling.THREADS)) for _ in range(40)]
        for teller in tellers:
            teller.tell({"status": "IN_PROGRESS"})
        await asyncio.sleep(0.1)
        try:
            # As the look-up of a host's name does, this takes one of the loop's own threads.
            await asyncio.wait_for(asyncio.to_thread(str), 5)
        finally:
            is_over.set()
        for teller in tellers:
            await teller.finish()

    asyncio.run(run())


@needs(Part.STATUS)
def test_a_trigger_that_is_cancelled_does_not_wait_for_what_it_tells(
    monkeypatch: pytest.MonkeyPatch, connected: ScriptedAkkio
) -> None:
    connected.script("status", status("IN_PROGRESS"))

    async def run() -> float:
        began = asyncio.Event()

        async def hang(*_: Any) -> None:
            began.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(TaskXCom, "set_xcom", hang)
        waiting = wait(tells_status=True)
        waiting.trigger_id = 1
        waiting.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
        task = asyncio.create_task(anext(waiting.run()))
        await asyncio.wait_for(began.wait(), 10)
        cancelled_at = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - cancelled_at

    assert asyncio.run(run()) < telling.LONGEST_WRITE / 2


def test_a_backend_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LONGEST_WRITE", 0.05)
    backend = Backend(seconds=3600)
    tell(backend, "SUBMITTED")
    assert backend.written == []
