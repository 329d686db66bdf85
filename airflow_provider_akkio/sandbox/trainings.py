"""The trainings that were asked for: one queue, a few worker threads, and what each is at."""

from __future__ import annotations

import hashlib
import logging
import queue
import secrets
import string
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_akkio.api.types import TrainingStatus
from airflow_provider_akkio.sandbox.boosting import TrainingStopped
from airflow_provider_akkio.sandbox.datasets import Dataset
from airflow_provider_akkio.sandbox.learning import Parameters, TrainedModel, learn
from airflow_provider_akkio.sandbox.targets import UntrainableError

logger = logging.getLogger(__name__)

_ID_CHARACTERS = string.ascii_letters + string.digits
_ID_LENGTH = 20

# With a pace, a training is shown as waiting for so much of it.
WAITING_SHARE = 0.2
FIRST_ESTIMATE = 1.0
STOPPING_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Training:
    """One training and what became of it; only the worker that does it writes ``status`` and what follows.

    :param dataset: the rows as they were when it was asked for.
    :param parameters: what was asked for.
    :param model_id: what its model is called, once there is one.
    :param is_deleted: whether its model was deleted.
    """

    dataset: Dataset
    parameters: Parameters
    model_id: str
    status: TrainingStatus = TrainingStatus.SUBMITTED
    seconds: float = 0.0
    model: TrainedModel | None = None
    error: str | None = None
    is_deleted: bool = False

    @property
    def is_of_use(self) -> bool:
        """Whether a model will come of it, or has and is still there."""
        return self.status is not TrainingStatus.FAILED and not self.is_deleted


@dataclass(frozen=True, slots=True)
class Task:
    """One submission; several share a training if they ask for the same.

    :param id: what its status is asked for by.
    :param training: what it waits for.
    :param submitted_at: when it came, by the monotonic clock.
    """

    id: str
    training: Training
    submitted_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a task is at.

    :param status: ``SUBMITTED``, ``IN_PROGRESS``, ``SUCCEEDED`` or ``FAILED``.
    :param estimate_seconds: while it is in progress, a rough estimate of the whole.
    :param error: why it failed, if it did.
    """

    status: TrainingStatus
    estimate_seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The model that a task ended with.

    :param model_id: what it is called.
    :param model: what it is.
    """

    model_id: str
    model: TrainedModel


class UnknownTaskError(LookupError):
    """No task has this id."""


class UnknownModelError(LookupError):
    """No model has this id."""


class UnfinishedTaskError(LookupError):
    """The task has no model: not yet, or never."""


class TrainingQueue:
    """Trains one after the other what is submitted, and tells what each is at.

    The workers are threads: scikit-learn lets go of the interpreter while it learns, so answers stay quick; the models
    lie where predictions can be asked of them; and whatever ends the process ends them too.

    :param datasets: what can be trained on, by id; read on each submission.
    :param workers: how many trainings may run at once; default 1.
    :param pace: for how many seconds at least a task is shown as going on; default 0.
    """

    def __init__(self, datasets: Mapping[str, Dataset], *, workers: int = 1, pace: float = 0.0) -> None:
        self.submissions = 0
        self.trainings = 0
        self._datasets = datasets
        self._pace = pace
        self._tasks: dict[str, Task] = {}
        self._by_parameters: dict[tuple[Parameters, int], list[Training]] = {}
        self._waiting: queue.SimpleQueue[Training | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"akkio-sandbox-training-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, parameters: Parameters, *, force: bool) -> Task:
        """Return a new task for a training: the one with these parameters and these rows, if there is one of use.

        :param parameters: what to train; its dataset must exist.
        :param force: train in any case.
        """
        with self._lock:
            self.submissions += 1
            dataset = self._datasets[parameters.dataset_id]
            same = self._by_parameters.setdefault((parameters, dataset.version), [])
            if force or not same or not same[-1].is_of_use:
                model_id = _derive_id(parameters, dataset.version, len(same))
                same.append(Training(dataset=dataset, parameters=parameters, model_id=model_id))
                self._waiting.put(same[-1])
            task = Task(_random_id(), same[-1], time.monotonic())
            self._tasks[task.id] = task
            return task

    def progress(self, task_id: str) -> Progress:
        """Return what a task is at; raise :class:`UnknownTaskError` if there is none of that id."""
        task = self._find(task_id)
        training, elapsed = task.training, time.monotonic() - task.submitted_at
        if training.status.is_waiting or elapsed < WAITING_SHARE * self._pace:
            return Progress(status=TrainingStatus.SUBMITTED)
        if training.status is TrainingStatus.IN_PROGRESS or elapsed < self._pace:
            return Progress(status=TrainingStatus.IN_PROGRESS, estimate_seconds=self._estimate(training))
        return Progress(status=training.status, error=training.error)

    def result(self, task_id: str) -> Finished:
        """Return the model of a task.

        :param task_id: the task.
        :raises UnknownTaskError: if there is none of that id.
        :raises UnfinishedTaskError: if its status is not ``SUCCEEDED``.
        """
        training, status = self._find(task_id).training, self.progress(task_id).status
        if status is not TrainingStatus.SUCCEEDED or training.model is None:
            raise UnfinishedTaskError(f"Task {task_id!r} has no result: it is {status}.")
        return Finished(training.model_id, training.model)

    def models(self) -> list[tuple[str, str]]:
        """Return the id and name of each model."""
        return [
            (one.model_id, f"{one.dataset.name}: {', '.join(one.parameters.predict_fields)}") for one in self._trained()
        ]

    def model(self, model_id: str) -> TrainedModel:
        """Return a model; raise :class:`UnknownModelError` if there is none of that id."""
        model = self._of_model(model_id).model
        assert model is not None  # noqa: S101 - only trainings with a model are looked through
        return model

    def delete_model(self, model_id: str) -> None:
        """Delete a model; raise :class:`UnknownModelError` if there is none of that id."""
        self._of_model(model_id).is_deleted = True

    def close(self) -> None:
        """Stop the workers, at most a few seconds long; a training that is going on fails."""
        self._stopping.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(STOPPING_SECONDS)

    def _trained(self) -> list[Training]:
        with self._lock:
            everything = [one for trainings in self._by_parameters.values() for one in trainings]
        return [one for one in everything if one.model is not None and one.is_of_use]

    def _of_model(self, model_id: str) -> Training:
        for training in self._trained():
            if training.model_id == model_id:
                return training
        raise UnknownModelError(f"There is no model {model_id!r}.")

    def _find(self, task_id: str) -> Task:
        try:
            return self._tasks[task_id]
        except KeyError:
            raise UnknownTaskError(f"There is no task {task_id!r}.") from None

    def _estimate(self, training: Training) -> float:
        """Return the longest time that a training on the same dataset took, and no less than the pace."""
        with self._lock:
            everything = [one for trainings in self._by_parameters.values() for one in trainings]
        seconds = [one.seconds for one in everything if one.seconds and one.dataset.id == training.dataset.id]
        return max(self._pace, *seconds) if seconds else max(self._pace, FIRST_ESTIMATE)

    def _work(self) -> None:
        while (training := self._waiting.get()) is not None and not self._stopping.is_set():
            self._train(training)

    def _train(self, training: Training) -> None:
        began = time.monotonic()
        with self._lock:
            self.trainings += 1
        training.status = TrainingStatus.IN_PROGRESS
        try:
            training.model = learn(training.dataset, training.parameters, self._stopping)
        except UntrainableError as error:
            training.error = str(error)
        except TrainingStopped:
            training.error = "The sandbox was stopped."
        except Exception as error:
            logger.exception("A training on %r broke.", training.dataset.id)
            training.error = f"The sandbox failed: {error}"
        training.seconds = time.monotonic() - began
        # Last, since whoever reads it as ended reads the rest without a lock.
        training.status = TrainingStatus.FAILED if training.model is None else TrainingStatus.SUCCEEDED


def _random_id() -> str:
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


def _derive_id(parameters: Parameters, version: int, number: int) -> str:
    """Return the same id for the same parameters and rows in every run, and another for each further training."""
    shown = (sorted(parameters.ignore_fields), parameters.predict_fields, int(parameters.duration))
    text = repr((parameters.dataset_id, parameters.extra_attention, *shown, version, number))
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ID_CHARACTERS[byte % len(_ID_CHARACTERS)] for byte in digest[:_ID_LENGTH])
