"""The stored record of a training, the decision on a task retry, and stores that fail."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskState
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioSubmissionUnknownError,
    AkkioTrainingFailedError,
    AkkioUnavailableError,
)
from airflow_provider_akkio.operators._durable import (
    RECORD_KEY,
    Fail,
    Reattach,
    RecordStore,
    SubmissionRecord,
    Submit,
    decide,
    delete_on_failure,
    delete_on_success,
    fingerprint_of,
)
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from tests.conftest import Logged
from tests.scripted import ScriptedAkkio, accepted, result, status

REQUEST = TrainRequest(dataset_id="D1", predict_fields="x")
FORCED = TrainRequest(dataset_id="D1", predict_fields="x", force=True)
TRAINING = AkkioTask("T1", 1_000_000.0, duration=10)
RUNNING = AkkioTaskState("IN_PROGRESS")


class Store(dict[str, Any]):
    """A task state store that can fail, and records the order of events.

    :param failing: names of the methods that fail.
    """

    def __init__(self, *failing: str) -> None:
        super().__init__()
        self.failing = failing
        self.events: list[str] = []

    def set(self, key: str, value: Any) -> None:
        self._record("set")
        self[key] = value

    def delete(self, key: str) -> None:
        self._record("delete")
        self.pop(key, None)

    def _record(self, event: str) -> None:
        self.events.append(event)
        if event in self.failing:
            raise RuntimeError(f"cannot {event}")


class TaskInstance:
    """Records the XComs that are pushed among the events of a store."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def xcom_push(self, *, key: str, **_: Any) -> None:
        self.events.append(f"push {key}")


def record_store(store: Store | None, *, durable: bool = True) -> RecordStore:
    context: Any = {} if store is None else {"task_state_store": store}
    return RecordStore(context, durable=durable)


def record(
    request: TrainRequest = REQUEST, akkio_task_id: str | None = "T1", connection: str = "c"
) -> SubmissionRecord:
    fingerprint = fingerprint_of(request, connection)
    return SubmissionRecord(fingerprint=fingerprint, akkio_task_id=akkio_task_id, submitted_at=TRAINING.submitted_at)


def decide_on(
    stored: Any,
    found: AkkioTaskState | Exception | None = RUNNING,
    request: TrainRequest = REQUEST,
    *,
    age: float = 60,
) -> Any:
    """Return the decision for a stored record, where Akkio's look-up returns or raises ``found``."""

    def look_up(training: AkkioTask) -> AkkioTaskState | None:
        assert training == TRAINING
        if isinstance(found, Exception):
            raise found
        return found

    entry = stored.to_json() if isinstance(stored, SubmissionRecord) else stored
    return decide(entry, request, fingerprint_of(request, "c"), look_up, TRAINING.submitted_at + age)


def test_first_attempt_submits() -> None:
    assert decide_on(None) == Submit()


@pytest.mark.parametrize("state", [RUNNING, AkkioTaskState("SUCCEEDED"), AkkioTaskState("not known")])
def test_retry_reattaches_to_a_training_that_can_bring_a_model(state: AkkioTaskState) -> None:
    assert decide_on(record(), state) == Reattach(TRAINING, state)


def test_retry_submits_after_a_failed_training() -> None:
    assert decide_on(record(), None) == Submit()


@pytest.mark.parametrize(
    "stored",
    [
        record(FORCED),
        record(TrainRequest(dataset_id="D2", predict_fields="x")),
        record(connection="another_account"),
        record(FORCED, akkio_task_id=None),
    ],
)
def test_retry_with_other_parameters_submits(stored: SubmissionRecord, caplog: pytest.LogCaptureFixture) -> None:
    assert decide_on(stored) == Submit()
    assert "its parameters differ" in caplog.text


def test_retry_fails_after_an_interrupted_submission() -> None:
    decision = decide_on(record(FORCED, akkio_task_id=None), request=FORCED)
    assert isinstance(decision, Fail)
    assert isinstance(decision.error, AkkioSubmissionUnknownError)


@pytest.mark.parametrize(
    ("request_", "age", "expected"),
    [(REQUEST, 60, Submit), (FORCED, 60, Fail), (FORCED, 90_000, Submit)],
    ids=["not forced", "forced", "forced, after a day"],
)
def test_retry_pays_again_for_an_unknown_training_only_after_a_day(
    request_: TrainRequest, age: float, expected: type
) -> None:
    error = AkkioNotFoundError("HTTP 404")
    assert isinstance(decide_on(record(request_), error, request_, age=age), expected)


def test_store_returns_the_saved_training() -> None:
    store = Store()
    record_store(store).save(record().fingerprint, TRAINING)
    assert SubmissionRecord.from_json(record_store(store).load()) == record()


@pytest.mark.parametrize(("store", "durable"), [(None, True), (Store(), False)], ids=["old Airflow", "durable=False"])
def test_store_is_not_used(store: Store | None, durable: bool) -> None:
    records = record_store(store, durable=durable)
    with records.during_submission("f", 1.0):
        records.save("f", TRAINING)
    assert records.load() is None
    assert not store


@pytest.mark.parametrize(
    "entry",
    [
        "T1",
        7,
        {},
        {"akkio_task_id": "T1", "submitted_at": 1.0},
        {"fingerprint": "f", "akkio_task_id": "T1"},
        {"fingerprint": "f", "akkio_task_id": 7, "submitted_at": 1.0},
        {"fingerprint": "f", "akkio_task_id": "", "submitted_at": 1.0},
        {"fingerprint": "f", "akkio_task_id": "T1\nall is well", "submitted_at": 1.0},
        {"fingerprint": "f", "akkio_task_id": "T1", "submitted_at": float("nan")},
        {"fingerprint": "f", "akkio_task_id": "T1", "submitted_at": True},
    ],
)
def test_retry_pays_again_with_an_invalid_record_only_if_akkio_returns_the_same_model(
    entry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert decide_on(entry) == Submit()
    assert "invalid" in caplog.text
    decision = decide_on(entry, request=FORCED)
    assert isinstance(decision, Fail)
    assert isinstance(decision.error, AkkioSubmissionUnknownError)


def test_submission_has_a_record_without_an_id_while_it_is_in_flight() -> None:
    store = Store()
    with record_store(store).during_submission("f", 5.0):
        assert record_store(store).load() == {"fingerprint": "f", "akkio_task_id": None, "submitted_at": 5.0}


def test_submission_with_unknown_outcome_keeps_its_record_until_the_task_has_failed() -> None:
    store = Store()
    with pytest.raises(AkkioSubmissionUnknownError) as caught, record_store(store).during_submission("f", 5.0):
        raise AkkioSubmissionUnknownError("connection reset")
    assert RECORD_KEY in store
    context: Any = {"task_state_store": store, "exception": caught.value}
    delete_on_failure(context)
    assert store == {}


@pytest.mark.parametrize("error", [AkkioUnavailableError("HTTP 503"), AirflowNotFoundException("no connection")])
def test_failed_submission_deletes_its_record(error: Exception) -> None:
    store = Store()
    with pytest.raises(type(error)), record_store(store).during_submission("f", 5.0):
        raise error
    assert store == {}


def test_submission_is_not_sent_without_its_record() -> None:
    with pytest.raises(RuntimeError), record_store(Store("set")).during_submission("f", 5.0):
        pytest.fail("the submission was sent")


def test_failed_training_keeps_its_record() -> None:
    store = Store()
    record_store(store).save("f", TRAINING)
    context: Any = {"task_state_store": store, "exception": AkkioTrainingFailedError("too few rows")}
    delete_on_failure(context)
    assert RECORD_KEY in store


def test_failing_store_does_not_fail_a_successful_task(caplog: pytest.LogCaptureFixture) -> None:
    context: Any = {"task_state_store": Store("delete")}
    delete_on_success(context)
    assert "Could not delete the stored record" in caplog.text


def execute(store: Store, **arguments: Any) -> Any:
    """Execute a blocking training with a store, without Airflow."""
    task = AkkioTrainOperator(
        task_id="train", dataset_id="D1", predict_fields="x", deferrable=False, poll_interval=0.05, **arguments
    )
    context: Any = {"ti": TaskInstance(store.events), "task_state_store": store}
    return task.execute(context)


@pytest.fixture
def trained(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose trainings are done after three polls."""
    connected.script("new", accepted("T2"))
    connected.script("status", status("IN_PROGRESS"), status("IN_PROGRESS"), status("SUCCEEDED"))
    connected.script("result", result("M1"))
    return connected


def store_with_training(age: float) -> Store:
    """Return a store with the record of a training that a previous attempt of :func:`execute` submitted."""
    store = Store()
    training = AkkioTask("T1", time.time() - age)
    record_store(store).save(fingerprint_of(REQUEST, "akkio_default"), training)
    store.events.clear()
    return store


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("force", "events"),
    [(False, ["set", "push akkio_task_id"]), (True, ["set", "set", "push akkio_task_id"])],
)
def test_operator_stores_the_training_before_it_pushes_the_id(force: bool, events: list[str]) -> None:
    store = Store()
    execute(store, force=force)
    assert store.events[: len(events)] == events
    assert store[RECORD_KEY]["akkio_task_id"] == "T2"


@pytest.mark.parametrize("callbacks", [None, str, [str]])
def test_operator_runs_the_callbacks_of_the_author_first(callbacks: Any) -> None:
    task = AkkioTrainOperator(
        task_id="train", dataset_id="D1", on_success_callback=callbacks, on_failure_callback=callbacks
    )
    authors = [str] if callbacks else []
    assert task.on_success_callback == [*authors, delete_on_success]
    assert task.on_failure_callback == [*authors, delete_on_failure]


@pytest.mark.usefixtures("trained")
def test_operator_killed_while_it_stores_the_training_logs_the_id(logged: Logged) -> None:
    task = AkkioTrainOperator(task_id="train", dataset_id="D1")

    class Killed(Store):
        def set(self, *_: Any) -> None:
            task.on_kill()
            raise KeyboardInterrupt

    context: Any = {"ti": TaskInstance([]), "task_state_store": Killed()}
    with pytest.raises(KeyboardInterrupt):
        task.execute(context)
    assert "AkkioTrainSensor(akkio_task_id='T2')" in logged()


@pytest.mark.usefixtures("trained")
def test_operator_keeps_a_running_training_if_the_store_fails(caplog: pytest.LogCaptureFixture) -> None:
    assert execute(Store("set")) == "M1"
    assert "Could not store training T2" in caplog.text


def test_retry_waits_for_its_own_timeout(trained: ScriptedAkkio) -> None:
    assert execute(store_with_training(age=3600), timeout=60) == "M1"
    assert not trained.requests_to("new")


def test_retry_returns_the_existing_id_without_waiting(trained: ScriptedAkkio) -> None:
    store = store_with_training(age=3600)
    assert execute(store, wait_for_completion=False) == "T1"
    assert not trained.requests_to("new")
    assert store.events == ["set", "push akkio_task_id"]


def test_retry_without_durable_submits(trained: ScriptedAkkio) -> None:
    assert execute(store_with_training(age=3600), wait_for_completion=False, durable=False) == "T2"


def test_retry_submits_if_the_training_was_pending_for_a_day(connected: ScriptedAkkio) -> None:
    connected.script("new", accepted("T2"))
    connected.script("status", status("PENDING"))
    assert execute(store_with_training(age=90_000), wait_for_completion=False) == "T2"
