"""What ``make stack`` promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests

from dev.airflow_api import TaskView
from dev.processes import Program, ProgramEndedError
from dev.trial import ALL_PROMISES, TRAININGS, WorkerTime, answered, no_worker_promise, succeeded_later

LOST = TaskView("train", 7, "running", 1, "worker-1")


def at_the_end(state: str, try_number: int) -> list[TaskView]:
    return [TaskView("train", 6, "success", 2), TaskView("train", 7, state, try_number, "worker-2")]


def test_a_lost_task_has_to_succeed_on_a_later_try() -> None:
    assert succeeded_later([LOST], at_the_end("success", 2)) == 1
    assert succeeded_later([LOST], at_the_end("success", 1)) == 0
    assert succeeded_later([LOST], at_the_end("failed", 2)) == 0
    assert succeeded_later([], at_the_end("success", 2)) == 0


def test_no_promise_is_made_twice() -> None:
    assert len(set(ALL_PROMISES)) == len(ALL_PROMISES)


NONE, OF_EACH = WorkerTime(0, 0.0, 0), WorkerTime(2 * TRAININGS, 400.0, 2 * TRAININGS)


def test_that_no_worker_takes_part_is_believed_of_a_log_that_tells_of_workers() -> None:
    assert no_worker_promise(OF_EACH, NONE).is_kept
    assert not no_worker_promise(OF_EACH, WorkerTime(0, 0.0, 1)).is_kept
    assert not no_worker_promise(NONE, NONE).is_kept


@pytest.mark.parametrize("error", [requests.Timeout("too busy"), RuntimeError("HTTP 503")])
def test_a_busy_server_is_asked_again_and_one_that_has_ended_is_not(error: Exception, tmp_path: Path) -> None:
    server = Program.start("server", ["sleep", "600"], os.environ, tmp_path / "log")
    outcomes = [error, error, "an answer"]

    def ask() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    try:
        assert answered(ask, server) == "an answer"
        outcomes.append(error)
        with pytest.raises(TimeoutError, match=f"no answer within 0 s: {error}"):
            answered(ask, server, seconds=0)
    finally:
        server.end()
    outcomes.append(error)
    with pytest.raises(ProgramEndedError, match="server ended with status"):
        answered(ask, server)
