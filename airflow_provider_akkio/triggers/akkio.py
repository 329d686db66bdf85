"""The triggers that poll a training or chat in the triggerer, and their event."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskKind, still_running_message
from airflow_provider_akkio.exceptions import AkkioChatTimeoutError, AkkioError, AkkioTrainingTimeoutError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.triggers.status import StatusReporter, XComStatusWriter
from airflow_provider_akkio.version_compat import AIRFLOW_V_3_1_PLUS

RETRY_DELAYS = (5.0, 15.0, 60.0, 180.0)
"""Seconds after which a wait continues that an unexpected error has interrupted, such as a failing secrets backend."""

_MIN_LOGGED_DIFFERENCE = 5.0


class WaitOutcome(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXECUTION_TIMEOUT = "execution_timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class AkkioTaskEvent:
    """What the trigger reports to the task that it resumes.

    The result is not part of it: Airflow logs each event and stores it in the database. The resumed task fetches it.

    :param akkio_task_id: ID of the training or chat.
    :param outcome: how the wait ended.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param deadline: until when the Airflow task may wait for it, in seconds since the epoch.
    :param execution_deadline: when ``execution_timeout`` ends, in seconds since the epoch; ``None`` without one.
    :param duration: seconds that Akkio was asked to spend on the training; ``None`` if they are unknown.
    :param location: where the result is, if the wait succeeded and Akkio sent a location.
    :param error: class name of the error, if the wait failed.
    :param message: message of the error, if the wait failed.
    :param try_number: the task's attempt that deferred; ``None`` if it is unknown.
    """

    akkio_task_id: str
    outcome: WaitOutcome
    submitted_at: float
    deadline: float
    execution_deadline: float | None = None
    duration: float | None = None
    location: str | None = None
    error: str = ""
    message: str = ""
    try_number: int | None = None

    @classmethod
    def from_payload(cls, payload: Any) -> Self:
        """Return the event of a payload; unknown keys of a newer version are ignored.

        :param payload: what :meth:`to_payload` returned, after it has passed through Airflow's database.
        :raises AkkioError: if the payload is not such an event. An unknown event never means success.
        """
        try:
            known = {field.name: payload[field.name] for field in fields(cls) if field.name in payload}
            return cls(**{**known, "outcome": WaitOutcome(payload["outcome"])})
        except (TypeError, KeyError, ValueError):
            raise AkkioError(
                f"Unknown trigger event: {printable(repr(payload))}. Was the provider upgraded or downgraded while the "
                "task was deferred? The XCom 'akkio_task_id' has the ID; AkkioTrainSensor waits for a training."
            ) from None

    def to_payload(self) -> dict[str, Any]:
        """Return the event as plain JSON."""
        return {**asdict(self), "outcome": self.outcome.value}

    def to_exception(self) -> AkkioError:
        """Return the error that ended the wait, with the class that it had in the triggerer."""
        error_class = getattr(exceptions, self.error, None)
        if isinstance(error_class, type) and issubclass(error_class, AkkioError):
            return error_class(self.message)
        return AkkioError(self.message)


class AkkioTaskTrigger(BaseTrigger):
    """Polls a training or chat until it is done, and fires one :class:`AkkioTaskEvent`.

    The API key is not serialized: the trigger reads the connection in the triggerer. Times are wall-clock times of the
    worker, because the trigger may continue in another process. The trigger corrects them by the difference between the
    worker's clock and Airflow's.

    :param akkio_task_id: ID of the training or chat.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param deadline: until when to wait, in seconds since the epoch.
    :param akkio_conn_id: ID of the Airflow connection.
    :param deferred_at: when the task deferred, in seconds since the epoch; default unknown.
    :param resume_in: seconds from ``deferred_at`` after which the task is resumed at the earliest; default 0.
    :param deferral_timeout: seconds from ``deferred_at`` after which Airflow ends the deferral; default unknown.
        Airflow computes the same time with its own clock, which shows how much the worker's clock differs.
    :param execution_deadline: when the task's ``execution_timeout`` ends, in seconds since the epoch; default never.
    :param duration: seconds that Akkio was asked to spend on the training; default unknown.
    :param poll_interval: seconds between two polls; default the polling schedule of
        :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll`.
    :param push_status: whether to push ``akkio_status`` to XCom (Airflow 3.1 and newer); default no.
    :param try_number: the task's attempt that deferred; default unknown.
    :param succeeded: whether it has succeeded already, and only its result was unavailable: then the trigger
        fires after ``resume_in`` without a poll; default no.
    :param location: where the result is, if ``succeeded`` and Akkio sent a location.
    """

    kind: ClassVar[AkkioTaskKind]

    def __init__(
        self,
        *,
        akkio_task_id: str,
        submitted_at: float,
        deadline: float,
        akkio_conn_id: str,
        deferred_at: float = 0.0,
        resume_in: float = 0.0,
        deferral_timeout: float | None = None,
        execution_deadline: float | None = None,
        duration: float | None = None,
        poll_interval: float | None = None,
        push_status: bool = False,
        try_number: int | None = None,
        succeeded: bool = False,
        location: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's constructor has no annotations
        self.akkio_task_id = akkio_task_id
        self.submitted_at = submitted_at
        self.deadline = deadline
        self.akkio_conn_id = akkio_conn_id
        self.deferred_at = deferred_at
        self.resume_in = resume_in
        self.deferral_timeout = deferral_timeout
        self.execution_deadline = execution_deadline
        self.duration = duration
        self.poll_interval = poll_interval
        self.push_status = push_status
        self.try_number = try_number
        self.succeeded = succeeded
        self.location = location

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which another process continues the wait."""
        return f"{__name__}.{type(self).__name__}", {
            "akkio_task_id": self.akkio_task_id,
            "submitted_at": self.submitted_at,
            "deadline": self.deadline,
            "akkio_conn_id": self.akkio_conn_id,
            "deferred_at": self.deferred_at,
            "resume_in": self.resume_in,
            "deferral_timeout": self.deferral_timeout,
            "execution_deadline": self.execution_deadline,
            "duration": self.duration,
            "poll_interval": self.poll_interval,
            "push_status": self.push_status,
            "try_number": self.try_number,
            "succeeded": self.succeeded,
            "location": self.location,
        }

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render nothing: the arguments were rendered before the task deferred."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the training or chat is done, and yield the payload of one :class:`AkkioTaskEvent`."""
        # The trigger has no ID under ``airflow dags test``, which runs it in the task's process.
        is_in_triggerer = self.trigger_id is not None
        if self.succeeded:
            event = self._event(WaitOutcome.SUCCEEDED, location=self.location)
        else:
            can_push = self.push_status and AIRFLOW_V_3_1_PLUS and is_in_triggerer
            writer = XComStatusWriter(self.task_instance if can_push else None)
            event = await self._poll_until_done(writer)
            await writer.finish()
        if is_in_triggerer or self.succeeded:
            remaining = self.deferred_at + self._clock_difference() + self.resume_in - time.time()
            await asyncio.sleep(min(max(0.0, remaining), self.resume_in))
        yield TriggerEvent(event.to_payload())

    async def on_kill(self) -> None:
        """Log that the training or chat continues: Akkio has no call to cancel it."""
        self.log.warning(still_running_message(self.akkio_task_id, self.kind))

    async def _poll_until_done(self, writer: XComStatusWriter) -> AkkioTaskEvent:
        difference = self._clock_difference()
        if abs(difference) > _MIN_LOGGED_DIFFERENCE:
            self.log.info("The clock of the worker differs from Airflow's by %.0f s, which is corrected.", -difference)
        task = AkkioTask(self.akkio_task_id, self.submitted_at + difference, self.duration, self.kind)
        deadline = min(self.deadline, self.execution_deadline or math.inf)
        reporter = StatusReporter(task, writer.push)
        retry_delays = iter(RETRY_DELAYS)
        while True:
            try:
                state = await AkkioHook(self.akkio_conn_id).arun(
                    lambda api: api.poll_until_done(task, deadline + difference, self.poll_interval, on_status=reporter)
                )
            except (AkkioTrainingTimeoutError, AkkioChatTimeoutError) as error:
                is_execution_timeout = deadline < self.deadline
                return self._event(WaitOutcome.EXECUTION_TIMEOUT if is_execution_timeout else WaitOutcome.FAILED, error)
            except AkkioError as error:
                return self._event(WaitOutcome.FAILED, error)
            except (
                Exception
            ) as error:  # a training is paid for, and any other error would reach the task without the ID
                reason = f"{type(error).__name__}: {printable(str(error))}"
                delay = next(retry_delays, math.inf)
                if time.time() + delay >= deadline + difference:
                    self.log.exception("The wait for %s failed unexpectedly.", task)
                    unexpected = AkkioError(
                        f"The wait for {task} failed unexpectedly ({reason}). "
                        f"{still_running_message(self.akkio_task_id, self.kind)}"
                    )
                    return self._event(WaitOutcome.FAILED, unexpected)
                self.log.warning("The wait for %s was interrupted (%s); continuing in %.0f s.", task, reason, delay)
                await asyncio.sleep(delay)
            else:
                return self._event(WaitOutcome.SUCCEEDED, location=state.location)

    def _clock_difference(self) -> float:
        """Return the seconds by which Airflow's clock is ahead of that of the worker which deferred; 0 if unknown.

        Airflow gives a trigger the time at which it ends the deferral, by the clock of its API server.
        """
        timeout_after: datetime | None = getattr(self, "timeout_after", None)
        if timeout_after is None or self.deferral_timeout is None:
            return 0.0
        if timeout_after.tzinfo is None:
            timeout_after = timeout_after.replace(tzinfo=UTC)
        return timeout_after.timestamp() - (self.deferred_at + self.deferral_timeout)

    def _event(
        self, outcome: WaitOutcome, error: AkkioError | None = None, location: str | None = None
    ) -> AkkioTaskEvent:
        return AkkioTaskEvent(
            akkio_task_id=self.akkio_task_id,
            outcome=outcome,
            submitted_at=self.submitted_at,
            deadline=self.deadline,
            execution_deadline=self.execution_deadline,
            duration=self.duration,
            location=location,
            error="" if error is None else type(error).__name__,
            message="" if error is None else str(error),
            try_number=self.try_number,
        )


class AkkioTrainTrigger(AkkioTaskTrigger):
    """Polls a training; see :class:`AkkioTaskTrigger`."""

    kind = AkkioTaskKind.TRAINING


class AkkioChatExploreTrigger(AkkioTaskTrigger):
    """Polls a chat; see :class:`AkkioTaskTrigger`."""

    kind = AkkioTaskKind.CHAT
