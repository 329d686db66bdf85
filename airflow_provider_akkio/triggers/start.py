"""Submits a training from the triggerer, waits for it, and ends the task: no worker process at all."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from tenacity import before_sleep_log, retry, stop_after_attempt, wait_exponential

from airflow_provider_akkio.api.advice import NOT_SUBMITTED_AGAIN
from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.api.request import TrainRequest, parse_id
from airflow_provider_akkio.api.training import SubmittedTraining
from airflow_provider_akkio.exceptions import AkkioError, AkkioSubmitOutcomeUnknown
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.submission import KEY, Submission, fingerprint_of
from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger, Ending, TrainingEvent
from airflow_provider_akkio.triggers.own_task import OwnTask
from airflow_provider_akkio.triggers.rendering import render

log = logging.getLogger(__name__)

SPARE_SECONDS = 5.0
"""Seconds by which the wait ends before Airflow's own limit of the deferral, so that its message is the task's."""

_NOT_STARTED = TrainingEvent(akkio_task_id="", ending=Ending.NOT_STARTED)


class AkkioStartTrigger(BaseTrigger):
    """Does for a task's first try what :class:`~airflow_provider_akkio.operators.akkio.AkkioTrainOperator` does.

    The triggerer may die and run it anew: what it submitted lies in the task's XComs, from before the submission if a
    second one could be billed. Whatever keeps it from submitting, a later try included, goes on in a worker.

    :param dataset_id: as in :class:`~airflow_provider_akkio.api.request.TrainRequest`, or a template for it.
    :param predict_fields: likewise.
    :param ignore_fields: likewise.
    :param duration: likewise.
    :param extra_attention: likewise.
    :param force: likewise.
    :param akkio_conn_id: id of the connection, or a template for it.
    :param timeout: seconds from the submission on after which the wait ends.
    :param poll_interval: see :class:`~airflow_provider_akkio.triggers.akkio.AkkioTrainTrigger`.
    """

    def __init__(
        self,
        *,
        dataset_id: str,
        predict_fields: Any,
        ignore_fields: Any,
        duration: Any,
        extra_attention: Any,
        force: Any,
        akkio_conn_id: str,
        timeout: float,
        poll_interval: float | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's constructor has no annotations
        self.request = {
            "dataset_id": dataset_id,
            "predict_fields": predict_fields,
            "ignore_fields": ignore_fields,
            "duration": duration,
            "extra_attention": extra_attention,
            "force": force,
        }
        self.akkio_conn_id = akkio_conn_id
        self.timeout = timeout
        self.poll_interval = poll_interval
        self._context: Any = None
        self._wait: AkkioTrainTrigger | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as they were before their templates were rendered."""
        return f"{__name__}.{type(self).__name__}", {
            **self.request,
            "akkio_conn_id": self.akkio_conn_id,
            "timeout": self.timeout,
            "poll_interval": self.poll_interval,
        }

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:  # noqa: ARG002 - Airflow's signature
        """Keep the context: :meth:`run` renders off the event loop, and only what cannot hang in a triggerer."""
        self._context = context

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Submit, wait, and yield one event: that the task has ended, or the payload of a :class:`TrainingEvent`."""
        try:
            event = await self._start()
        except Exception as error:  # noqa: BLE001 - a worker meets it too, or does better; it finds what was submitted
            self.log.warning("The task starts in a worker: %s: %s", type(error).__name__, quoted(str(error)))
            event = _NOT_STARTED
        if event is not None:
            yield TriggerEvent(event.to_payload())
        if self._wait is not None:
            async for ended in self._wait.run():
                yield ended

    async def on_kill(self) -> None:
        """Say that the training goes on, if there is one."""
        if self._wait is not None:
            await self._wait.on_kill()

    async def cleanup(self) -> None:
        """Do what the wait has left to do."""
        if self._wait is not None:
            await self._wait.cleanup()

    async def _start(self) -> TrainingEvent | None:
        """Find the training, or submit it; return an event if that ends it here."""
        if self.task_instance is None or self.task_instance.try_number != 1:
            self.log.info(
                "The task starts in a worker: this is a later try, which may go on with an earlier one's training."
            )
            return _NOT_STARTED
        task = OwnTask(self.task_instance)
        kept = Submission.from_entry(await task.get_xcom(KEY))
        rendered = await sync_to_async(render, thread_sensitive=False)(
            {**self.request, "akkio_conn_id": self.akkio_conn_id}, self._context, self.get_template_env()
        )
        self._context = None
        conn_id = parse_id("akkio_conn_id", rendered.pop("akkio_conn_id"))
        request = TrainRequest(**rendered)
        hook = AkkioHook(conn_id)
        await hook.aget_account()
        try:
            if kept is None:
                kept = await self._submit(hook, request, task)
            elif kept.akkio_task_id is not None:
                await task.set_xcom("akkio_task_id", kept.akkio_task_id)
            if kept.akkio_task_id is None:
                raise AkkioSubmitOutcomeUnknown(f"The triggerer ended while it submitted. {NOT_SUBMITTED_AGAIN}")
        except AkkioError as error:
            return TrainingEvent.of_failure(error)
        training = SubmittedTraining(kept.akkio_task_id, kept.submitted_at, request.duration)
        self._wait = self._wait_for(training, kept, conn_id)
        # No worker has run, and so Airflow has no record of what was asked for.
        self._wait.parameters = {**request.to_json(), "akkio_conn_id": conn_id}
        return None

    async def _submit(self, hook: AkkioHook, request: TrainRequest, task: OwnTask) -> Submission:
        fingerprint = fingerprint_of(request.to_json(), hook.akkio_conn_id)
        if request.force:
            begun = Submission(fingerprint=fingerprint, akkio_task_id=None, submitted_at=time.time())
            await task.set_xcom(KEY, begun.to_entry())
        try:
            training = await hook.asubmit_training(request)
        except AkkioSubmitOutcomeUnknown:
            raise
        except Exception:  # the client makes errors of Akkio's of whatever happens once a request has left
            await self._forget(task)
            raise
        kept = Submission(
            fingerprint=fingerprint, akkio_task_id=training.akkio_task_id, submitted_at=training.submitted_at
        )
        try:
            await _set_at_last(task, KEY, kept.to_entry())
            await _set_at_last(task, "akkio_task_id", training.akkio_task_id)
        except Exception:  # an XCom backend may be any service; the training has begun, and is not lost for it
            self.log.exception("Training %s could not be kept for another triggerer.", training.akkio_task_id)
        return kept

    async def _forget(self, task: OwnTask) -> None:
        try:
            await task.delete_xcom(KEY)
        except Exception:  # why nothing was started counts, whatever an XCom backend says
            self.log.exception("The XCom %r could not be removed.", KEY)

    def _wait_for(self, training: SubmittedTraining, kept: Submission, conn_id: str) -> AkkioTrainTrigger:
        limit = getattr(self, "timeout_after", None)
        wait = AkkioTrainTrigger(
            akkio_task_id=training.akkio_task_id,
            submitted_at=training.submitted_at,
            deadline=training.submitted_at + self.timeout,
            execution_deadline=None if limit is None else limit.timestamp() - SPARE_SECONDS,
            duration=training.duration,
            poll_interval=self.poll_interval,
            akkio_conn_id=conn_id,
            kept=kept.to_entry(),
            tells_status=True,
        )
        wait.task_instance, wait.trigger_id = self.task_instance, self.trigger_id
        return wait


@retry(
    stop=stop_after_attempt(6),
    wait=wait_exponential(max=10),
    before_sleep=before_sleep_log(log, logging.WARNING),
    reraise=True,
)
async def _set_at_last(task: OwnTask, key: str, value: Any) -> None:
    await task.set_xcom(key, value)
