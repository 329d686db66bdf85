"""What the train operator and the sensor share: the wait for a training, and the push of its result to XCom."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    BaseOperator,
)

from airflow_provider_akkio.api.parameters import is_literal, naming_task
from airflow_provider_akkio.api.polling import READ_TIMEOUT
from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY, still_running
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioParameterError,
    AkkioResponseError,
    AkkioUnavailableError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators._links import TRAINING_LINKS
from airflow_provider_akkio.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_akkio.api.config import BaseUrl
    from airflow_provider_akkio.api.types import SubmittedTraining, TrainingResult, TrainingState
    from airflow_provider_akkio.triggers.akkio import TrainingEvent

DEFERRAL_MARGIN = 60.0
"""Seconds between the trigger's deadline and Airflow's deferral timeout, so that the trigger's message wins."""

MIN_DEFERRAL = 8.0
"""Seconds after its deferral before which a task is not resumed.

Airflow's supervisor may notice the end of the deferring process up to ``[workers] min_heartbeat_interval`` (5 s) late.
The scheduler takes a task that has resumed by then for a killed one, and fails it (seen on Airflow 3.3.2 in
``SchedulerJobRunner.process_executor_events``).
"""

RESULT_TIMEOUT = 30.0
"""Seconds for which a worker retries to fetch a result before the task defers again."""

RESULT_RETRY_INTERVAL = 60.0
"""Seconds between two attempts of a deferred task to fetch a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTraining:
    """The training of the running process.

    :param base_url: base URL of the connection.
    :param akkio_task_id: ID of the training.
    :param result: its result, once it has been fetched.
    """

    base_url: BaseUrl
    akkio_task_id: str
    result: TrainingResult | None = None


class AkkioTrainingOperator(BaseOperator):
    """Base class of operators that wait for a training.

    :param akkio_conn_id: ID of the Airflow connection.
    :param deferrable: whether to wait in the triggerer instead of the worker.
    :param poll_interval: seconds between two polls; ``None`` uses the polling schedule.
    """

    operator_extra_links = TRAINING_LINKS

    current_training: CurrentTraining | None = None
    """For :meth:`on_kill` and OpenLineage, which Airflow calls without arguments."""

    def __init__(self, *, akkio_conn_id: str, deferrable: bool, poll_interval: float | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.akkio_conn_id = akkio_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval

    def execute_complete(self, context: Context, event: Any = None) -> str:
        """Push the result of a training, or raise the error that ended the wait.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :return: the model ID.
        """
        from airflow_provider_akkio.triggers.akkio import TrainingEvent, WaitOutcome

        with self.pushing_errors(context):
            ended = TrainingEvent.from_payload(event)
            if _is_of_previous_attempt(context, ended):
                delete_xcom(context, ERROR_KEY)  # Airflow clears no XComs before it resumes a task
                if _may_start_over(context, ended):
                    self.log.info(
                        "Starting over: Airflow resumed this attempt with the event of attempt %s.", ended.try_number
                    )
                    return str(self.execute(context))
            if ended.outcome is WaitOutcome.EXECUTION_TIMEOUT:
                reason = f"execution_timeout ended the wait. {ended.message}"
                self.push(context, ERROR_KEY, reason)
                raise AirflowTaskTimeout(reason)
            if ended.outcome is WaitOutcome.FAILED:
                raise ended.to_exception()
            return self._fetch_or_defer(context, ended)

    def wait_for_training(self, context: Context, training: SubmittedTraining, deadline: float) -> str:
        """Wait until a training is done, in the triggerer or in this worker, and push its result.

        :param context: the task's context.
        :param training: the training.
        :param deadline: until when to wait, in seconds since the epoch.
        :return: the model ID.
        :raises AkkioTrainingFailedError: if Akkio reports that the training failed.
        :raises AkkioTrainingTimeoutError: if the training is not done in time.
        """
        hook = AkkioHook(self.akkio_conn_id)
        self.set_current_training(hook, training.akkio_task_id)
        if self.deferrable:
            self._defer(context, training, deadline, resume_in=MIN_DEFERRAL)
        state = hook.poll_until_done(
            training,
            timeout=deadline - training.submitted_at,
            poll_interval=self.poll_interval,
            on_status=self.status_reporter(context, training),
        )
        return self.fetch_result(context, hook, training, state, deadline)

    def fetch_result(
        self, context: Context, hook: AkkioHook, training: SubmittedTraining, state: TrainingState, deadline: float
    ) -> str:
        """Fetch the result of a training that succeeded, and push it to XCom.

        The model is paid for. So Akkio is given at least five minutes, even if the deadline is closer.

        :param context: the task's context.
        :param hook: the hook.
        :param training: the training.
        :param state: its final state.
        :param deadline: until when to retry, in seconds since the epoch.
        :return: the model ID.
        """
        try:
            result = hook.get_training_result(
                training.akkio_task_id, state.location, max(deadline, time.time() + READ_TIMEOUT)
            )
        except AkkioUnavailableError as error:
            raise _result_unavailable(training.akkio_task_id, error) from error
        return self.push_result(context, hook, training.akkio_task_id, result)

    def push_result(self, context: Context, hook: AkkioHook, akkio_task_id: str, result: TrainingResult) -> str:
        """Push a result to XCom, add it to the asset events, and log the model.

        :param context: the task's context.
        :param hook: the hook.
        :param akkio_task_id: ID of the training.
        :param result: its result.
        :return: the model ID.
        """
        from airflow_provider_akkio.api.statistics import log_model

        self.set_current_training(hook, akkio_task_id, result)
        if self.do_xcom_push:
            for key, value in result.to_xcoms().items():
                context["ti"].xcom_push(key=key, value=value)
        _add_to_asset_events(context, self.outlets, result)
        log_model(self.log, result)
        return result.model_id

    def set_current_training(self, hook: AkkioHook, akkio_task_id: str, result: TrainingResult | None = None) -> None:
        """Remember the training for :meth:`on_kill` and OpenLineage.

        :param hook: the hook.
        :param akkio_task_id: ID of the training.
        :param result: its result, once it has been fetched.
        """
        base_url = hook.get_client_config().base_url
        self.current_training = CurrentTraining(base_url=base_url, akkio_task_id=akkio_task_id, result=result)

    def status_reporter(self, context: Context, training: SubmittedTraining) -> Any:
        """Return a callback for polls that pushes ``akkio_status`` to XCom."""
        from airflow_provider_akkio.triggers.status import StatusReporter

        return StatusReporter(training, lambda value: self.push(context, STATUS_KEY, value))

    def push(self, context: Context, key: str, value: Any) -> None:
        """Push a value that is not essential to XCom: a failing XCom backend is logged, and does not fail the task."""
        if not self.do_xcom_push:
            return
        try:
            context["ti"].xcom_push(key=key, value=value)
        except Exception:  # an XCom backend may raise any error
            self.log.warning("Could not push the XCom %r.", key, exc_info=True)

    @contextmanager
    def pushing_errors(self, context: Context) -> Iterator[None]:
        """Push the message of an error to the XCom ``akkio_error``, and raise the error again.

        ``AirflowTaskTimeout`` is not pushed: Airflow's timer fires once, and would not interrupt a push that hangs.
        """
        try:
            yield
        except (AkkioError, AirflowNotFoundException) as error:
            self.push(context, ERROR_KEY, str(error))
            raise

    def on_kill(self) -> None:
        """Log that the training continues: Akkio has no call to cancel it."""
        if self.current_training is not None and self.current_training.result is None:
            self.log.warning(still_running(self.current_training.akkio_task_id))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002 - OpenLineage's signature
        """Return the dataset and the model of this task. OpenLineage calls this method in a forked process.

        :param task_instance: the task instance.
        """
        from airflow_provider_akkio.lineage import training_lineage

        current = self.current_training
        return training_lineage(
            None if current is None else current.base_url,
            getattr(self, "dataset_id", None),
            None if current is None else current.akkio_task_id,
            None if current is None else current.result,
        )

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known about a training whose task failed.

        :param task_instance: the task instance.
        """
        return self.get_openlineage_facets_on_complete(task_instance)

    def _fetch_or_defer(self, context: Context, event: TrainingEvent) -> str:
        """Fetch a result; while Akkio is unavailable, defer again until the deadline."""
        from airflow_provider_akkio.api.types import SubmittedTraining, TrainingState, TrainingStatus

        hook = AkkioHook(self.akkio_conn_id)
        training = SubmittedTraining(event.akkio_task_id, event.submitted_at, event.duration)
        state = TrainingState(TrainingStatus.SUCCEEDED, location=event.location)
        now = time.time()
        if event.deadline - now <= READ_TIMEOUT:
            return self.fetch_result(context, hook, training, state, event.deadline)
        try:
            result = hook.get_training_result(training.akkio_task_id, state.location, now + RESULT_TIMEOUT)
        except AkkioResponseError as error:
            raise _result_unavailable(training.akkio_task_id, error) from error
        except AkkioUnavailableError as error:
            self.log.warning("%s Deferring again for %.0f s.", error, RESULT_RETRY_INTERVAL)
            self._defer(context, training, event.deadline, resume_in=RESULT_RETRY_INTERVAL)
        return self.push_result(context, hook, training.akkio_task_id, result)

    def _defer(self, context: Context, training: SubmittedTraining, deadline: float, *, resume_in: float) -> NoReturn:
        """Defer to the trigger. The deferral is bounded by ``execution_timeout``, too, which Airflow does not do."""
        from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger

        now = time.time()
        execution_deadline = None
        if self.execution_timeout is not None:
            # In Airflow 2, the start date of a task instance may be missing.
            started_at = getattr(context["ti"].start_date, "timestamp", time.time)()
            execution_deadline = started_at + self.execution_timeout.total_seconds()
        ends_at = deadline if execution_deadline is None else min(deadline, execution_deadline)
        self.defer(
            trigger=AkkioTrainTrigger(
                akkio_task_id=training.akkio_task_id,
                submitted_at=training.submitted_at,
                deadline=deadline,
                akkio_conn_id=self.akkio_conn_id,
                resume_at=now + resume_in,
                execution_deadline=execution_deadline,
                duration=training.duration,
                poll_interval=self.poll_interval,
                push_status=self.do_xcom_push,
                try_number=context["ti"].try_number,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, ends_at - now) + resume_in + DEFERRAL_MARGIN),
        )


def delete_xcom(context: Context, key: str) -> None:
    """Delete an XCom of the running task (Airflow 3).

    :param context: the task's context.
    :param key: key of the XCom.
    """
    from airflow.providers.common.compat.sdk import XCom

    ti = context["ti"]
    XCom.delete(key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


def validate_literals(operator: BaseOperator, parsers: Mapping[str, Callable[[str, Any], Any]]) -> None:
    """Validate the parameters whose values are known when Airflow parses the DAG file.

    :param operator: the operator, whose constructor has set the attributes.
    :param parsers: parameter name to the function that parses its value.
    :raises AkkioParameterError: if a value is invalid; the message names the task.
    """
    with naming_task(operator.task_id):
        for name, parse in parsers.items():
            value = getattr(operator, name)
            if is_literal(list(value.values()) if isinstance(value, Mapping) else value):
                parse(name, value)


def as_list(callbacks: Any) -> list[Any]:
    """Return an operator's callbacks as a list: Airflow 2 keeps a single callback, or ``None``, as it was given."""
    if callbacks is None or isinstance(callbacks, Sequence):
        return list(callbacks or ())
    return [callbacks]


def parse_path(name: str, value: Any) -> ObjectStoragePath:
    """Return the path of a path parameter.

    :param name: name of the parameter.
    :param value: a path, or its text.
    :raises AkkioParameterError: if it is not a path, or no library for its scheme is installed.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(value, ObjectStoragePath):
        return value
    if not isinstance(value, str | os.PathLike) or str(value).strip() in ("", "None"):
        raise AkkioParameterError(
            f"{name} must be a path, such as /data/leads.csv or s3://bucket/leads.csv, not {value!r}."
        )
    try:
        path = ObjectStoragePath(str(value).strip())
        path.fs  # noqa: B018 - loads the library of the file system
    except (ImportError, ValueError) as error:
        raise AkkioParameterError(f"{name} {str(value)!r} is not accessible: {error}") from error
    return path


def _is_of_previous_attempt(context: Context, event: TrainingEvent) -> bool:
    """Return whether Airflow 3.0 or 3.1 resumed a task with an old event (apache/airflow#56704)."""
    return AIRFLOW_V_3_0_PLUS and event.try_number is not None and event.try_number < context["ti"].try_number


def _may_start_over(context: Context, event: TrainingEvent) -> bool:
    """Return whether the attempt may submit again: not after a success, and not beyond the task's ``retries``.

    The scheduler can increase the number of a task that it has lost without another attempt.
    """
    from airflow_provider_akkio.triggers.akkio import WaitOutcome

    is_final = event.outcome is WaitOutcome.SUCCEEDED or isinstance(event.to_exception(), AirflowFailException)
    return not is_final and context["ti"].try_number <= context["ti"].max_tries + 1


def _result_unavailable(akkio_task_id: str, error: AkkioUnavailableError) -> AkkioUnavailableError:
    return type(error)(
        f"Training {akkio_task_id} succeeded, but its result could not be fetched: {error} A retry of this task, or "
        f"AkkioTrainSensor(akkio_task_id={akkio_task_id!r}), fetches it later."
    )


def _add_to_asset_events(context: Context, outlets: Any, result: TrainingResult) -> None:
    """Add the model and its main metric to the events of the task's assets."""
    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_akkio.api.statistics import main_metric

    assets = [outlet for outlet in outlets or () if isinstance(outlet, Asset)]
    metric = main_metric(result.stats) if assets else None
    extra: dict[str, Any] = {"model_id": result.model_id}
    if metric is not None:
        extra |= {"metric": metric.metric, "value": metric.value, "field_name": metric.field_name}
    for asset in assets:
        context["outlet_events"][asset].extra.update(extra)
