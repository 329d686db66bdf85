"""How a training stands, as its task tells it in XCom: for Airflow's page, and for the tasks after it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async

from airflow_provider_akkio.api.types import STATUS_KEY

if TYPE_CHECKING:
    from airflow_provider_akkio.api.types import SubmittedTraining, TrainingState

log = logging.getLogger(__name__)


_NEWS = 0.1
"""Share by which an estimate has to change to be told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatusUpdate:
    """The last status of a training.

    :param status: as Akkio wrote it.
    :param since: when the wait saw it for the first time, in seconds since the epoch.
    :param estimate_seconds: Akkio's last rough estimate of the whole training's seconds, if it gave one.
    :param submitted_at: when Akkio accepted the training, in seconds since the epoch; ``None`` if somebody else
        submitted it.
    :param parameters: what was asked for, where no worker has run, since Airflow's own record of it is made there.
    """

    status: str
    since: float
    estimate_seconds: float | None = None
    submitted_at: float | None = None
    parameters: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, entry: Any) -> Self | None:
        """Read what :meth:`to_entry` returned; ``None`` if there is nothing, or nothing of ours."""
        match entry:
            case {"status": str(), "since": float() | int()}:
                known = {field.name: entry.get(field.name) for field in fields(cls)}
                numbers = (known["estimate_seconds"], known["submitted_at"])
                if all(number is None or isinstance(number, float | int) for number in numbers):
                    is_told = isinstance(known["parameters"], Mapping)
                    return cls(**known | {"parameters": known["parameters"] if is_told else None})
        return None

    def to_entry(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class StatusReporter:
    """Hears each answer to a question for the status, and passes on what is new.

    :param training: which training.
    :param tell: takes the entry for :data:`~airflow_provider_akkio.api.types.STATUS_KEY`.
    :param parameters: see :class:`TrainingStatusUpdate`.
    :param clock: gives the present, in seconds since the epoch.
    """

    def __init__(
        self,
        training: SubmittedTraining,
        tell: Callable[[dict[str, Any]], None],
        parameters: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        is_ours = training.duration is not None
        self._submitted_at = training.submitted_at if is_ours else None
        self._tell = tell
        self._parameters = parameters
        self._clock = clock
        self._told: TrainingStatusUpdate | None = None

    def __call__(self, state: TrainingState) -> None:
        """Take an answer."""
        before = self._told
        estimate = None if before is None else before.estimate_seconds
        if _is_news(estimate, state.estimate_seconds):
            estimate = state.estimate_seconds
        if before is None or before.status != state.status:
            self._told = TrainingStatusUpdate(
                status=state.status,
                since=self._clock(),
                estimate_seconds=estimate,
                submitted_at=self._submitted_at,
                parameters=self._parameters,
            )
        elif estimate != before.estimate_seconds:
            self._told = replace(before, estimate_seconds=estimate)
        if self._told is not None and self._told is not before:
            self._tell(self._told.to_entry())


def _is_news(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return now is not None
    return abs(now - before) > _NEWS * before


class TaskXCom:
    """Reads and writes the XComs of a trigger's task, which needs Airflow 3.1, and asks for its state, which needs 3.3.

    :param task_instance: what the triggerer gave the trigger.
    :param threads: where to do it; default the event loop's own threads.
    """

    def __init__(self, task_instance: Any, threads: ThreadPoolExecutor | None = None) -> None:
        self._threads = threads
        self._of_task = {
            "dag_id": task_instance.dag_id,
            "task_id": task_instance.task_id,
            "run_id": task_instance.run_id,
            "map_index": task_instance.map_index,
        }

    async def get_xcom(self, key: str) -> Any:
        """Return a value, ``None`` if there is none."""
        return await self._call("get_one", key=key)

    async def set_xcom(self, key: str, value: Any) -> None:
        """Write a value, over one that is there."""
        await self._call("set", key=key, value=value)

    async def delete_xcom(self, key: str) -> None:
        """Delete a value, if it is there."""
        await self._call("delete", key=key)

    async def state(self) -> str | None:
        """Return the task's state as Airflow knows it now."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        of_task = self._of_task
        states = await sync_to_async(RuntimeTaskInstance.get_task_states, thread_sensitive=False)(
            dag_id=of_task["dag_id"],
            map_index=of_task["map_index"],
            task_ids=[of_task["task_id"]],
            run_ids=[of_task["run_id"]],
        )
        [state] = states[of_task["run_id"]].values()
        return None if state is None else str(state)

    async def _call(self, method: str, **arguments: Any) -> Any:
        # A backend may take its time, or wait for the triggerer's event loop; to load it takes long, too.
        call = sync_to_async(_call_xcom, thread_sensitive=False, executor=self._threads)
        return await call(method, **arguments, **self._of_task)


def _call_xcom(method: str, **arguments: Any) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return getattr(XCom, method)(**arguments)


LONGEST_WRITE = 10.0
"""Seconds that an XCom backend may take before the wait's end no longer heeds it."""

THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="akkio-status")
"""Where a whole process writes: a backend that hangs holds up these, and none of the event loop's own threads."""


class StatusWriter:
    """Writes the newest of what it is told into the task's XCom; the wait goes on meanwhile, whatever comes of it.

    :param task: the trigger's task, writing in :data:`THREADS`; ``None`` tells nobody.
    """

    def __init__(self, task: TaskXCom | None) -> None:
        self._task = task
        self._newest: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None

    def tell(self, entry: dict[str, Any]) -> None:
        """Take an entry for :data:`~airflow_provider_akkio.api.types.STATUS_KEY`, and return at once."""
        if self._task is None:
            return
        self._newest = entry
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(self._task))

    async def finish(self) -> None:
        """Let what is being written arrive: written later, it could follow what the task writes once it is resumed."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=LONGEST_WRITE)

    async def _write(self, task: TaskXCom) -> None:
        try:
            while (entry := self._newest) is not None:
                self._newest = None
                await _try_to_write(task, entry)
        finally:
            self._writing = None


async def _try_to_write(task: TaskXCom, entry: dict[str, Any]) -> None:
    try:
        await task.set_xcom(STATUS_KEY, entry)
    except Exception:  # an XCom backend may be any service; the training counts, and not what is said of it
        log.warning("The XCom %r could not be written.", STATUS_KEY, exc_info=True)
