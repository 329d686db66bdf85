"""The XCom ``akkio_status``: the last status of a training or chat, for Airflow's UI and for other tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.api.types import STATUS_KEY

if TYPE_CHECKING:
    from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskState

log = logging.getLogger(__name__)

MAX_WRITE_SECONDS = 10.0
"""How long the end of a wait is delayed by an XCom backend that does not respond."""

_MIN_ESTIMATE_CHANGE = 0.1
"""An estimate is pushed again if it has changed by more than this share."""

_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="akkio-status")
"""Threads for XCom writes: a backend that hangs must not block the event loop's own threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AkkioStatusUpdate:
    """The value of the XCom ``akkio_status``.

    :param status: the status as Akkio sent it.
    :param since: when this status was seen first, in seconds since the epoch.
    :param estimate_seconds: Akkio's last estimate of the whole duration in seconds; ``None`` without one.
    :param submitted_at: when Akkio accepted it, in seconds since the epoch; ``None`` in a sensor, which does
        not know it.
    """

    status: str
    since: float
    estimate_seconds: float | None = None
    submitted_at: float | None = None

    @classmethod
    def from_json(cls, entry: Any) -> Self | None:
        """Return what :meth:`to_json` wrote; ``None`` if the entry is missing or invalid."""
        match entry:
            case {"status": str(), "since": float() | int()}:
                values = {field.name: entry.get(field.name) for field in fields(cls)}
                numbers = (values["estimate_seconds"], values["submitted_at"])
                if all(number is None or isinstance(number, float | int) for number in numbers):
                    return cls(**values)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the update as plain JSON, without the fields that are ``None``."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class StatusReporter:
    """Reports the status of a training or chat whenever it has changed.

    :param task: the training or chat.
    :param push: receives the value of the XCom ``akkio_status``.
    :param clock: returns the current time, in seconds since the epoch.
    """

    def __init__(
        self,
        task: AkkioTask,
        push: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._submitted_at = task.submitted_at if task.is_submission_known else None
        self._push = push
        self._clock = clock
        self._last: AkkioStatusUpdate | None = None

    def __call__(self, state: AkkioTaskState) -> None:
        """Take the response to a poll."""
        last = self._last
        estimate = None if last is None else last.estimate_seconds
        if _has_changed(estimate, state.estimate_seconds):
            estimate = state.estimate_seconds
        if last is not None and last.status == state.status:
            update = replace(last, estimate_seconds=estimate)
        else:
            update = AkkioStatusUpdate(
                status=state.status,
                since=self._clock(),
                estimate_seconds=estimate,
                submitted_at=self._submitted_at,
            )
        if update != last:
            self._last = update
            self._push(update.to_json())


class XComStatusWriter:
    """Writes ``akkio_status`` from the triggerer, without delaying the wait.

    Only the newest value is written if several arrive during a write. A failed write is logged.

    :param task_instance: the trigger's task instance; ``None`` writes nothing.
    """

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance
        self._newest: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None

    def push(self, value: dict[str, Any]) -> None:
        """Schedule a write of a value, and return at once."""
        if self._task_instance is None:
            return
        self._newest = value
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def finish(self) -> None:
        """Wait for the last write: a later one could overwrite what the resumed task pushes."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=MAX_WRITE_SECONDS)

    async def _write(self) -> None:
        try:
            while (value := self._newest) is not None:
                self._newest = None
                await self._try_to_write(value)
        finally:
            self._writing = None

    async def _try_to_write(self, value: dict[str, Any]) -> None:
        from asgiref.sync import sync_to_async

        # Airflow's triggerer serves a blocking call only from a thread that asgiref has started.
        write = sync_to_async(_set_xcom, thread_sensitive=False, executor=_THREADS)
        try:
            await write(self._task_instance, value)
        except Exception:  # an XCom backend may raise any error, and must not end the wait
            log.warning("Could not push the XCom %r.", STATUS_KEY, exc_info=True)


def _set_xcom(task_instance: Any, value: dict[str, Any]) -> None:
    # ``xcom_push`` of the task instance is not available in the triggerer.
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(
        key=STATUS_KEY,
        value=value,
        dag_id=task_instance.dag_id,
        task_id=task_instance.task_id,
        run_id=task_instance.run_id,
        map_index=task_instance.map_index,
    )


def _has_changed(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return now is not None
    return abs(now - before) > _MIN_ESTIMATE_CHANGE * before
