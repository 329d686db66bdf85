"""Status of tasks over time, the queue, and the reuse of trainings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.learning import TrainingParameters
from airflow_provider_akkio.sandbox.trainings import TaskStatus, TrainingQueue
from tests.sandbox.api_client import ApiClient
from tests.sandbox.conftest import Clock

PACE = 100.0
SLOW = {"dataset_id": "slow", "predict_fields": ["Coin"]}
ROWS = [{"number": number, "answer": ("yes", "no")[number % 2], "even": str(number % 2 == 0)} for number in range(80)]


@dataclass(frozen=True)
class PolledTraining:
    """A long training that was polled without a pause."""

    submitted_at: float
    times: list[float]
    responses: list[dict[str, Any]]
    result_status_while_running: int


@pytest.fixture(scope="module")
def polled(client: ApiClient) -> PolledTraining:
    submitted_at = time.monotonic()
    task_id = client.submit(**SLOW, duration=10, force=True)
    responses = [client.poll(task_id, {"IN_PROGRESS"}.__contains__)]
    times = [time.monotonic()]
    result = client.get_training(task_id, "result").status_code
    while responses[-1]["status"] == "IN_PROGRESS":
        responses.append(client.status(task_id))
        times.append(time.monotonic())
    return PolledTraining(submitted_at, times, responses, result)


@pytest.fixture(scope="module")
def paced() -> Iterator[Sandbox]:
    with Sandbox(pace=PACE) as sandbox:
        yield sandbox


def wait_for_end(sandbox: Sandbox, task_id: str) -> None:
    """Wait until a training has ended, whatever its status is."""
    sandbox._trainings._tasks[task_id].training.future.exception()


def test_training_does_not_block_status_responses(polled: PolledTraining) -> None:
    longest = max(later - earlier for earlier, later in pairwise(polled.times))
    assert polled.responses[-1]["status"] == "SUCCEEDED"
    assert len(polled.times) > 10
    assert longest < (polled.times[-1] - polled.times[0]) / 2


def test_running_training_has_estimate_and_no_result(polled: PolledTraining) -> None:
    assert {response["metadata"]["type"] for response in polled.responses[:-1]} == {"IN_PROGRESS"}
    assert min(response["metadata"]["estimate_seconds"] for response in polled.responses[:-1]) > 0
    assert polled.result_status_while_running == 404


def test_paced_training_passes_every_status(paced: Sandbox, clock: Clock) -> None:
    client = ApiClient(paced.url)
    task_id = client.submit(dataset_id="diabetes")
    wait_for_end(paced, task_id)
    responses = [client.status(task_id)]
    for seconds in (0.99 * PACE, 0.01 * PACE):
        clock.now += seconds
        responses.append(client.status(task_id))
    assert [response["status"] for response in responses] == ["SUBMITTED", "IN_PROGRESS", "SUCCEEDED"]
    assert [response["metadata"]["type"] for response in responses] == ["SUBMITTED", "IN_PROGRESS", "SUCCEEDED"]
    assert responses[1]["metadata"]["estimate_seconds"] >= PACE


@pytest.mark.parametrize(("field", "final"), [("progression", "SUCCEEDED"), ("nothing", "FAILED")])
def test_pace_delays_reused_and_failed_trainings(paced: Sandbox, clock: Clock, field: str, final: str) -> None:
    client = ApiClient(paced.url)
    payload = {"dataset_id": "diabetes", "predict_fields": [field]}
    wait_for_end(paced, client.submit(**payload))
    task_id = client.submit(**payload)
    wait_for_end(paced, task_id)
    clock.now += 0.99 * PACE
    assert client.status(task_id)["status"] == "IN_PROGRESS"
    assert client.get_training(task_id, "result").status_code == 404
    clock.now += 0.01 * PACE
    assert client.status(task_id)["status"] == final


def test_queued_training_is_submitted_and_running_one_has_estimate_of_last(
    client: ApiClient, polled: PolledTraining
) -> None:
    running, queued = client.submit(**SLOW, force=True), client.submit(dataset_id="diabetes", force=True)
    client.poll(running, {"IN_PROGRESS"}.__contains__)
    responses = [client.status(task_id) for task_id in (running, queued, running)]
    assert [response["status"] for response in responses] == ["IN_PROGRESS", "SUBMITTED", "IN_PROGRESS"]
    assert responses[1]["metadata"] == {"type": "SUBMITTED"}
    # The response before the last one was sent while the training was running.
    least, most = polled.times[-3] - polled.times[0], polled.times[-1] - polled.submitted_at
    assert least <= responses[0]["metadata"]["estimate_seconds"] <= most
    assert client.poll(queued)["status"] == "SUCCEEDED"


def test_two_workers_train_at_once(folder: Path) -> None:
    with Sandbox(workers=2, data=folder) as sandbox:
        client = ApiClient(sandbox.url)
        slow = client.submit(**SLOW)
        client.poll(slow, {"IN_PROGRESS"}.__contains__)
        client.poll(client.submit(dataset_id="signal"))
        assert client.status(slow)["status"] == "IN_PROGRESS"


@pytest.mark.filterwarnings("default")
def test_error_in_sandbox_fails_training_and_not_worker() -> None:
    broken = Dataset(id="broken", name="Broken", fields=("A", "B"), rows=(("1",),) * 20)
    trainings = TrainingQueue()
    try:
        for _ in range(2):
            task_id = trainings.submit(broken, TrainingParameters(predict_fields=("B",)), force=True)
            while (progress := trainings.progress(task_id)).status is not TaskStatus.FAILED:
                time.sleep(0.001)
            assert "The sandbox failed" in str(progress.error)
    finally:
        trainings.stop()


def test_same_parameters_reuse_model(sandbox: Sandbox, client: ApiClient) -> None:
    first = client.train(dataset_id="diabetes", ignore_fields=["s1", "s2"])
    before = (sandbox.submissions, sandbox.trainings)
    again = client.train(dataset_id="diabetes", ignore_fields=["s2", "s1"], duration=10, force=False)
    assert again == first
    assert (sandbox.submissions, sandbox.trainings) == (before[0] + 1, before[1])


def test_different_parameters_train_different_models(client: ApiClient) -> None:
    payloads: tuple[dict[str, Any], ...] = (
        {},
        {"extra_attention": True},
        {"duration": 60},
        {"ignore_fields": ["Coin"]},
        {"predict_fields": ["Coin"]},
    )
    assert len({client.train(dataset_id="signal", **payload)["model_id"] for payload in payloads}) == len(payloads)


def test_concurrent_submissions_share_training(sandbox: Sandbox, client: ApiClient) -> None:
    before = sandbox.trainings
    task_ids = [client.submit(dataset_id="signal", ignore_fields=["Noise", "Coin"]) for _ in range(2)]
    for task_id in task_ids:
        client.poll(task_id)
    first, second = (client.get_training(task_id, "result").json()["model_id"] for task_id in task_ids)
    assert task_ids[0] != task_ids[1]
    assert first == second
    assert sandbox.trainings == before + 1


def test_force_trains_new_model_with_same_result(sandbox: Sandbox, client: ApiClient) -> None:
    first = client.train(dataset_id="diabetes")
    before = sandbox.trainings
    forced = client.train(dataset_id="diabetes", force=True)
    latest = client.train(dataset_id="diabetes")
    assert sandbox.trainings == before + 1
    assert forced["model_id"] != first["model_id"]
    assert latest["model_id"] == forced["model_id"]
    assert {**forced, "model_id": first["model_id"]} == first


def test_other_sandbox_returns_same_result(client: ApiClient) -> None:
    payload = {"dataset_id": "diabetes", "ignore_fields": ["s5"]}
    with Sandbox() as other:
        assert ApiClient(other.url).train(**payload) == client.train(**payload)


def test_failed_training_is_not_reused(sandbox: Sandbox, client: ApiClient) -> None:
    before = sandbox.trainings
    client.fail(dataset_id="wine", predict_fields=["Wine"])
    client.fail(dataset_id="wine", predict_fields=["Wine"])
    assert sandbox.trainings == before + 2


def test_failed_training_has_no_result(client: ApiClient) -> None:
    task_id = client.submit(dataset_id="constant")
    client.poll(task_id)
    response = client.get_training(task_id, "result")
    assert response.status_code == 404
    assert "FAILED" in response.json()["detail"]


def test_change_of_dataset_prevents_reuse(client: ApiClient) -> None:
    dataset_id = client.upload(ROWS)

    def train() -> str:
        return str(client.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"])

    first = train()
    client.post("datasets", id=dataset_id, rows=[])
    assert train() == first
    models = [first]
    for _ in range(2):
        client.post("datasets", id=dataset_id, parse_fields=True)
        client.post("datasets", id=dataset_id, fields=[{"name": "even", "type": "string"}])
        models.append(train())
    assert models[1] == models[2]
    client.post("datasets", id=dataset_id, rows=ROWS[:1])
    assert len({*models, train()}) == 3


def test_training_uses_rows_at_time_of_submission(folder: Path) -> None:
    with Sandbox(data=folder) as sandbox:
        client = ApiClient(sandbox.url)
        dataset_id = client.upload(ROWS)
        client.poll(client.submit(dataset_id="slow"), {"IN_PROGRESS"}.__contains__)
        queued = client.submit(dataset_id=dataset_id, predict_fields=["answer"])
        client.post("datasets", id=dataset_id, rows=ROWS)
        client.delete("datasets", id=dataset_id)
        assert client.status(queued)["status"] == "SUBMITTED"
        client.poll(queued)
        (classes,) = client.get_training(queued, "result").json()["stats"]
    assert sum(one["count"] for one in classes) == 0.2 * len(ROWS)


def test_deleted_model_is_not_found_and_trained_again(client: ApiClient) -> None:
    dataset_id = client.upload(ROWS, "short-lived")
    first = client.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"]
    assert {"id": first, "name": "short-lived: answer"} in client.get("models").json()["models"]
    assert client.delete("models", id=first).json() == {"status": "success"}
    assert client.post("models", id=first, data=ROWS).status_code == 404
    assert first not in client.get("models").text
    assert client.train(dataset_id=dataset_id, predict_fields=["answer"])["model_id"] != first
