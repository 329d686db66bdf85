"""Durable execution: what a task stores about its training or chat, and what a task retry does with it.

The record is in Airflow's ``task_state_store`` (Airflow 3.3 and newer), which outlives the attempts of a task.
Airflow's ``ResumableJobMixin`` is not used: it covers only the blocking path, stores the ID only after the submission,
and submits failed jobs again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from airflow_provider_akkio.api.types import (
    MAX_TRAINING_SECONDS,
    NOT_SUBMITTED_AGAIN,
    AkkioTask,
    AkkioTaskState,
    still_running_message,
)
from airflow_provider_akkio.exceptions import AkkioError, AkkioNotFoundError, AkkioSubmissionUnknownError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.chats import ChatRequest
    from airflow_provider_akkio.api.parameters import TrainRequest

log = logging.getLogger(__name__)

AkkioTaskRequest: TypeAlias = "TrainRequest | ChatRequest"

RECORD_KEY = "akkio_task"
"""Key of the record in the task state store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRecord:
    """What a task stores about its submission.

    :param fingerprint: identifies the request and the connection; see :func:`fingerprint_of`.
    :param akkio_task_id: ID of the training or chat; ``None`` while the submission has no response yet.
    :param submitted_at: when Akkio accepted it, or when the submission started, in seconds since the epoch.
    """

    fingerprint: str
    akkio_task_id: str | None
    submitted_at: float

    @classmethod
    def from_json(cls, entry: Any) -> Self | None:
        """Return the record that :meth:`to_json` wrote; ``None`` without a record.

        :raises ValueError: if the record is invalid.
        """
        match entry:
            case None:
                return None
            case {"fingerprint": str(fingerprint), "akkio_task_id": task_id, "submitted_at": float(submitted_at)}:
                is_valid_id = task_id is None or (
                    isinstance(task_id, str) and task_id.strip() and task_id.isprintable()
                )
                if is_valid_id and math.isfinite(submitted_at):
                    return cls(fingerprint=fingerprint, akkio_task_id=task_id, submitted_at=submitted_at)
        raise ValueError(f"The stored record {RECORD_KEY!r} of the previous attempt is invalid.")

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit a new training or chat."""


@dataclass(frozen=True, slots=True)
class Reattach:
    """Wait for the task of Akkio that a previous attempt submitted.

    :param task: the training or chat.
    :param state: its state at Akkio now.
    """

    task: AkkioTask
    state: AkkioTaskState


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail the task, because a new submission could be billed twice.

    :param error: the error to raise.
    """

    error: AkkioError


Decision: TypeAlias = Submit | Reattach | Fail


def fingerprint_of(request: AkkioTaskRequest, akkio_conn_id: str) -> str:
    """Return a digest that changes with every parameter that Akkio receives, and with the connection."""
    return hashlib.sha256(json.dumps([akkio_conn_id, request.to_json()], sort_keys=True).encode()).hexdigest()


def decide(
    stored: Any,
    request: AkkioTaskRequest,
    fingerprint: str,
    look_up: Callable[[AkkioTask], AkkioTaskState | None],
    now: float,
) -> Decision:
    """Decide what an attempt does about the training or chat of the previous attempt.

    :param stored: the stored record as JSON; ``None`` on the first attempt.
    :param request: the request of this attempt.
    :param fingerprint: the fingerprint of ``request``.
    :param look_up: returns its current state, or ``None`` if it can no longer bring a result; see
        :meth:`~airflow_provider_akkio.api.tasks.AkkioApi.get_resumable_state`.
    :param now: the current time, in seconds since the epoch.
    """
    try:
        record = SubmissionRecord.from_json(stored)
    except ValueError as error:
        if request.force:
            return Fail(AkkioSubmissionUnknownError(f"{error} {NOT_SUBMITTED_AGAIN}"))
        log.warning("%s Submitting again, which trains no second model.", error)
        return Submit()
    if record is None:
        return Submit()
    if record.fingerprint != fingerprint:
        log.warning(
            "Ignoring %s from the previous attempt: its parameters differ.",
            f"{request.kind} {record.akkio_task_id}" if record.akkio_task_id else "the submission",
        )
        return Submit()
    if record.akkio_task_id is None:
        return Fail(
            AkkioSubmissionUnknownError(f"The previous attempt stopped during its submission. {NOT_SUBMITTED_AGAIN}")
        )
    task = AkkioTask(record.akkio_task_id, record.submitted_at, request.duration, request.kind)
    return _decide_on_task(task, look_up, force=request.force, now=now)


def _decide_on_task(
    task: AkkioTask,
    look_up: Callable[[AkkioTask], AkkioTaskState | None],
    *,
    force: bool,
    now: float,
) -> Decision:
    try:
        state = look_up(task)
    except AkkioNotFoundError as error:
        # The 404 may be from a gateway or another account. A new training with force=True would be billed.
        if force and now - task.submitted_at < MAX_TRAINING_SECONDS:
            return Fail(error)
        state = None
    if state is None:
        log.warning("%s of the previous attempt has no result; submitting a new one.", task.title)
        return Submit()
    log.info("Reconnecting to %s of the previous attempt; its status is %s.", task, state.status)
    return Reattach(task, state)


class RecordStore:
    """Reads and writes the record of one task.

    :param context: the task's context.
    :param durable: whether to use Airflow's task state store; without it nothing is stored.
    """

    def __init__(self, context: Context, *, durable: bool) -> None:
        self._store = task_state_store(context) if durable else None

    def load(self) -> Any:
        """Return the record of the previous attempt as JSON, or ``None``."""
        return None if self._store is None else self._store.get(RECORD_KEY)

    @contextmanager
    def during_submission(self, fingerprint: str, now: float) -> Iterator[None]:
        """Store a record without an ID while a submission is in flight that must not happen twice.

        If the worker is killed during the submission, the task retry finds this record and does not pay again. The
        record is deleted if the submission certainly failed.

        :param fingerprint: fingerprint of the request.
        :param now: the current time, in seconds since the epoch.
        """
        if self._store is None:
            yield
            return
        record = SubmissionRecord(fingerprint=fingerprint, akkio_task_id=None, submitted_at=now)
        self._store.set(RECORD_KEY, record.to_json())
        try:
            yield
        except AkkioSubmissionUnknownError:
            raise
        except Exception:
            # Every error after the request has left is an AkkioSubmissionUnknownError.
            _delete(self._store, RECORD_KEY)
            raise

    def save(self, fingerprint: str, task: AkkioTask) -> None:
        """Store a submitted training or chat.

        A failing store is logged and does not fail the Airflow task: a training is running and will be billed.
        """
        if self._store is None:
            return
        record = SubmissionRecord(
            fingerprint=fingerprint, akkio_task_id=task.akkio_task_id, submitted_at=task.submitted_at
        )
        try:
            self._store.set(RECORD_KEY, record.to_json())
        except Exception:  # the store's backend may raise any error
            log.exception(
                "Could not store %s for a task retry. %s", task, still_running_message(task.akkio_task_id, task.kind)
            )


def task_state_store(context: Context) -> Any:
    """Return Airflow's task state store; ``None`` before Airflow 3.3."""
    return context.get("task_state_store")


def delete_record(context: Context, key: str) -> None:
    """Delete a stored record; a failing store is logged.

    :param context: the task's context.
    :param key: key of the record.
    """
    if (store := task_state_store(context)) is not None:
        _delete(store, key)


def delete_on_success(context: Context) -> None:
    """Delete the record: a success callback, so that clearing a successful task submits again.

    A callback runs after Airflow has recorded the success. Until then the record is needed if the worker stops.
    """
    delete_record(context, RECORD_KEY)


def delete_on_failure(context: Context) -> None:
    """Delete the record if clearing the task has to submit again: a failure callback."""
    if isinstance(context.get("exception"), AkkioSubmissionUnknownError | AkkioNotFoundError):
        delete_record(context, RECORD_KEY)


def with_callback(callbacks: Any, callback: Callable[[Context], None]) -> list[Any]:
    """Return an operator's callbacks with another one; Airflow 2 keeps a single callback, or ``None``, as it was given.

    :param callbacks: ``on_success_callback`` or ``on_failure_callback`` of an operator.
    :param callback: the callback to add.
    """
    if callbacks is None or isinstance(callbacks, Sequence):
        return [*(callbacks or ()), callback]
    return [callbacks, callback]


def _delete(store: Any, key: str) -> None:
    try:
        store.delete(key)
    except Exception:  # the store's backend may raise any error
        log.exception("Could not delete the stored record %r.", key)
