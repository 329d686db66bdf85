"""How a training goes on while one asks for its status."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info

from airflow_provider_akkio.api.types import Duration, TrainingStatus
from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.boosting import MOST_ROUNDS_PER_STEP, Lesson, RateLimiter, on_one_core
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.learning import Parameters, learn
from airflow_provider_akkio.sandbox.predicting import predict
from airflow_provider_akkio.sandbox.targets import find_target
from airflow_provider_akkio.sandbox.trainings import TrainingQueue
from tests.sandbox.calls import Calls

PACE = 0.5
SLOW = {"dataset_id": "slow", "predict_fields": ["Coin"]}


@dataclass(frozen=True)
class Watched:
    """A long training, whose status was asked for as fast as it was answered."""

    submitted: float
    moments: list[float]
    answers: list[dict[str, Any]]
    result_while_running: int


@pytest.fixture(scope="module")
def watched(calls: Calls) -> Watched:
    submitted = time.monotonic()
    task_id = calls.submit(**SLOW, duration=10, force=True)
    answers = [calls.wait(task_id, lambda status: status == "IN_PROGRESS")]
    moments = [time.monotonic()]
    result = calls.get(task_id, "result").status_code
    while answers[-1]["status"] == "IN_PROGRESS":
        answers.append(calls.status(task_id))
        moments.append(time.monotonic())
    return Watched(submitted, moments, answers, result)


@pytest.fixture(scope="module")
def paced_calls() -> Iterator[Calls]:
    with Sandbox(pace=PACE) as sandbox:
        yield Calls(sandbox.url)


def test_a_training_never_blocks_a_status_answer(watched: Watched) -> None:
    longest = max(later - earlier for earlier, later in pairwise(watched.moments))
    assert len(watched.moments) > 50
    assert longest < (watched.moments[-1] - watched.moments[0]) / 4


def test_the_duration_bounds_the_training(watched: Watched) -> None:
    assert watched.answers[-1]["status"] == "SUCCEEDED"
    assert watched.moments[-1] - watched.submitted < 10


def test_a_running_training_carries_an_estimate_and_no_result(watched: Watched) -> None:
    assert {answer["metadata"]["type"] for answer in watched.answers[:-1]} == {"IN_PROGRESS"}
    assert min(answer["metadata"]["estimate_seconds"] for answer in watched.answers[:-1]) > 0
    assert watched.result_while_running == 404


def test_a_training_is_submitted_then_in_progress_then_succeeded(paced_calls: Calls) -> None:
    began = time.monotonic()
    task_id = paced_calls.submit(dataset_id="diabetes")
    answers = [paced_calls.status(task_id)]
    answers.append(paced_calls.wait(task_id, lambda status: status != "SUBMITTED"))
    answers.append(paced_calls.wait(task_id))
    assert [answer["status"] for answer in answers] == ["SUBMITTED", "IN_PROGRESS", "SUCCEEDED"]
    assert [answer["metadata"]["type"] for answer in answers] == ["SUBMITTED", "IN_PROGRESS", "SUCCEEDED"]
    assert answers[1]["metadata"]["estimate_seconds"] >= PACE
    assert time.monotonic() - began >= PACE


@pytest.mark.parametrize(("field", "end"), [("progression", "SUCCEEDED"), ("nothing", "FAILED")])
def test_the_pace_holds_back_models_that_exist_and_failures_too(paced_calls: Calls, field: str, end: str) -> None:
    payload = {"dataset_id": "diabetes", "predict_fields": [field]}
    paced_calls.wait(paced_calls.submit(**payload))
    began = time.monotonic()
    task_id = paced_calls.submit(**payload)
    assert paced_calls.get(task_id, "result").status_code == 404
    assert paced_calls.wait(task_id)["status"] == end
    assert time.monotonic() - began >= PACE


@pytest.fixture(scope="module")
def queued(calls: Calls, watched: Watched) -> list[dict[str, Any]]:
    """The statuses of the long training, of one that was submitted after it, and of the long one again."""
    assert watched.answers[-1]["status"] == "SUCCEEDED"
    first, second = calls.submit(**SLOW, force=True), calls.submit(dataset_id="diabetes", force=True)
    calls.wait(first, lambda status: status == "IN_PROGRESS")
    answers = [calls.status(task) for task in (first, second, first)]
    assert calls.wait(second)["status"] == "SUCCEEDED"
    return answers


def test_a_training_waits_until_a_worker_is_free(queued: list[dict[str, Any]]) -> None:
    assert [answer["status"] for answer in queued] == ["IN_PROGRESS", "SUBMITTED", "IN_PROGRESS"]
    assert queued[1]["metadata"] == {"type": "SUBMITTED"}


def test_the_estimate_is_what_a_training_took_before(queued: list[dict[str, Any]], watched: Watched) -> None:
    # The last answer that it goes on was made after the one before it had come.
    running, whole = watched.moments[-3] - watched.moments[0], watched.moments[-1] - watched.submitted
    assert running <= queued[0]["metadata"]["estimate_seconds"] <= whole


def test_with_two_workers_nobody_waits(folder: Path) -> None:
    with Sandbox(workers=2, data=folder) as sandbox:
        calls = Calls(sandbox.url)
        slow = calls.submit(**SLOW)
        calls.wait(slow, lambda status: status == "IN_PROGRESS")
        calls.wait(calls.submit(dataset_id="signal"))
        assert calls.status(slow)["status"] == "IN_PROGRESS"


def test_the_page_gives_a_location_below_the_site(calls: Calls) -> None:
    task_id = calls.submit(dataset_id="wine")
    location = calls.wait(task_id)["metadata"]["location"]
    assert location == f"/api/v1/models/train/{task_id}/result"


def test_the_openapi_dialect_begins_pending_and_gives_a_location_below_the_root() -> None:
    with Sandbox(dialect="openapi", pace=PACE) as sandbox:
        calls = Calls(sandbox.url)
        task_id = calls.submit(dataset_id="wine", predict_fields=["cultivar"], duration=10)
        first = calls.status(task_id)
        assert first == {"status": "PENDING", "metadata": {"type": "PENDING"}}
        assert calls.wait(task_id)["metadata"]["location"] == f"/models/train/{task_id}/result"


def test_closing_gives_up_what_is_running_and_leaves_no_thread(folder: Path) -> None:
    with Sandbox(data=folder) as sandbox:
        calls = Calls(sandbox.url)
        task_id = calls.submit(**SLOW)
        calls.wait(task_id, lambda status: status == "IN_PROGRESS")
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("akkio-sandbox")]
    assert not set(workers[-2:]) & set(threading.enumerate())


def test_a_training_that_is_stopped_fails(sandbox: Sandbox) -> None:
    trainings = TrainingQueue(sandbox.datasets)
    task = trainings.submit(parameters("slow", "Coin"), force=False)
    while trainings.progress(task.id).status is TrainingStatus.SUBMITTED:
        time.sleep(0.001)
    trainings.close()
    progress = trainings.progress(task.id)
    assert (progress.status, progress.error) == (TrainingStatus.FAILED, "The sandbox was stopped.")


def test_when_the_time_is_over_the_model_is_what_was_learned_until_then(sandbox: Sandbox) -> None:
    target = find_target(sandbox.datasets["diabetes"], "progression")
    matrix = np.column_stack([target.values, np.zeros_like(target.values)])
    lesson = Lesson(
        target=target,
        duration=Duration.PRODUCTION,
        extra_attention=False,
        is_category=(False, False),
        rate_limiter=RateLimiter(0.0, threading.Event()),
    )
    with on_one_core():
        estimator = lesson.fit(matrix, target.values)
        shares = lesson.weigh_columns(estimator, matrix, target.values)
    assert estimator.n_iter_ == MOST_ROUNDS_PER_STEP
    assert shares.tolist() == [1.0, 0.0]


@pytest.mark.filterwarnings("default")
def test_a_fault_of_the_sandbox_fails_the_training_and_not_the_worker() -> None:
    broken = Dataset(id="broken", name="Broken", fields=("A", "B"), rows=(("1",),) * 20)
    trainings = TrainingQueue({"broken": broken})
    try:
        for _ in range(2):
            task = trainings.submit(parameters("broken", "B"), force=True)
            while not (progress := trainings.progress(task.id)).status.is_failed:
                time.sleep(0.001)
            assert "The sandbox failed" in str(progress.error)
    finally:
        trainings.close()


def parameters(dataset_id: str, field: str) -> Parameters:
    return Parameters(
        dataset_id=dataset_id,
        predict_fields=(field,),
        ignore_fields=frozenset(),
        duration=Duration.FASTEST,
        extra_attention=False,
    )


def test_one_core_is_one_thread_of_every_library() -> None:
    with on_one_core():
        assert {library["num_threads"] for library in threadpool_info()} == {1}


def test_a_training_looks_for_no_library_since_another_thread_may_import_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: ThreadpoolController) -> None:
        raise AssertionError("libraries are looked for in a thread of the sandbox")

    monkeypatch.setattr(ThreadpoolController, "__init__", look)
    two_classes = Dataset(
        id="coins", name="Coins", fields=("A", "Coin"), rows=tuple(zip("1234" * 20, "0011" * 20, strict=True))
    )
    parameters = Parameters(
        dataset_id="coins",
        predict_fields=("Coin",),
        ignore_fields=frozenset(),
        duration=Duration.FASTEST,
        extra_attention=False,
    )
    model = learn(two_classes, parameters, threading.Event())
    assert predict(model, [{"A": "1"}], explain=False)[0]["Coin"] == "0"
