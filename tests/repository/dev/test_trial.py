"""What ``make stack`` promises."""

from __future__ import annotations

from dev.airflow_api import TaskView
from dev.trial import ALL_PROMISES, succeeded_later

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
