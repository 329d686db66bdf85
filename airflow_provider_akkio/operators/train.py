"""Train a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.parameters import (
    TRAIN_PARAMETERS,
    TrainRequest,
    check_disjoint,
    is_literal,
    naming_task,
    parse_id,
    parse_parameter,
    parse_seconds,
    validate_literals,
)
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS, SubmittedTraining, TrainingStatus
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID
from airflow_provider_akkio.operators._base import CurrentTraining, TrainingWaitOperator
from airflow_provider_akkio.operators._durable import (
    Fail,
    Reattach,
    RecordStore,
    Submit,
    decide,
    delete_on_failure,
    delete_on_success,
    fingerprint_of,
    with_callback,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.types import TrainingState
    from airflow_provider_akkio.hooks.akkio import AkkioHook


class AkkioTrainOperator(TrainingWaitOperator):
    """Train a model on a dataset, and wait for it without occupying a worker.

    A task retry reattaches to the training that a previous attempt submitted with the same parameters, unless Akkio
    reports that it failed. This needs Airflow 3.3 or newer. With an older Airflow each attempt submits again, and
    Akkio then returns the existing model unless ``force`` is set.

    XComs: ``akkio_task_id`` as soon as Akkio has accepted the training; ``akkio_status`` during the wait; at the end
    ``model_id``, ``stats``, ``field_importance`` and ``data_story`` as Akkio sent them, or ``akkio_error``. The return
    value is the model ID. Source of the API facts: Akkio's Training page and its OpenAPI document.

    ``deferrable`` does not follow ``[operators] default_deferrable``: a training would occupy a worker for up to half
    an hour.

    .. code-block:: python

        train = AkkioTrainOperator(task_id="train", dataset_id="YTV32jCdVf5DbcMxzvX5", predict_fields="Positive Lead")

    :param dataset_id: ID of the dataset.
    :param predict_fields: name or names of the fields to predict, case sensitive; default Akkio's choice.
    :param ignore_fields: name or names of the fields to exclude from the model; default none.
    :param duration: seconds that Akkio spends on the training: 10 (default), 60, 300 or 1800.
    :param extra_attention: whether Akkio gives extra attention to rare cases; default no.
    :param force: whether Akkio trains (and bills) a new model even if one with the same parameters exists; default no.
        Before Airflow 3.3, use ``retries=0`` with it, because each attempt trains a new model there.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :param deferrable: whether to wait in the triggerer (default) instead of the worker.
    :param poll_interval: seconds between two polls; default the polling schedule of
        :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll`.
    :param timeout: seconds or a timedelta after which the task fails, counted from the submission, or from the start
        of a task retry; default a day, after which Akkio takes a training as failed.
    :param wait_for_completion: whether to wait for the model (default). Otherwise the task ends once Akkio has accepted
        the training, and returns ``akkio_task_id`` for an
        :class:`~airflow_provider_akkio.sensors.akkio.AkkioTrainSensor`.
    :param durable: whether a task retry reattaches to the training of a previous attempt; default yes.
    :raises AkkioParameterError: if a literal is invalid (when the DAG is parsed), or a rendered value is invalid
        (before anything is sent).
    """

    template_fields: Sequence[str] = (*TRAIN_PARAMETERS, "akkio_conn_id")

    def __init__(
        self,
        *,
        dataset_id: str,
        predict_fields: str | Sequence[str] | None = None,
        ignore_fields: str | Sequence[str] | None = None,
        duration: int | str = 10,
        extra_attention: bool | str = False,
        force: bool | str = False,
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        deferrable: bool = True,
        poll_interval: float | None = None,
        timeout: float | timedelta = MAX_TRAINING_SECONDS,
        wait_for_completion: bool = True,
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(akkio_conn_id=akkio_conn_id, deferrable=deferrable, poll_interval=poll_interval, **kwargs)
        self.on_success_callback = with_callback(self.on_success_callback, delete_on_success)
        self.on_failure_callback = with_callback(self.on_failure_callback, delete_on_failure)
        self.dataset_id = dataset_id
        self.predict_fields = predict_fields
        self.ignore_fields = ignore_fields
        self.duration = duration
        self.extra_attention = extra_attention
        self.force = force
        self.wait_for_completion = wait_for_completion
        self.durable = durable
        parsers = dict.fromkeys(TRAIN_PARAMETERS, parse_parameter) | {"akkio_conn_id": parse_id}
        validate_literals(self.task_id, vars(self), parsers)
        with naming_task(self.task_id):
            self.timeout = parse_seconds("timeout", timeout)
            if is_literal(predict_fields) and is_literal(ignore_fields):
                check_disjoint(
                    parse_parameter("predict_fields", predict_fields), parse_parameter("ignore_fields", ignore_fields)
                )

    def execute(self, context: Context) -> str:
        """Submit a training, or reattach to the one of a previous attempt; then wait for the model."""
        with self.pushing_errors(context):
            request = TrainRequest(**{name: getattr(self, name) for name in TRAIN_PARAMETERS})
            hook = self.make_hook()
            self.current_training = CurrentTraining(hook)
            fingerprint = fingerprint_of(request, hook.akkio_conn_id)
            store = RecordStore(context, durable=self.durable)
            state: TrainingState | None = None
            decision = decide(store.load(), request, fingerprint, hook.get_resumable_state, time.time())
            match decision:
                case Submit():
                    training = self._submit(hook, store, request, fingerprint)
                    wait_started_at = training.submitted_at
                case Reattach():
                    training, state = decision.training, decision.state
                    wait_started_at = time.time()
                case Fail():
                    raise decision.error
            self.current_training = CurrentTraining(hook, training.akkio_task_id)
            store.save(fingerprint, training)
            if self.do_xcom_push:
                context["ti"].xcom_push(key="akkio_task_id", value=training.akkio_task_id)
            if not self.wait_for_completion:
                return training.akkio_task_id
            deadlines = self.deadlines(context, wait_started_at + self.timeout)
            if state is not None and state.known is TrainingStatus.SUCCEEDED:
                self.status_reporter(context, training)(state)
                return self.finish_training(context, hook, training, deadlines, state.location)
            return self.wait_for_training(context, hook, training, deadlines)

    def _submit(
        self, hook: AkkioHook, store: RecordStore, request: TrainRequest, fingerprint: str
    ) -> SubmittedTraining:
        if not request.force:  # a second submission returns the same model
            return hook.submit_training(request)
        with store.during_submission(fingerprint, time.time()):
            return hook.submit_training(request)
