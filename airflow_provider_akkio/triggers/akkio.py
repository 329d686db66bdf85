"""Waits for a training in the triggerer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from airflow.providers.common.compat.sdk import TaskInstanceState
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.api.statistics import log_model
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import SubmittedTraining, TrainingResult, still_running
from airflow_provider_akkio.exceptions import AkkioError, AkkioTrainingTimeoutError
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators._durable import KEY
from airflow_provider_akkio.triggers.status import THREADS, StatusReporter, StatusWriter, TaskXCom

_LOOK_EVERY = 0.2
_TIMES_TO_LOOK = 150


class WaitOutcome(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_EXECUTION_TIME = "out of execution time"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """What the trigger tells the task that it resumes.

    The result itself is not in it: Airflow logs every event whole, and stores it in the task's row. The resumed task
    fetches it.

    :param akkio_task_id: id of the training; empty if there is none.
    :param ending: how the wait ended.
    :param location: where the result lies, if it succeeded and Akkio said so.
    :param error: name of the exception to raise in the task, if it failed.
    :param message: what happened, if it did not succeed.
    :param try_number: the task's try that waited; ``None`` if that is not known.
    """

    akkio_task_id: str
    ending: WaitOutcome
    location: str | None = None
    error: str = ""
    message: str = ""
    try_number: int | None = None

    @classmethod
    def from_payload(cls, payload: Any) -> Self:
        """Read the payload of a trigger's event, also a newer version's with more in it.

        :param payload: what :meth:`to_payload` returned, once it has been through Airflow's database.
        :raises AkkioError: if it is none of ours: an event that is not understood never means success.
        """
        try:
            known = {field.name: payload[field.name] for field in fields(cls) if field.name in payload}
            return cls(**{**known, "ending": WaitOutcome(payload["ending"])})
        except (TypeError, KeyError, ValueError):
            raise AkkioError(
                f"The trigger's event is none that this version of the provider knows: {printable(repr(payload))}."
            ) from None

    @classmethod
    def of_failure(cls, error: AkkioError, ending: WaitOutcome = WaitOutcome.FAILED, akkio_task_id: str = "") -> Self:
        """Return the event that an error makes.

        :param error: what ended the wait.
        :param ending: how.
        :param akkio_task_id: id of the training; default none.
        """
        return cls(akkio_task_id=akkio_task_id, ending=ending, error=type(error).__name__, message=str(error))

    def to_payload(self) -> dict[str, Any]:
        """Return the event as plain JSON."""
        return {**asdict(self), "ending": self.ending.value}

    def as_exception(self) -> AkkioError:
        """Return the exception that ended the wait, of the class that it had in the triggerer."""
        found = getattr(exceptions, self.error, AkkioError)
        return (
            found(self.message)
            if isinstance(found, type) and issubclass(found, AkkioError)
            else AkkioError(self.message)
        )


class AkkioTrainTrigger(BaseTrigger):
    """Asks Akkio about a training until it has ended, and fires one event.

    It is serialized without the API key, which it reads from the connection in the triggerer.

    :param akkio_task_id: id of the training.
    :param submitted_at: when it was submitted, in seconds since the epoch: the trigger may go on in another process.
    :param deadline: until when to wait, in seconds since the epoch.
    :param resume_at: when a triggerer resumes the task at the earliest, likewise; default at once.
    :param execution_deadline: when the task's ``execution_timeout`` ends, likewise; default never.
    :param duration: seconds that Akkio was asked to spend on it; default not known.
    :param poll_interval: seconds between two questions; by default what
        :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll` makes of what is known.
    :param akkio_conn_id: id of the connection.
    :param kept: what is kept of the submission, as plain JSON. With it, the trigger leaves the result in XCom and ends
        the task, where the training has succeeded; until Airflow knows of that, it lies among the XComs. Default none:
        a worker ends the task.
    :param tells_status: whether to leave in XCom how the training stands, as
        :class:`~airflow_provider_akkio.triggers.status.TrainingStatusUpdate` has it; needs Airflow 3.1. Default no.
    :param try_number: the task's try that waits; default not known.
    """

    def __init__(
        self,
        *,
        akkio_task_id: str,
        submitted_at: float,
        deadline: float,
        resume_at: float = 0.0,
        execution_deadline: float | None = None,
        duration: float | None = None,
        poll_interval: float | None = None,
        akkio_conn_id: str,
        kept: dict[str, Any] | None = None,
        tells_status: bool = False,
        try_number: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's constructor has no annotations
        self.akkio_task_id = akkio_task_id
        self.submitted_at = submitted_at
        self.deadline = deadline
        self.resume_at = resume_at
        self.execution_deadline = execution_deadline
        self.duration = duration
        self.poll_interval = poll_interval
        self.akkio_conn_id = akkio_conn_id
        self.kept = kept
        self.tells_status = tells_status
        self.try_number = try_number
        self.parameters: dict[str, Any] | None = None
        self._has_ended = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to go on with in another process; no secret is among them."""
        return f"{__name__}.{type(self).__name__}", {
            "akkio_task_id": self.akkio_task_id,
            "submitted_at": self.submitted_at,
            "deadline": self.deadline,
            "resume_at": self.resume_at,
            "execution_deadline": self.execution_deadline,
            "duration": self.duration,
            "poll_interval": self.poll_interval,
            "akkio_conn_id": self.akkio_conn_id,
            "kept": self.kept,
            "tells_status": self.tells_status,
            "try_number": self.try_number,
        }

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render nothing: the task has, before it deferred."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event: that the task has ended, or the payload of a :class:`TrainingEvent`."""
        event, result = await self._wait()
        if self.trigger_id is None:  # ``airflow dags test`` runs triggers without a triggerer, and resumes at once
            if self.kept is not None:
                self.log.warning("The task ends in a worker: only a triggerer can end it, and there is none here.")
        elif self.kept is not None and result is not None and await self._leave(self.kept, result):
            self._has_ended = True
            yield TaskSuccessEvent()
            await self._wait_until_airflow_knows()
            return
        else:
            await asyncio.sleep(max(0.0, self.resume_at - time.time()))
        yield TriggerEvent(replace(event, try_number=self.try_number).to_payload())

    async def on_kill(self) -> None:
        """Say that the training goes on, since Akkio has no call to cancel it."""
        if not self._has_ended:
            self.log.warning(still_running(self.akkio_task_id))

    async def cleanup(self) -> None:
        """Remove what is kept if Airflow ended the trigger in the moment in which it knew that the task has ended."""
        if self._has_ended:
            await self._is_airflow_to_learn_yet()

    async def _wait(self) -> tuple[TrainingEvent, TrainingResult | None]:
        training = SubmittedTraining(self.akkio_task_id, self.submitted_at, self.duration)
        # ``airflow dags test`` runs triggers without a triggerer.
        can_tell = AIRFLOW_V_3_1_PLUS and self.trigger_id is not None and self.task_instance is not None
        teller = StatusWriter(TaskXCom(self.task_instance, THREADS) if self.tells_status and can_tell else None)
        ended = await self._end_of(training, StatusReporter(training, teller.tell, self.parameters))
        await teller.finish()
        return ended

    async def _end_of(
        self, training: SubmittedTraining, watch: StatusReporter
    ) -> tuple[TrainingEvent, TrainingResult | None]:
        deadline = min(self.deadline, self.execution_deadline or math.inf)
        hook = AkkioHook(self.akkio_conn_id)
        try:
            # The result is fetched to know that it can be had: an outage is better waited out here than in a worker.
            state = await hook.arun(lambda akkio: akkio.poll_until_done(training, deadline, self.poll_interval, watch))
            result = await hook.aget_training_result(self.akkio_task_id, state.location)
        except AkkioError as error:
            is_execution = isinstance(error, AkkioTrainingTimeoutError) and deadline < self.deadline
            return self._failed(error, WaitOutcome.OUT_OF_EXECUTION_TIME if is_execution else WaitOutcome.FAILED), None
        except Exception as error:
            self.log.exception("The wait for training %s broke.", self.akkio_task_id)
            broken = AkkioError(
                f"The wait broke ({type(error).__name__}: {printable(str(error))}). {still_running(self.akkio_task_id)}"
            )
            return self._failed(broken, WaitOutcome.FAILED), None
        ended = TrainingEvent(akkio_task_id=self.akkio_task_id, ending=WaitOutcome.SUCCEEDED, location=state.location)
        return ended, result

    async def _leave(self, kept: dict[str, Any], result: TrainingResult) -> bool:
        """Leave a result in XCom as a worker would, the return value last; return whether the task can end so."""
        task = TaskXCom(self.task_instance)
        xcoms = {KEY: kept, "akkio_task_id": self.akkio_task_id, **result.to_xcoms(), "return_value": result.model_id}
        try:
            if await task.state() != TaskInstanceState.DEFERRED:
                return False
            for key, value in xcoms.items():
                await task.set_xcom(key, value)
        except Exception:  # an XCom backend may be any service, with errors of its own
            self.log.exception("The result could not be stored from here; a worker does it.")
            return False
        log_model(self.log, result)
        return True

    async def _wait_until_airflow_knows(self) -> None:
        """Remove what is kept once Airflow has recorded the task's success, and never before.

        A person may clear the task in the moment in which it ends: then the next try finds what is kept, and goes on
        with the training. A result alone does not tell whether Airflow took it.
        """
        for _ in range(_TIMES_TO_LOOK):
            if not await self._is_airflow_to_learn_yet():
                return
            await asyncio.sleep(_LOOK_EVERY)

    async def _is_airflow_to_learn_yet(self) -> bool:
        task = TaskXCom(self.task_instance)
        try:
            state = await task.state()
            if state == TaskInstanceState.SUCCESS:
                await task.delete_xcom(KEY)
                self._has_ended = False
        except Exception:  # the task has succeeded, whatever an XCom backend says
            self.log.exception("The XCom %r could not be removed.", KEY)
            return False
        return state == TaskInstanceState.DEFERRED

    def _failed(self, error: AkkioError, ending: WaitOutcome) -> TrainingEvent:
        return TrainingEvent.of_failure(error, ending, self.akkio_task_id)
