"""Queue of trainings: worker threads, the status of each task, and the trained models."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from airflow_provider_akkio.sandbox.datasets import Dataset, FieldType, NotFoundError
from airflow_provider_akkio.sandbox.learning import (
    TrainedModel,
    TrainingParameters,
    TrainingStoppedError,
    UntrainableError,
    train,
)
from airflow_provider_akkio.sandbox.tasks import Progress, TaskStatus, status_of, task_progress

logger = logging.getLogger(__name__)

_FIRST_ESTIMATE_SECONDS = 1.0
_TrainingKey = tuple[str, int, tuple[tuple[str, FieldType], ...], TrainingParameters]


@dataclass(frozen=True, slots=True)
class Training:
    """A training that is queued, running or done.

    :param dataset: dataset at the time of the submission.
    :param parameters: parameters of the training.
    :param model_id: ID of its model.
    :param future: outcome of the training.
    """

    dataset: Dataset
    parameters: TrainingParameters
    model_id: str
    future: Future[TrainedModel]

    @property
    def status(self) -> TaskStatus:
        """Current status."""
        return status_of(self.future)


@dataclass(frozen=True, slots=True)
class Task:
    """A submission; submissions with the same parameters share a training.

    :param training: the training.
    :param submitted_at: time of the submission by the monotonic clock.
    """

    training: Training
    submitted_at: float


class TrainingQueue:
    """Trains models in worker threads and stores them.

    Threads do not block the server: scikit-learn releases the GIL while it grows a tree.

    :param workers: number of trainings that run at once; default 1.
    :param pace: minimum seconds from a submission to its final status; default 0.
    """

    def __init__(self, *, workers: int = 1, pace: float = 0.0) -> None:
        self.submissions = 0
        self.trainings = 0
        self._pace = pace
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="akkio-sandbox-training")
        self._tasks: dict[str, Task] = {}
        self._models: dict[str, Training] = {}
        self._by_parameters: defaultdict[_TrainingKey, list[Training]] = defaultdict(list)
        self._longest_seconds: dict[str, float] = {}

    def submit(self, dataset: Dataset, parameters: TrainingParameters, *, force: bool) -> str:
        """Submit a training and return the task ID.

        :param dataset: dataset to train on.
        :param parameters: parameters of the training.
        :param force: start a new training even if there is a training of the same rows with the same parameters that
            has not failed, and whose model was not deleted.
        """
        task_id = secrets.token_hex(10)
        key = (dataset.id, dataset.version, tuple(sorted(dataset.types.items())), parameters)
        with self._lock:
            self.submissions += 1
            same = self._by_parameters[key]
            if force or not same or not self._is_reusable(same[-1]):
                # The same sequence of submissions returns the same model IDs in every run.
                model_id = hashlib.sha256(repr((key, len(same))).encode()).hexdigest()[:20]
                future = self._executor.submit(self._train, dataset, parameters)
                same.append(Training(dataset, parameters, model_id, future))
                self._models[model_id] = same[-1]
            self._tasks[task_id] = Task(same[-1], time.monotonic())
        return task_id

    def progress(self, task_id: str) -> Progress:
        """Return the status of a task; raise :class:`NotFoundError` if there is no such task."""
        task = self._task(task_id)
        estimate = self._longest_seconds.get(task.training.dataset.id, _FIRST_ESTIMATE_SECONDS)
        return task_progress(
            task.training.future, submitted_at=task.submitted_at, pace=self._pace, estimate_seconds=estimate
        )

    def result(self, task_id: str) -> tuple[str, TrainedModel]:
        """Return the ID and the model of a task.

        :raises NotFoundError: if there is no such task, or its status is not ``SUCCEEDED``.
        """
        training, status = self._task(task_id).training, self.progress(task_id).status
        if status is not TaskStatus.SUCCEEDED:
            raise NotFoundError(f"Task {task_id!r} has no result: its status is {status}.")
        return training.model_id, training.future.result()

    def model_names(self) -> dict[str, str]:
        """Return the name of each model by its ID."""
        return {
            model_id: f"{training.dataset.name}: {', '.join(training.parameters.predict_fields)}"
            for model_id, training in list(self._models.items())
            if training.status is TaskStatus.SUCCEEDED
        }

    def model(self, model_id: str) -> TrainedModel:
        """Return a model; raise :class:`NotFoundError` if there is no such model."""
        return self.training(model_id).future.result()

    def training(self, model_id: str) -> Training:
        """Return the training of a model; raise :class:`NotFoundError` if there is no such model."""
        training = self._models.get(model_id)
        if training is None or training.status is not TaskStatus.SUCCEEDED:
            raise NotFoundError(f"There is no model {model_id!r}.")
        return training

    def delete_model(self, model_id: str) -> None:
        """Delete a model; raise :class:`NotFoundError` if there is no such model."""
        self.model(model_id)
        self._models.pop(model_id, None)

    def stop(self) -> None:
        """Stop the workers; trainings that are queued or running fail."""
        self._stop.set()
        self._executor.shutdown()

    def _task(self, task_id: str) -> Task:
        if task_id not in self._tasks:
            raise NotFoundError(f"There is no task {task_id!r}.")
        return self._tasks[task_id]

    def _is_reusable(self, training: Training) -> bool:
        return training.model_id in self._models and training.status is not TaskStatus.FAILED

    def _train(self, dataset: Dataset, parameters: TrainingParameters) -> TrainedModel:
        started_at = time.monotonic()
        with self._lock:
            self.trainings += 1
        try:
            return train(dataset, parameters, self._stop)
        except (UntrainableError, TrainingStoppedError):
            raise
        except Exception as error:
            logger.exception("Training on dataset %r failed because of an error in the sandbox.", dataset.id)
            raise RuntimeError(f"The sandbox failed: {error}") from error
        finally:
            seconds = time.monotonic() - started_at
            self._longest_seconds[dataset.id] = max(seconds, self._longest_seconds.get(dataset.id, 0.0))
