"""Train a model."""

from __future__ import annotations

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
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID
from airflow_provider_akkio.operators._base import AkkioTrainingOperator
from airflow_provider_akkio.operators._durable import delete_on_failure, delete_on_success, with_callback

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AkkioTrainOperator(AkkioTrainingOperator):
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
            training, state = self.submit_or_reattach(
                context, hook, request, hook.submit_training, durable=self.durable
            )
            if not self.wait_for_completion:
                return training.akkio_task_id
            return self.wait_or_finish(context, hook, training, state, self.timeout)
