"""The wait for a training, as the operator and the sensor share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, AirflowTaskTimeout
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_akkio.api.parameters import is_literal, naming_task
from airflow_provider_akkio.api.polling import READ_TIMEOUT
from airflow_provider_akkio.api.types import ERROR_KEY, STATUS_KEY, still_running
from airflow_provider_akkio.exceptions import AkkioError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators._durable import delete_xcom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_akkio.api.types import SubmittedTraining, TrainingResult
    from airflow_provider_akkio.triggers.akkio import TrainingEvent
    from airflow_provider_akkio.triggers.status import StatusReporter

    _Base = BaseOperator
else:
    _Base = object

DEFERRAL_GRACE = READ_TIMEOUT + 60.0
"""Seconds by which Airflow's own limit of a deferral lies behind the trigger's.

So the trigger's message wins, and a result that takes its time to come is waited for.
"""

SHORTEST_DEFERRAL = 8.0
"""Seconds before which no deferred task is resumed.

Airflow's supervisor may notice the end of the process that deferred a task as late as ``[workers]
min_heartbeat_interval`` (5 s) afterwards. The scheduler takes a task that runs again by then for one that was killed,
and fails it (``SchedulerJobRunner.process_executor_events``, seen on Airflow 3.3.2). No training of Akkio's is shorter.
"""


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


def listed(callbacks: Any) -> list[Any]:
    """Return callbacks as a list; Airflow 2 stores a single callback, or ``None``, as it was given."""
    if callbacks is None or isinstance(callbacks, Sequence):
        return list(callbacks or ())
    return [callbacks]


class TrainingWaiter(_Base):
    """A task that waits for one training, in the triggerer or in its worker, and leaves the result in XCom."""

    akkio_conn_id: str
    deferrable: bool
    poll_interval: float | None
    _awaited: str | None = None
    _kept: dict[str, Any] | None = None
    _hook: AkkioHook | None = None
    _result: TrainingResult | None = None

    def open_hook(self) -> AkkioHook:
        """Return a hook, of which the task remembers where it leads."""
        self._hook = AkkioHook(self.akkio_conn_id)
        return self._hook

    def await_training(self, context: Context, training: SubmittedTraining, deadline: float) -> str:
        """Wait until the training has ended; when ``deferrable``, the wait happens in the triggerer.

        :param context: the task's context.
        :param training: which training.
        :param deadline: until when to wait, in seconds since the epoch.
        :return: the model's id.
        :raises AkkioTrainingFailedError: if Akkio reports that it failed.
        :raises AkkioTrainingTimeoutError: if it did not end in time.
        """
        self._awaited = training.akkio_task_id
        if self.deferrable:
            self._defer_until_trained(context, training, deadline)
        result = self.open_hook().poll_until_done(
            training,
            timeout=deadline - training.submitted_at,
            poll_interval=self.poll_interval,
            on_status=self.watch(context, training),
        )
        return self.push_result(context, result)

    def execute_complete(self, context: Context, event: Any = None) -> str:
        """Go on after the trigger: fetch the result, or raise what ended the wait.

        Airflow 3.0 and the first of 3.1 resume a later try with the event of the earlier one (apache/airflow#56704).
        Such a try begins anew, unless there is a result.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        :return: the model's id.
        """
        from airflow_provider_akkio.triggers.akkio import TrainingEvent, WaitOutcome

        with self.telling_why(context):
            ended = TrainingEvent.from_payload(event)
            if self._is_of_an_earlier_try(context, ended):
                delete_xcom(context, ERROR_KEY)  # which Airflow leaves to a task that is resumed
                if self._may_begin_anew(context, ended):
                    self.log.info("Beginning anew: this try was told how try %s has ended.", ended.try_number)
                    return str(self.execute(context))
            self._awaited = ended.akkio_task_id or None
            if ended.ending is WaitOutcome.OUT_OF_EXECUTION_TIME:
                reason = f"The task's execution_timeout ended the wait. {ended.message}"
                self._tell(context, ERROR_KEY, reason)
                raise AirflowTaskTimeout(reason)
            if ended.ending is WaitOutcome.FAILED:
                raise ended.as_exception()
            result = self.open_hook().get_training_result(ended.akkio_task_id, ended.location)
            return self.push_result(context, result)

    def _is_of_an_earlier_try(self, context: Context, ended: TrainingEvent) -> bool:
        return AIRFLOW_V_3_0_PLUS and ended.try_number is not None and ended.try_number < context["ti"].try_number

    def _may_begin_anew(self, context: Context, ended: TrainingEvent) -> bool:
        """Return whether another training may be asked for: not for a result, nor past the task's ``retries``.

        The scheduler can give a task that it has lost another number without having tried it.
        """
        from airflow_provider_akkio.triggers.akkio import WaitOutcome

        is_final = ended.ending is WaitOutcome.SUCCEEDED or isinstance(ended.as_exception(), AirflowFailException)
        return not is_final and context["ti"].try_number <= context["ti"].max_tries + 1

    @contextmanager
    def telling_why(self, context: Context) -> Iterator[None]:
        """Leave in XCom why the task fails, if it does: an exception reaches Airflow's page as a traceback in a log.

        Not where Airflow's own timer ends it: it rings once, and nothing would end a write that hangs.
        """
        try:
            yield
        except (AkkioError, AirflowNotFoundException) as error:
            self._tell(context, ERROR_KEY, str(error))
            raise

    def watch(self, context: Context, training: SubmittedTraining) -> StatusReporter:
        """Return what hears the answers about a training, and leaves in XCom how it stands."""
        from airflow_provider_akkio.triggers.status import StatusReporter

        return StatusReporter(training, lambda entry: self._tell(context, STATUS_KEY, entry))

    def _tell(self, context: Context, key: str, value: Any) -> None:
        if not self.do_xcom_push:
            return
        try:
            context["ti"].xcom_push(key=key, value=value)
        except Exception:  # an XCom backend may be any service; the training counts, and not what is said of it
            self.log.warning("The XCom %r could not be written.", key, exc_info=True)

    def on_kill(self) -> None:
        """Say that the training goes on, since Akkio has no call to cancel it."""
        if self._awaited is not None and self._result is None:
            self.log.warning(still_running(self._awaited))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002 - OpenLineage's signature
        """Return the dataset that was read and the model that was made, for OpenLineage, which alone calls this.

        It is called in a process that was forked off the worker and must not ask Airflow for anything, so it is made
        of what the task remembers.

        :param task_instance: the task's instance.
        """
        from airflow_provider_akkio.lineage import training_lineage

        site = None if self._hook is None else self._hook.site
        return training_lineage(site, getattr(self, "dataset_id", None), self._awaited, self._result)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known of a training whose task failed.

        :param task_instance: the task's instance.
        """
        return self.get_openlineage_facets_on_complete(task_instance)

    def _defer_until_trained(self, context: Context, training: SubmittedTraining, deadline: float) -> None:
        from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger

        execution_deadline = None
        if self.execution_timeout is not None:
            # Airflow 2's task instance may have no start: its column is nullable.
            started_at = getattr(context["ti"].start_date, "timestamp", time.time)()
            execution_deadline = started_at + self.execution_timeout.total_seconds()
        now = time.time()
        last_moment = deadline if execution_deadline is None else min(deadline, execution_deadline)
        self.defer(
            trigger=AkkioTrainTrigger(
                akkio_task_id=training.akkio_task_id,
                submitted_at=training.submitted_at,
                deadline=deadline,
                resume_at=now + SHORTEST_DEFERRAL,
                execution_deadline=execution_deadline,
                duration=training.duration,
                poll_interval=self.poll_interval,
                akkio_conn_id=self.akkio_conn_id,
                kept=self._kept,
                tells_status=self.do_xcom_push,
                try_number=context["ti"].try_number,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, last_moment - now) + DEFERRAL_GRACE),
        )

    def push_result(self, context: Context, result: TrainingResult) -> str:
        """Leave a result in XCom, and return the model's id as the task's return value."""
        from airflow_provider_akkio.api.statistics import log_model

        self._result = result
        if self.do_xcom_push:
            for key, value in result.to_xcoms().items():
                context["ti"].xcom_push(key=key, value=value)
        self._describe_assets(context, result)
        log_model(self.log, result)
        return result.model_id

    def _describe_assets(self, context: Context, result: TrainingResult) -> None:
        """Put the model and its main_metric metric into the events of the task's assets."""
        from airflow.providers.common.compat.sdk import Asset

        from airflow_provider_akkio.api.statistics import main_metric

        assets = [one for one in self.outlets or () if isinstance(one, Asset)]
        found = main_metric(result.stats) if assets else None
        extra: dict[str, Any] = {"model_id": result.model_id}
        if found is not None:
            extra |= {"metric": found.metric, "value": found.value, "field_name": found.field_name}
        for asset in assets:
            context["outlet_events"][asset].extra.update(extra)
