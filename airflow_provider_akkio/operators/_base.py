"""Submit a training or chat, wait for it, and push its result to XCom: shared by the operators and the sensor."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    BaseOperator,
)

from airflow_provider_akkio.api.parameters import naming_task, parse_id, parse_seconds
from airflow_provider_akkio.api.requester import MAX_RETRY_SECONDS
from airflow_provider_akkio.api.types import (
    ERROR_KEY,
    STATUS_KEY,
    AkkioTask,
    AkkioTaskKind,
    AkkioTaskStatus,
    still_running_message,
)
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioResponseError,
    AkkioUnavailableError,
)
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators._durable import Fail, Reattach, RecordStore, Submit, decide, fingerprint_of
from airflow_provider_akkio.operators._links import TRAINING_LINKS
from airflow_provider_akkio.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_akkio.api.tasks import OnStatus
    from airflow_provider_akkio.api.types import AkkioTaskState, TrainingResult
    from airflow_provider_akkio.operators._durable import AkkioTaskRequest
    from airflow_provider_akkio.triggers.akkio import AkkioTaskEvent

Result = TypeVar("Result")
Request = TypeVar("Request", bound="AkkioTaskRequest")

DEFERRAL_MARGIN = 60.0
"""Seconds between the trigger's deadline and Airflow's deferral timeout, so that the trigger's message wins.

The trigger also needs the time of its last two requests, the status and the result, which start before the deadline.
"""

MIN_DEFERRAL = 8.0
"""Seconds after its deferral before which a task is not resumed.

Airflow's supervisor may notice the end of the deferring process up to ``[workers] min_heartbeat_interval`` (5 s) late.
The scheduler takes a task that has resumed by then for a killed one, and fails it (seen on Airflow 3.3.2 in
``SchedulerJobRunner.process_executor_events``).
"""

RESULT_RETRY_SECONDS = 30.0
"""Seconds for which a worker retries to fetch a result before the task defers again."""


@dataclass(frozen=True, slots=True)
class CurrentAkkioTask(Generic[Result]):
    """The training or chat of the running process.

    :param hook: the hook that the operator uses.
    :param akkio_task_id: ID of the training or chat; ``None`` before Akkio has accepted it.
    :param result: its result, once it has been fetched.
    """

    hook: AkkioHook
    akkio_task_id: str | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Until when a task may wait, in seconds since the epoch.

    :param timeout: when the operator's ``timeout`` ends.
    :param execution: when the attempt's ``execution_timeout`` ends; ``None`` without one.
    """

    timeout: float
    execution: float | None

    @property
    def first(self) -> float:
        """The earlier of both."""
        return self.timeout if self.execution is None else min(self.timeout, self.execution)


class AkkioTaskOperator(BaseOperator, Generic[Result]):
    """Base class of operators that wait for a training or chat.

    :param akkio_conn_id: ID of the Airflow connection.
    :param deferrable: whether to wait in the triggerer instead of the worker.
    :param poll_interval: seconds between two polls; ``None`` uses the polling schedule.
    """

    kind: ClassVar[AkkioTaskKind]

    current_task: CurrentAkkioTask[Result] | None = None
    """For :meth:`on_kill` and OpenLineage, which Airflow calls without arguments."""

    def __init__(self, *, akkio_conn_id: str, deferrable: bool, poll_interval: float | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.akkio_conn_id = akkio_conn_id
        self.deferrable = deferrable
        with naming_task(self.task_id):
            self.poll_interval = None if poll_interval is None else parse_seconds("poll_interval", poll_interval)

    @abstractmethod
    def request_result(self, hook: AkkioHook, task: AkkioTask, location: str | None, last_attempt_at: float) -> Result:
        """Request the result of a task that succeeded.

        :param hook: the operator's hook.
        :param task: the training or chat.
        :param location: where the result is, according to Akkio; ``None`` if it sent none.
        :param last_attempt_at: until when to retry, in seconds since the epoch.
        """

    @abstractmethod
    def push_result(self, context: Context, hook: AkkioHook, akkio_task_id: str, result: Result) -> str:
        """Push a result to XCom, and log it.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param akkio_task_id: ID of the training or chat.
        :param result: its result.
        :return: the operator's return value.
        """

    def fetch_result(self, hook: AkkioHook, task: AkkioTask, location: str | None, last_attempt_at: float) -> Result:
        """Return what :meth:`request_result` returns; its parameters are the same.

        :raises AkkioUnavailableError: if the result could not be fetched; the message says that the task succeeded.
        """
        try:
            return self.request_result(hook, task, location, last_attempt_at)
        except AkkioUnavailableError as error:
            raise type(error)(
                f"{task.title} succeeded, but its result could not be fetched. {error} {_how_to_fetch_later(task)}"
            ) from error

    def submit_or_reattach(
        self,
        context: Context,
        hook: AkkioHook,
        request: Request,
        submit: Callable[[Request], AkkioTask],
        *,
        durable: bool,
    ) -> tuple[AkkioTask, AkkioTaskState | None]:
        """Submit a request, or reattach to what a previous attempt submitted; push ``akkio_task_id`` to XCom.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param request: the request of this attempt.
        :param submit: submits a request.
        :param durable: whether to reattach.
        :return: the training or chat, and its state if a previous attempt submitted it.
        """
        self.current_task = CurrentAkkioTask(hook)
        fingerprint = fingerprint_of(request, hook.akkio_conn_id)
        store = RecordStore(context, durable=durable)
        state: AkkioTaskState | None = None
        decision = decide(store.load(), request, fingerprint, hook.get_resumable_state, time.time())
        match decision:
            case Submit():
                if request.force:
                    with store.during_submission(fingerprint, time.time()):
                        task = submit(request)
                else:  # a second submission is harmless
                    task = submit(request)
            case Reattach():
                task, state = decision.task, decision.state
            case Fail():
                raise decision.error
        self.current_task = CurrentAkkioTask(hook, task.akkio_task_id)
        store.save(fingerprint, task)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="akkio_task_id", value=task.akkio_task_id)
        return task, state

    def wait_or_finish(
        self, context: Context, hook: AkkioHook, task: AkkioTask, state: AkkioTaskState | None, timeout: float
    ) -> str:
        """Wait for what :meth:`submit_or_reattach` returned, unless it has succeeded, and push its result.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param task: the training or chat.
        :param state: its state if a previous attempt submitted it, else ``None``.
        :param timeout: seconds to wait, from the submission, or from now if a previous attempt submitted it.
        :return: the operator's return value.
        """
        wait_started_at = task.submitted_at if state is None else time.time()
        deadlines = self.deadlines(context, wait_started_at + timeout)
        if state is not None and state.known is AkkioTaskStatus.SUCCEEDED:
            self.status_reporter(context, task)(state)
            return self.finish(context, hook, task, deadlines, state.location)
        return self.wait_until_done(context, hook, task, deadlines)

    def execute_complete(self, context: Context, event: Any = None) -> str:
        """Push the result of a training or chat, or raise the error that ended the wait.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :return: the operator's return value.
        """
        from airflow_provider_akkio.triggers.akkio import AkkioTaskEvent, WaitOutcome

        with self.pushing_errors(context):
            ended = AkkioTaskEvent.from_payload(event)
            is_old = _is_of_previous_attempt(context, ended)
            if is_old:
                delete_xcom(context, ERROR_KEY)  # Airflow clears no XComs before it resumes a task
            if not (is_old and _may_start_over(context, ended)):
                hook = self.make_hook()
                self.current_task = CurrentAkkioTask(hook, ended.akkio_task_id)
                if ended.outcome is WaitOutcome.EXECUTION_TIMEOUT:
                    reason = f"execution_timeout ended the wait. {ended.message}"
                    self.push(context, ERROR_KEY, reason)
                    raise AirflowTaskTimeout(reason)
                if ended.outcome is WaitOutcome.FAILED:
                    raise ended.to_exception()
                task = AkkioTask(ended.akkio_task_id, ended.submitted_at, ended.duration, self.kind)
                deadlines = Deadlines(ended.deadline, ended.execution_deadline)
                return self.finish(context, hook, task, deadlines, ended.location)
        self.log.info("Starting over: Airflow resumed this attempt with the event of attempt %s.", ended.try_number)
        return str(self.execute(context))

    def make_hook(self) -> AkkioHook:
        """Return a hook for the rendered connection ID.

        :raises AkkioParameterError: if the ID is invalid.
        """
        return AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id))

    def wait_until_done(self, context: Context, hook: AkkioHook, task: AkkioTask, deadlines: Deadlines) -> str:
        """Wait until a training or chat is done, in the triggerer or in this worker, and push its result.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param task: the training or chat.
        :param deadlines: until when to wait.
        :return: the operator's return value.
        :raises AkkioTrainingFailedError: if Akkio reports that the training failed.
        :raises AkkioTrainingTimeoutError: if the training is not done in time.
        :raises AkkioChatFailedError: if Akkio reports that the chat failed.
        :raises AkkioChatTimeoutError: if the chat is not done in time.
        """
        self.current_task = CurrentAkkioTask(hook, task.akkio_task_id)
        if self.deferrable:
            self._defer(context, hook, task, deadlines, resume_in=MIN_DEFERRAL)
        on_status = self.status_reporter(context, task)
        state = hook.run(lambda api: api.poll_until_done(task, deadlines.timeout, self.poll_interval, on_status))
        return self.finish(context, hook, task, deadlines, state.location)

    def finish(
        self,
        context: Context,
        hook: AkkioHook,
        task: AkkioTask,
        deadlines: Deadlines,
        location: str | None,
    ) -> str:
        """Fetch the result of a task that succeeded, and push it to XCom.

        While Akkio is unavailable, a deferrable task defers again until its first deadline. Then Akkio is given another
        five minutes: a model is paid for.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param task: the training or chat.
        :param deadlines: until when to retry.
        :param location: where the result is, according to Akkio; ``None`` if it sent none.
        :return: the operator's return value.
        """
        self.current_task = CurrentAkkioTask(hook, task.akkio_task_id)
        may_defer = self.deferrable and time.time() + MAX_RETRY_SECONDS < deadlines.first
        result = self._fetch_result_or_defer(context, hook, task, deadlines, location) if may_defer else None
        if result is None:
            last_attempt_at = time.time() + MAX_RETRY_SECONDS
            if not self.deferrable:
                last_attempt_at = max(deadlines.timeout, last_attempt_at)
            result = self.fetch_result(hook, task, location, last_attempt_at)
        return self.push_result(context, hook, task.akkio_task_id, result)

    def _fetch_result_or_defer(
        self,
        context: Context,
        hook: AkkioHook,
        task: AkkioTask,
        deadlines: Deadlines,
        location: str | None,
    ) -> Result | None:
        """Return the result, or defer while Akkio is unavailable; return ``None`` if Akkio's responses are invalid."""
        now = time.time()
        try:
            return self.fetch_result(hook, task, location, now + RESULT_RETRY_SECONDS)
        except AkkioResponseError as error:
            if error.is_complete:
                raise
            # The cause may be temporary, but another process for each attempt would cost too much.
            self.log.warning("%s", error)
            return None
        except AkkioUnavailableError as error:
            now = time.time()
            # The attempt may have lasted longer than the wait may: a single request may take the connection's timeout.
            delay = max(min(_result_retry_delay(now - task.submitted_at), deadlines.first - now), MIN_DEFERRAL)
            self.log.warning("%s The task defers again, and retries in %.0f s.", error, delay)
            self._defer(context, hook, task, deadlines, resume_in=delay, succeeded=True, location=location)

    def status_reporter(self, context: Context, task: AkkioTask) -> OnStatus:
        """Return a callback for polls that pushes ``akkio_status`` to XCom."""
        from airflow_provider_akkio.triggers.status import StatusReporter

        return StatusReporter(task, lambda value: self.push(context, STATUS_KEY, value))

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
        """Log that the training or chat continues: Akkio has no call to cancel it."""
        current = self.current_task
        if current is not None and current.akkio_task_id is not None and current.result is None:
            self.log.warning(still_running_message(current.akkio_task_id, self.kind))

    def deadlines(self, context: Context, timeout_ends_at: float) -> Deadlines:
        """Return the deadlines of an attempt.

        :param context: the task's context.
        :param timeout_ends_at: when the operator's ``timeout`` ends, in seconds since the epoch.
        """
        if self.execution_timeout is None:
            return Deadlines(timeout_ends_at, None)
        # In Airflow 2, the start date of a task instance may be missing.
        started_at: float = getattr(context["ti"].start_date, "timestamp", time.time)()
        return Deadlines(timeout_ends_at, started_at + self.execution_timeout.total_seconds())

    def _defer(
        self,
        context: Context,
        hook: AkkioHook,
        task: AkkioTask,
        deadlines: Deadlines,
        *,
        resume_in: float,
        succeeded: bool = False,
        location: str | None = None,
    ) -> NoReturn:
        """Defer to the trigger, also bounded by ``execution_timeout``, to which Airflow does not bound a deferral."""
        from airflow_provider_akkio.triggers.akkio import AkkioChatExploreTrigger, AkkioTrainTrigger

        # The operators have read the connection already: reading it again could fail while a training runs.
        config = hook.client_config or hook.get_client_config()
        now = time.time()
        deferral_timeout = max(0.0, deadlines.first - now) + resume_in + DEFERRAL_MARGIN + 2 * config.timeout
        trigger_class = AkkioTrainTrigger if self.kind is AkkioTaskKind.TRAINING else AkkioChatExploreTrigger
        self.defer(
            trigger=trigger_class(
                akkio_task_id=task.akkio_task_id,
                submitted_at=task.submitted_at,
                deadline=deadlines.timeout,
                akkio_conn_id=hook.akkio_conn_id,
                deferred_at=now,
                resume_in=resume_in,
                deferral_timeout=deferral_timeout,
                execution_deadline=deadlines.execution,
                duration=task.duration,
                poll_interval=self.poll_interval,
                push_status=self.do_xcom_push,
                try_number=context["ti"].try_number,
                succeeded=succeeded,
                location=location,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=deferral_timeout),
        )


class AkkioTrainingOperator(AkkioTaskOperator["TrainingResult"]):
    """Base class of operators that wait for a training; see :class:`AkkioTaskOperator`."""

    operator_extra_links = TRAINING_LINKS
    kind = AkkioTaskKind.TRAINING

    def request_result(
        self, hook: AkkioHook, task: AkkioTask, location: str | None, last_attempt_at: float
    ) -> TrainingResult:
        """Fetch the model."""
        return hook.get_training_result(task.akkio_task_id, location, last_attempt_at)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002 - OpenLineage's signature
        """Return the dataset and the model of this task. OpenLineage calls this method in a forked process.

        :param task_instance: the task instance.
        """
        from airflow_provider_akkio.lineage import training_lineage

        current = self.current_task
        config = None if current is None else current.hook.client_config
        return training_lineage(
            None if config is None else config.base_url,
            getattr(self, "dataset_id", None),
            None if current is None else current.akkio_task_id,
            None if current is None else current.result,
        )

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known about a training whose task failed.

        :param task_instance: the task instance.
        """
        return self.get_openlineage_facets_on_complete(task_instance)

    def push_result(self, context: Context, hook: AkkioHook, akkio_task_id: str, result: TrainingResult) -> str:
        """Push a result to XCom, add it to the events of the outlets, and log it.

        :param context: the task's context.
        :param hook: the operator's hook.
        :param akkio_task_id: ID of the training.
        :param result: its result.
        :return: the model ID.
        """
        from airflow_provider_akkio.api.statistics import log_model

        self.current_task = CurrentAkkioTask(hook, akkio_task_id, result)
        if self.do_xcom_push:
            for key, value in result.to_xcoms().items():
                context["ti"].xcom_push(key=key, value=value)
        _add_to_asset_events(context, self.outlets, akkio_task_id, result)
        log_model(self.log, result)
        return result.model_id


def delete_xcom(context: Context, key: str) -> None:
    """Delete an XCom of the running task (Airflow 3).

    :param context: the task's context.
    :param key: key of the XCom.
    """
    from airflow.providers.common.compat.sdk import XCom

    ti = context["ti"]
    XCom.delete(key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


def _is_of_previous_attempt(context: Context, event: AkkioTaskEvent) -> bool:
    """Return whether Airflow 3.0 or 3.1 resumed a task with an old event (apache/airflow#56704)."""
    return AIRFLOW_V_3_0_PLUS and event.try_number is not None and event.try_number < context["ti"].try_number


def _may_start_over(context: Context, event: AkkioTaskEvent) -> bool:
    """Return whether the attempt may submit again: not after a success, and not beyond the task's ``retries``.

    The scheduler can increase the number of a task that it has lost without another attempt.
    """
    from airflow_provider_akkio.triggers.akkio import WaitOutcome

    is_final = event.outcome is WaitOutcome.SUCCEEDED or isinstance(event.to_exception(), AirflowFailException)
    return not is_final and context["ti"].try_number <= context["ti"].max_tries + 1


def _how_to_fetch_later(task: AkkioTask) -> str:
    if task.kind is AkkioTaskKind.TRAINING:
        return f"AkkioTrainSensor(akkio_task_id={task.akkio_task_id!r}) fetches it later."
    return "To fetch it later, clear the Airflow task."


def _result_retry_delay(elapsed: float) -> float:
    """Return the seconds until the next attempt to fetch a result: 5 % of the elapsed time, from 1 to 15 minutes."""
    return min(max(60.0, 0.05 * elapsed), 900.0)


def _add_to_asset_events(context: Context, outlets: Any, akkio_task_id: str, result: TrainingResult) -> None:
    """Add the training, the model and its main metric to the events of the task's assets."""
    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_akkio.api.statistics import main_metric

    assets = [outlet for outlet in outlets or () if isinstance(outlet, Asset)]
    metric = main_metric(result.stats) if assets else None
    extra: dict[str, Any] = {"akkio_task_id": akkio_task_id, "model_id": result.model_id}
    if metric is not None:
        extra |= {"metric": metric.metric, "value": metric.value, "field_name": metric.field_name}
    for asset in assets:
        context["outlet_events"][asset].extra.update(extra)
