"""Waits for a training in the triggerer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.api.messages import quoted
from airflow_provider_akkio.api.training import SubmittedTraining, still_running
from airflow_provider_akkio.exceptions import AkkioError, AkkioTrainingTimeout
from airflow_provider_akkio.hooks.akkio import AkkioHook


class Ending(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUT_OF_EXECUTION_TIME = "out of execution time"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEvent:
    """What the trigger tells the task that it resumes.

    The result itself is not in it: Airflow logs every event whole, and stores it in the task's row. The resumed task
    fetches it.

    :param akkio_task_id: id of the training.
    :param ending: how the wait ended.
    :param location: where the result lies, if it succeeded and Akkio said so.
    :param error: name of the exception to raise in the task, if it failed.
    :param message: what happened, if it did not succeed.
    """

    akkio_task_id: str
    ending: Ending
    location: str | None = None
    error: str = ""
    message: str = ""

    @classmethod
    def from_payload(cls, payload: Any) -> Self:
        """Read the payload of a trigger's event, also a newer version's with more in it.

        :param payload: what :meth:`to_payload` returned, once it has been through Airflow's database.
        :raises AkkioError: if it is none of ours: an event that is not understood never means success.
        """
        try:
            known = {field.name: payload[field.name] for field in fields(cls) if field.name in payload}
            return cls(**{**known, "ending": Ending(payload["ending"])})
        except (TypeError, KeyError, ValueError):
            raise AkkioError(
                f"The trigger's event is none that this version of the provider knows: {quoted(repr(payload))}."
            ) from None

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
        :func:`~airflow_provider_akkio.api.pacing.next_poll_in` makes of what is known.
    :param akkio_conn_id: id of the connection.
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
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event with the payload of a :class:`TrainingEvent`."""
        event = await self._wait()
        if self.trigger_id is not None:  # ``airflow dags test`` runs triggers without a triggerer, and resumes at once
            await asyncio.sleep(max(0.0, self.resume_at - time.time()))
        yield TriggerEvent(event.to_payload())

    async def on_kill(self) -> None:
        """Say that the training goes on, since Akkio has no call to cancel it."""
        self.log.warning(still_running(self.akkio_task_id))

    async def _wait(self) -> TrainingEvent:
        training = SubmittedTraining(self.akkio_task_id, self.submitted_at, self.duration)
        deadline = min(self.deadline, self.execution_deadline or math.inf)
        hook = AkkioHook(self.akkio_conn_id)
        try:
            # The result is fetched to know that it can be had: an outage is better waited out here than in a worker.
            state, _ = await hook.arun(lambda akkio: akkio.finish(training, deadline, self.poll_interval))
        except AkkioError as error:
            is_execution = isinstance(error, AkkioTrainingTimeout) and deadline < self.deadline
            return self._failed(error, Ending.OUT_OF_EXECUTION_TIME if is_execution else Ending.FAILED)
        except Exception as error:
            self.log.exception("The wait for training %s broke.", self.akkio_task_id)
            broken = AkkioError(
                f"The wait broke ({type(error).__name__}: {quoted(str(error))}). {still_running(self.akkio_task_id)}"
            )
            return self._failed(broken, Ending.FAILED)
        return TrainingEvent(akkio_task_id=self.akkio_task_id, ending=Ending.SUCCEEDED, location=state.location)

    def _failed(self, error: AkkioError, ending: Ending) -> TrainingEvent:
        return TrainingEvent(
            akkio_task_id=self.akkio_task_id, ending=ending, error=type(error).__name__, message=str(error)
        )
