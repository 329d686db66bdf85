"""Trainings that the triggerer ends, and starts, beside the same ones by workers, in a real Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dev.airflow_api import AirflowApi
from dev.stack import Stack
from dev.versions import Part
from tests.versions import lacks, needs

WORKER_STARTS = "Worker startup parse complete"
ANOTHER_EACH_TIME = ("akkio_task_id", "akkio_status", "akkio_error", "model_id", "return_value")
FAILING = {
    "no_such_field": "AkkioTrainingFailed",
    "no_such_dataset": "AkkioNotFound",
    "no_such_connection": "AirflowNotFoundException",
    "wrong_key": "AkkioUnauthorized",
    "wrong_once_rendered": "AkkioParameterError",
    "unknown_template": "UndefinedError",
}
TRIED_TWICE = ("no_such_field", "no_such_connection", "unknown_template")


by_triggerer = needs(Part.ENDS_IN_TRIGGERER)


@dataclass(frozen=True)
class Way:
    """A run of one of the three DAGs that has ended."""

    api: AirflowApi
    dag_id: str
    run_id: str

    def tries(self, task_id: str) -> tuple[str | None, int]:
        """Return a task's state and how often it was tried."""
        [task] = [one for one in self.api.tasks(self.dag_id, self.run_id) if one.task_id == task_id]
        return task.state, task.try_number

    def log(self, task_id: str, try_number: int = 1) -> str:
        """Return a task's log."""
        return self.api.log(self.dag_id, self.run_id, task_id, try_number)

    def xcoms(self, task_id: str) -> dict[str, Any]:
        """Return a task's XComs, but for what is another's each time."""
        xcoms = self.api.xcoms(self.dag_id, self.run_id, task_id)
        assert xcoms.get("return_value") == xcoms.get("model_id")
        return {key: value if key not in ANOTHER_EACH_TIME else "a value" for key, value in xcoms.items()}

    def workers(self, task_id: str, try_number: int = 1) -> int:
        """Return how many worker processes a try took."""
        return self.log(task_id, try_number).count(WORKER_STARTS)


@pytest.fixture(scope="module")
def ways(stack: Stack) -> dict[str, Way]:
    """The three runs, side by side."""
    api = stack.api
    started = {way: f"trained_{way}" for way in ("by_workers", "ended", "started")}
    runs = {way: Way(api, dag_id, api.trigger(dag_id)) for way, dag_id in started.items()}
    for run in runs.values():
        assert api.follow(run.dag_id, run.run_id, seconds=300) == "failed"
    return runs


@by_triggerer
@pytest.mark.parametrize(("way", "workers"), [("by_workers", 2), ("ended", 1), ("started", 0)])
def test_fewer_worker_processes_do_it(ways: dict[str, Way], way: str, workers: int) -> None:
    assert ways[way].tries("succeeds") == ("success", 1)
    assert ways[way].workers("succeeds") == workers
    assert ways[way].workers("templated") == workers


@by_triggerer
@pytest.mark.parametrize("way", ["ended", "started"])
@pytest.mark.parametrize("task_id", ["succeeds", "templated", *FAILING])
def test_the_very_same_xcoms_are_left(ways: dict[str, Way], way: str, task_id: str) -> None:
    by_workers = ways["by_workers"].xcoms(task_id)
    assert ways[way].xcoms(task_id) == by_workers
    assert ("model_id" in by_workers) == (task_id not in FAILING)


@by_triggerer
@pytest.mark.parametrize("way", ["by_workers", "ended", "started"])
@pytest.mark.parametrize(("task_id", "error"), FAILING.items())
def test_the_very_same_failures_come_of_it(ways: dict[str, Way], way: str, task_id: str, error: str) -> None:
    run, tries = ways[way], 2 if task_id in TRIED_TWICE else 1
    assert run.tries(task_id) == ("failed", tries)
    assert [line for line in run.log(task_id, tries).splitlines() if error in line.split(":")[0]]
    assert run.log(task_id, tries).count(f"on_failure_callback: {error}") == 1
    assert run.log(task_id, 1).count(f"on_retry_callback: {error}") == tries - 1


@by_triggerer
def test_a_failure_that_a_retry_cannot_mend_is_not_retried(ways: dict[str, Way]) -> None:
    assert [ways[way].tries("no_such_dataset") for way in ways] == [("failed", 1)] * 3


@by_triggerer
@pytest.mark.parametrize("way", ["ended", "started"])
def test_clearing_a_finished_task_trains_again(ways: dict[str, Way], way: str) -> None:
    run = ways[way]
    before = run.api.xcoms(run.dag_id, run.run_id, "succeeds")["akkio_task_id"]
    run.api.clear(run.dag_id, run.run_id, "succeeds")
    run.api.follow(run.dag_id, run.run_id)
    assert run.tries("succeeds") == ("success", 2)
    assert run.log("succeeds", 2).count("Akkio accepted training") == 1
    assert run.api.xcoms(run.dag_id, run.run_id, "succeeds")["akkio_task_id"] != before
    assert run.xcoms("succeeds") == ways["by_workers"].xcoms("succeeds")
    assert run.workers("succeeds", 2) == 1


@pytest.fixture(scope="module")
def needing(stack: Stack) -> Way:
    """A run whose tasks need a worker, although they ask for none."""
    run = Way(stack.api, "need_a_worker", stack.api.trigger("need_a_worker"))
    assert stack.api.follow(run.dag_id, run.run_id, seconds=300) == "success"
    return run


@by_triggerer
@pytest.mark.parametrize(
    ("task_id", "warning", "workers"),
    [
        ("outlets", "The task starts and ends in a worker: its outlets need a worker.", 2),
        ("on_success_callback", "The task starts and ends in a worker: its on_success_callback needs a worker.", 2),
        ("do_xcom_push", "The task starts and ends in a worker: with do_xcom_push=False", 2),
        ("on_execute_callback", "The task starts in a worker: its on_execute_callback needs a worker.", 1),
        ("mapped", "The task starts in a worker: it is mapped.", 1),
    ],
)
def test_what_needs_a_worker_gets_one_and_one_warning(needing: Way, task_id: str, warning: str, workers: int) -> None:
    map_index = 0 if task_id == "mapped" else -1
    log = needing.api.log(needing.dag_id, needing.run_id, task_id, map_index=map_index)
    assert [line for line in log.splitlines() if " in a worker" in line] == [
        line for line in log.splitlines() if line.startswith(warning)
    ]
    assert log.count(warning) == 1
    assert log.count(WORKER_STARTS) == workers


@by_triggerer
def test_what_only_a_worker_does_is_done(needing: Way) -> None:
    events = needing.api.text("assets/events")
    assert '"source_task_id":"outlets"' in events.replace(" ", "")
    log = needing.log("on_success_callback")
    assert log.count("on_success_callback: on_success_callback") == 1


@lacks(Part.ENDS_IN_TRIGGERER)
@pytest.mark.parametrize("way", ["ended", "started"])
def test_an_older_airflow_leaves_all_of_it_to_workers(ways: dict[str, Way], way: str) -> None:
    run, by_workers = ways[way], ways["by_workers"]
    for task_id in ("succeeds", "templated"):
        assert run.tries(task_id) == ("success", 1)
        assert run.xcoms(task_id) == by_workers.xcoms(task_id)
        assert run.log(task_id).count("The task starts and ends in a worker: Airflow is older than 3.3.") == 1
    for task_id, error in FAILING.items():
        tries = 2 if task_id in TRIED_TWICE else 1
        assert run.tries(task_id) == ("failed", tries)
        assert error in run.log(task_id, tries)
    for try_number in (1, 2):
        assert run.log("no_such_field", try_number).count("Akkio accepted training") == 1
