"""Train a model at Akkio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import (
    TrainRequest,
    check_disjoint,
    is_literal,
    naming_task,
    parse_id,
    parse_parameter,
    parse_seconds,
)
from airflow_provider_akkio.api.types import ERROR_KEY, MAX_TRAINING_SECONDS, STATUS_KEY, TrainingStatus
from airflow_provider_akkio.exceptions import AkkioNotFoundError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION, AkkioHook
from airflow_provider_akkio.operators._base import TrainingWaiter, listed
from airflow_provider_akkio.operators._durable import (
    Handover,
    forget,
    forget_what_a_person_clears,
)
from airflow_provider_akkio.operators._links import TRAINING_LINKS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.types import SubmittedTraining, TrainingState

_REQUEST_FIELDS = ("dataset_id", "predict_fields", "ignore_fields", "duration", "extra_attention", "force")

XCOM_KEYS = (
    "akkio_task_id",
    STATUS_KEY,
    ERROR_KEY,
    "model_id",
    "stats",
    "field_importance",
    "data_story",
    "return_value",
)
"""All that a task leaves."""


class AkkioTrainOperator(TrainingWaiter, BaseOperator):
    """Train a model on a dataset of Akkio's, and wait for it without holding a worker.

    A new try, also of a task that was cleared before it succeeded, goes on with the training that an earlier try
    submitted with the same parameters, unless Akkio failed it. That needs Airflow 3.3 or newer; before, each try
    submits anew, for which Akkio gives the same model unless ``force`` is set.

    XComs: ``akkio_task_id`` as soon as Akkio has accepted the training; ``akkio_status`` while it waits; at the end
    ``model_id``, ``stats``, ``field_importance`` and ``data_story`` just as Akkio sent them, or ``akkio_error``, which
    says why there is no model. The return value is the model's id. Source of the API's facts: Akkio's Training page and
    its OpenAPI document.

    :param dataset_id: id of the dataset to train on.
    :param predict_fields: name or names of the fields to predict, case sensitive; ``None`` (default) leaves the choice
        to Akkio.
    :param ignore_fields: name or names of the fields to leave out of the model; default none.
    :param duration: seconds that Akkio spends on the training: 10 (default), 60, 300 or 1800.
    :param extra_attention: help the model with rare cases; default no.
    :param force: train (and bill) a new model even if one with these very parameters exists; by default Akkio answers
        with the model that it has. Before Airflow 3.3, each try of the task then trains anew: ``retries=0`` keeps it
        to one there.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :param deferrable: wait in the triggerer (default) or in the worker.
    :param poll_interval: seconds between two questions for the status; by default few, around the expected end: see
        :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll`.
    :param timeout: seconds or a timedelta after which the task fails, counted from the submission, or from the
        beginning of a later try; default a day, as Akkio takes a training that has run for longer as failed.
    :param wait_for_completion: wait for the end (default); else the task ends with ``akkio_task_id`` as its return
        value once Akkio has accepted the training, for an
        :class:`~airflow_provider_akkio.sensors.akkio.AkkioTrainSensor` to wait for.
    :raises AkkioParameterError: a ``ValueError``, if a literal is wrong; a value that is wrong once rendered fails the
        task before anything is sent.
    """

    template_fields: Sequence[str] = (*_REQUEST_FIELDS, "akkio_conn_id")
    operator_extra_links = TRAINING_LINKS

    def __init__(
        self,
        *,
        dataset_id: str,
        predict_fields: str | Sequence[str] | None = None,
        ignore_fields: str | Sequence[str] | None = None,
        duration: int | str = 10,
        extra_attention: bool | str = False,
        force: bool | str = False,
        akkio_conn_id: str = DEFAULT_CONNECTION,
        deferrable: bool = True,
        poll_interval: float | None = None,
        timeout: float | timedelta = MAX_TRAINING_SECONDS,
        wait_for_completion: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [*listed(self.on_success_callback), forget]
        self.on_failure_callback = [*listed(self.on_failure_callback), forget_what_a_person_clears]
        self.dataset_id = dataset_id
        self.predict_fields = predict_fields
        self.ignore_fields = ignore_fields
        self.duration = duration
        self.extra_attention = extra_attention
        self.force = force
        self.akkio_conn_id = akkio_conn_id
        self.deferrable = deferrable
        self.wait_for_completion = wait_for_completion
        with naming_task(self.task_id):
            self.poll_interval = None if poll_interval is None else parse_seconds("poll_interval", poll_interval)
            self.timeout = parse_seconds("timeout", timeout)
            self._refuse_wrong_literals()

    def execute(self, context: Context) -> str:
        """Submit the training, or go on with the one of an earlier try; publish its id, and wait for it."""
        with self.telling_why(context):
            return self._train(context)

    def _train(self, context: Context) -> str:
        parse_id("akkio_conn_id", self.akkio_conn_id)
        request = TrainRequest(**{name: getattr(self, name) for name in _REQUEST_FIELDS})
        hook = self.open_hook()
        handover = Handover(context, request, self.akkio_conn_id)
        training, state = self._adopt(hook, handover)
        waits_from = time.time()
        if training is None:
            with handover.submitting():
                training = hook.submit_training(request)
            self._awaited = training.akkio_task_id
            waits_from = training.submitted_at
        has_succeeded = state is not None and state.known is TrainingStatus.SUCCEEDED
        handover.keep(training)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="akkio_task_id", value=training.akkio_task_id)
        if not self.wait_for_completion:
            return training.akkio_task_id
        if state is not None and has_succeeded:
            self.watch(context, training)(state)
            return self.push_result(context, hook.get_training_result(training.akkio_task_id, state.location))
        return self.await_training(context, training, waits_from + self.timeout)

    def _adopt(self, hook: AkkioHook, handover: Handover) -> tuple[SubmittedTraining | None, TrainingState | None]:
        training = handover.earlier_training()
        if training is None:
            return None, None
        try:
            state = hook.get_resumable_state(training)
        except AkkioNotFoundError:
            if handover.is_billed_again and time.time() - training.submitted_at < MAX_TRAINING_SECONDS:
                raise
            state = None
        if state is None:
            self.log.warning(
                "Training %s, which an earlier try submitted, brings no model; training anew.", training.akkio_task_id
            )
            return None, None
        self.log.info("Going on with training %s, which an earlier try submitted.", training.akkio_task_id)
        return training, state

    def _refuse_wrong_literals(self) -> None:
        if is_literal(self.akkio_conn_id):
            parse_id("akkio_conn_id", self.akkio_conn_id)
        known = {
            name: parse_parameter(name, getattr(self, name))
            for name in _REQUEST_FIELDS
            if is_literal(getattr(self, name))
        }
        check_disjoint(known.get("predict_fields"), known.get("ignore_fields", ()))
