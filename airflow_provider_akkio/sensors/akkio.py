"""Wait for a training that was submitted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_akkio.api.parameters import naming_task, parse_id, parse_seconds, validate_literals
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS, AkkioTask, still_running_message
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioResponseError,
    AkkioTrainingTimeoutError,
    AkkioUnavailableError,
)
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID
from airflow_provider_akkio.operators._base import RESULT_RETRY_SECONDS, AkkioTrainingOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


_TIMEOUTS = (AkkioTrainingTimeoutError, AirflowSensorTimeout, AirflowTaskTimeout)


class AkkioTrainSensor(AkkioTrainingOperator, BaseSensorOperator):
    """Wait for a training that another task submitted, without occupying a worker by default.

    XComs: ``akkio_status`` during the wait; at the end ``model_id``, ``stats``, ``field_importance`` and ``data_story``
    as Akkio sent them, or ``akkio_error``. The return value is the model ID.

    .. code-block:: python

        wait = AkkioTrainSensor(task_id="wait", akkio_task_id=submit.output, timeout=timedelta(hours=2))

    :param akkio_task_id: ID of the training.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :param deferrable: whether to wait in the triggerer (default). Otherwise the sensor waits in the worker, or with
        ``mode="reschedule"`` in a worker for one poll at a time.
    :param poll_interval: seconds between two polls; default the polling schedule, and 60 with ``mode="reschedule"``.
    :param poke_interval: the same with a sensor's usual name; ``poll_interval`` takes precedence.
    :param timeout: seconds or a timedelta after which the task fails, counted from the start of the wait; default a
        day.
    ``soft_fail=True`` skips the task after a timeout. Any other error, such as a failed training, fails it.

    :raises AkkioParameterError: if a literal is invalid (when the DAG is parsed), or a rendered value is invalid
        (before anything is sent).
    """

    template_fields: Sequence[str] = ("akkio_task_id", "akkio_conn_id")

    def __init__(
        self,
        *,
        akkio_task_id: str,
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        deferrable: bool = True,
        poll_interval: float | None = None,
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = MAX_TRAINING_SECONDS,
        **kwargs: Any,
    ) -> None:
        task_id = kwargs.get("task_id", "")
        values = {"akkio_task_id": akkio_task_id, "akkio_conn_id": akkio_conn_id}
        validate_literals(task_id, values, dict.fromkeys(values, parse_id))
        with naming_task(task_id):
            interval = poke_interval if poll_interval is None else poll_interval
            if interval is not None:
                kwargs["poke_interval"] = interval = parse_seconds("poll_interval", interval)
            timeout = parse_seconds("timeout", timeout)
        super().__init__(
            akkio_conn_id=akkio_conn_id, deferrable=deferrable, poll_interval=interval, timeout=timeout, **kwargs
        )
        self.akkio_task_id = akkio_task_id

    def execute(self, context: Context) -> Any:
        """Wait for the training, and push its result."""
        with self._soft_failing(), self.pushing_errors(context):
            if self.deferrable or not self.reschedule:
                hook = self.make_hook()
                deadlines = self.deadlines(context, time.time() + self.timeout)
                return self.wait_until_done(context, hook, self._training(), deadlines)
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                raise AkkioTrainingTimeoutError(
                    f"Training {self.akkio_task_id} was not done within {self.timeout:g} s. "
                    f"{still_running_message(self.akkio_task_id)}"
                ) from error

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the deferral; ``soft_fail`` applies to timeouts only."""
        with self._soft_failing():
            return super().resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll the training once, in ``mode="reschedule"``."""
        with self.pushing_errors(context):
            training = self._training()
            hook = self.make_hook()
            on_status = self.status_reporter(context, training)
            try:
                state = hook.run(lambda api: api.poll_until_done(training, training.submitted_at, on_status=on_status))
            except AkkioTrainingTimeoutError as timeout:
                if timeout.__cause__ is not None:
                    self.log.warning("%s Polling again later.", timeout.__cause__)
                return False
            akkio_task_id, last_attempt_at = training.akkio_task_id, time.time() + RESULT_RETRY_SECONDS
            try:
                result = self.fetch_result(hook, training, state.location, last_attempt_at)
            except AkkioResponseError:  # a later poll would get the same
                raise
            except AkkioUnavailableError as error:
                self.log.warning("%s Polling again later.", error)
                return False
            return PokeReturnValue(is_done=True, xcom_value=self.push_result(context, hook, akkio_task_id, result))

    def _training(self) -> AkkioTask:
        return AkkioTask(parse_id("akkio_task_id", self.akkio_task_id), time.time())

    @contextmanager
    def _soft_failing(self) -> Iterator[None]:
        """Skip the task after a timeout if ``soft_fail`` is set. Airflow's sensors skip it after any error."""
        try:
            yield
        except AirflowSkipException as skip:
            if self.never_fail or skip.__cause__ is None or isinstance(skip.__cause__, _TIMEOUTS):
                raise
            raise skip.__cause__ from None
        except (AkkioError, AirflowNotFoundException, AirflowTaskTimeout) as error:
            if self.never_fail or (self.soft_fail and isinstance(error, _TIMEOUTS)):
                raise AirflowSkipException(str(error)) from error
            raise
