"""What is kept of a training for a later try, when, and what becomes of a store that fails."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.types import SubmittedTraining
from airflow_provider_akkio.exceptions import AkkioSubmissionUnknownError, AkkioUnavailableError
from airflow_provider_akkio.operators._durable import KEY, Handover, forget, forget_what_a_person_clears
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from tests.conftest import Logged
from tests.scripted import ScriptedAkkio, accepted, result, status

REQUEST = TrainRequest(dataset_id="D1", predict_fields="x")
FORCED = TrainRequest(dataset_id="D1", predict_fields="x", force=True)
TRAINING = SubmittedTraining("T1", 1_000_000.0, duration=10)


class Store(dict[str, Any]):
    """A task state store that can be broken, and that notes what is done with it."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken
        self.story: list[str] = []

    def set(self, key: str, value: Any) -> None:
        self._do("set")
        self[key] = value

    def delete(self, key: str) -> None:
        self._do("delete")
        self.pop(key, None)

    def _do(self, what: str) -> None:
        self.story.append(what)
        if what in self.broken:
            raise RuntimeError(f"cannot {what}")


class TaskInstance:
    """Takes XComs, and notes that in the story of a store."""

    def __init__(self, story: list[str]) -> None:
        self.story = story

    def xcom_push(self, *, key: str, **_: Any) -> None:
        self.story.append(f"push {key}")


def handover(store: Store | None, request: TrainRequest = REQUEST, akkio_conn_id: str = "akkio_default") -> Handover:
    """Return the handover of one more try."""
    context: Any = {} if store is None else {"task_state_store": store}
    return Handover(context, request, akkio_conn_id)


def execute(store: Store, **arguments: Any) -> Any:
    """Execute a blocking training with a store, in no Airflow."""
    task = AkkioTrainOperator(
        task_id="train", dataset_id="D1", predict_fields="x", deferrable=False, poll_interval=0.05, **arguments
    )
    context: Any = {"ti": TaskInstance(store.story), "task_state_store": store}
    return task.execute(context)


def test_a_later_try_finds_what_was_kept() -> None:
    store = Store()
    handover(store).keep(TRAINING)
    assert handover(store).earlier_training() == TRAINING


@pytest.mark.parametrize(
    "other",
    [
        {"request": FORCED},
        {"request": TrainRequest(dataset_id="D2", predict_fields="x")},
        {"akkio_conn_id": "another_account"},
    ],
)
def test_a_try_that_asks_for_something_else_finds_nothing(other: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    handover(store).keep(TRAINING)
    assert handover(store, **other).earlier_training() is None
    assert "An earlier try submitted training T1 with other parameters" in caplog.text


def test_an_airflow_without_a_store_keeps_nothing() -> None:
    old = handover(None, FORCED)
    with old.submitting():
        old.keep(TRAINING)
    assert old.earlier_training() is None
    forget({})  # type: ignore[typeddict-item] # an Airflow without a store


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
def test_an_entry_that_is_none_of_ours_is_passed_over(entry: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store[KEY] = entry
    assert handover(store).earlier_training() is None
    assert "cannot be read" in caplog.text


class TestASubmissionThatMayBeBilledTwice:
    def test_is_in_doubt_until_its_outcome_is_known(self) -> None:
        store = Store()
        with handover(store, FORCED).submitting():
            assert store[KEY]["akkio_task_id"] is None
            assert store[KEY]["submitted_at"] == pytest.approx(time.time(), abs=60)
        with pytest.raises(AkkioSubmissionUnknownError, match=r"Look for the model in Akkio.* clear this task"):
            handover(store, FORCED).earlier_training()

    def test_is_in_doubt_until_airflow_knows_that_the_task_failed_of_it(self) -> None:
        store = Store()
        with pytest.raises(AkkioSubmissionUnknownError) as caught, handover(store, FORCED).submitting():
            raise AkkioSubmissionUnknownError("no answer")
        with pytest.raises(AkkioSubmissionUnknownError):
            handover(store, FORCED).earlier_training()
        context: Any = {"task_state_store": store, "exception": caught.value}
        forget_what_a_person_clears(context)
        assert handover(store, FORCED).earlier_training() is None

    @pytest.mark.parametrize("error", [AkkioUnavailableError("no answer"), AirflowNotFoundException("no connection")])
    def test_is_over_once_it_has_failed_without_a_training(self, error: Exception) -> None:
        store = Store()
        with pytest.raises(type(error)), handover(store, FORCED).submitting():
            raise error
        assert store == {}

    def test_is_told_from_a_training_where_the_parameters_are_other_ones(self, caplog: Any) -> None:
        store = Store()
        with handover(store, FORCED).submitting():
            pass
        assert handover(store).earlier_training() is None
        assert "An earlier try submitted what may have become a training with other parameters" in caplog.text

    def test_is_not_sent_if_it_cannot_be_noted(self) -> None:
        with pytest.raises(RuntimeError), handover(Store("set"), FORCED).submitting():
            pytest.fail("it was sent")

    def test_is_not_noted_where_submitting_twice_is_harmless(self) -> None:
        store = Store()
        with handover(store).submitting():
            assert store == {}


class TestAStoreThatFails:
    def test_does_not_lose_a_training_that_has_begun(self, connected: ScriptedAkkio, caplog: Any) -> None:
        connected.script("new", accepted("T1"))
        connected.script("status", status("SUCCEEDED"))
        connected.script("result", result("M1"))
        assert execute(Store("set")) == "M1"
        assert "Training T1 could not be kept for a later try; AkkioTrainSensor(akkio_task_id='T1')" in caplog.text

    def test_is_told_of_when_a_task_has_succeeded(self, caplog: Any) -> None:
        context: Any = {"task_state_store": Store("delete")}
        forget(context)
        assert "could not be removed" in caplog.text


class TestTheOperator:
    @pytest.fixture
    def trained(self, connected: ScriptedAkkio) -> ScriptedAkkio:
        """An Akkio whose trainings go on for two questions."""
        connected.script("new", accepted("T2"))
        connected.script("status", status("IN_PROGRESS"), status("IN_PROGRESS"), status("SUCCEEDED"))
        connected.script("result", result("M1"))
        return connected

    @pytest.fixture
    def kept(self) -> Store:
        """A store with a training that was submitted an hour ago."""
        store = Store()
        handover(store).keep(SubmittedTraining("T1", time.time() - 3600))
        store.story.clear()
        return store

    @pytest.mark.usefixtures("trained")
    def test_keeps_the_id_before_it_pushes_it(self) -> None:
        store = Store()
        execute(store)
        assert store.story[:2] == ["set", "push akkio_task_id"]

    @pytest.mark.usefixtures("trained")
    def test_leaves_the_entry_until_airflow_knows_of_the_success(self) -> None:
        store = Store()
        execute(store)
        assert store[KEY]["akkio_task_id"] == "T2"

    @pytest.mark.parametrize("given", [None, str, [str]])
    def test_leaves_the_callbacks_of_its_author_first(self, given: Any) -> None:
        task = AkkioTrainOperator(
            task_id="train", dataset_id="D1", on_success_callback=given, on_failure_callback=given
        )
        authors = [str] if given else []
        assert task.on_success_callback == [*authors, forget]
        assert task.on_failure_callback == [*authors, forget_what_a_person_clears]

    @pytest.mark.usefixtures("trained")
    def test_tells_of_the_training_if_it_is_killed_while_the_id_is_kept(self, logged: Logged) -> None:
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
    def test_notes_a_forced_submission_before_it_sends_it(self) -> None:
        store = Store()
        execute(store, force=True)
        assert store.story[:3] == ["set", "set", "push akkio_task_id"]

    def test_gives_a_later_try_its_own_time_to_wait(self, trained: ScriptedAkkio, kept: Store) -> None:
        assert execute(kept, timeout=60) == "M1"
        assert not trained.asked("new")

    def test_hands_an_earlier_training_on_without_waiting(self, trained: ScriptedAkkio, kept: Store) -> None:
        assert execute(kept, wait_for_completion=False) == "T1"
        assert not trained.asked("new")
        assert kept.story == ["set", "push akkio_task_id"]

    def test_takes_a_training_that_was_pending_for_over_a_day_as_lost(
        self, connected: ScriptedAkkio, logged: Logged
    ) -> None:
        connected.script("new", accepted("T2"))
        connected.script("status", status("PENDING"))
        store = Store()
        handover(store).keep(SubmittedTraining("T1", time.time() - 90_000))
        assert execute(store, wait_for_completion=False) == "T2"
        assert "Training T1, which an earlier try submitted, brings no model" in logged()
