"""Wait for a training that was submitted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_akkio.api.parameters import is_literal, naming_task, parse_id, parse_seconds
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS, SubmittedTraining, still_running
from airflow_provider_akkio.exceptions import AkkioError, AkkioTrainingTimeoutError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION
from airflow_provider_akkio.operators._base import TrainingWaiter
from airflow_provider_akkio.operators._links import TRAINING_LINKS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AkkioTrainSensor(TrainingWaiter, BaseSensorOperator):
    """Wait for a training that another task, or somebody else, submitted; without holding a worker by default.

    XComs: ``akkio_status`` while it waits; at the end ``model_id``, ``stats``, ``field_importance`` and ``data_story``
    just as Akkio sent them, or ``akkio_error``, which says why there is no model. The return value is the model's id.

    :param akkio_task_id: id of the training.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :param deferrable: wait in the triggerer (default); else in the worker, or with ``mode="reschedule"`` in a worker
        for one question at a time.
    :param poll_interval: seconds between two questions for the status; by default around the end that Akkio estimates,
        and with ``mode="reschedule"`` 60. A sensor's ``poke_interval`` means the same.
    :param timeout: seconds or a timedelta, counted from the beginning of the wait, after which the task fails; default
        a day.
    :raises AkkioParameterError: a ``ValueError``, if a literal is wrong; a value that is wrong once rendered fails the
        task before anything is sent.
    """

    template_fields: Sequence[str] = ("akkio_task_id", "akkio_conn_id")
    operator_extra_links = TRAINING_LINKS
    _last_status: str = "not known"

    def __init__(
        self,
        *,
        akkio_task_id: str,
        akkio_conn_id: str = DEFAULT_CONNECTION,
        deferrable: bool = True,
        poll_interval: float | None = None,
        timeout: float | timedelta = MAX_TRAINING_SECONDS,
        **kwargs: Any,
    ) -> None:
        with naming_task(kwargs.get("task_id", "")):
            interval = kwargs.get("poke_interval") if poll_interval is None else poll_interval
            if interval is not None:
                kwargs["poke_interval"] = interval = parse_seconds("poll_interval", interval)
            timeout = parse_seconds("timeout", timeout)
            for name, value in (("akkio_task_id", akkio_task_id), ("akkio_conn_id", akkio_conn_id)):
                if is_literal(value):
                    parse_id(name, value)
        super().__init__(timeout=timeout, **kwargs)
        self.akkio_task_id = akkio_task_id
        self.akkio_conn_id = akkio_conn_id
        self.deferrable = deferrable
        self.poll_interval = interval

    def execute(self, context: Context) -> Any:
        """Wait for the training's end."""
        with self._softly(), self.telling_why(context):
            if not self.reschedule or self.deferrable:
                return self.await_training(context, self._training(), time.time() + self.timeout)
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                raise AkkioTrainingTimeoutError(
                    f"Training {self.akkio_task_id} did not end within {self.timeout:g} s; its last status is "
                    f"{printable(self._last_status)}. {still_running(self.akkio_task_id)}",
                    last_status=self._last_status,
                ) from error

    def execute_complete(self, context: Context, event: Any = None) -> str:
        """Go on after the trigger, as the operator does; a soft sensor is skipped where that fails."""
        with self._softly():
            return super().execute_complete(context, event)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask once whether the training has ended."""
        training = self._training()
        told = self.watch(context, training)
        hook = self.open_hook()
        try:
            state = hook.run(lambda akkio: akkio.poll_until_done(training, training.submitted_at, on_status=told))
        except AkkioTrainingTimeoutError as error:
            self._last_status = error.last_status
            return False
        result = hook.get_training_result(training.akkio_task_id, state.location)
        self._awaited = training.akkio_task_id
        return PokeReturnValue(is_done=True, xcom_value=self.push_result(context, result))

    def _training(self) -> SubmittedTraining:
        return SubmittedTraining(parse_id("akkio_task_id", self.akkio_task_id), time.time())

    @contextmanager
    def _softly(self) -> Iterator[None]:
        try:
            yield
        except AkkioError as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
