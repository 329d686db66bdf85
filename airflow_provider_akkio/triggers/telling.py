"""Tells beside a wait in the triggerer how the training stands."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_akkio.api.vocabulary import STATUS_KEY
from airflow_provider_akkio.triggers.own_task import OwnTask

log = logging.getLogger(__name__)

LONGEST_WRITE = 10.0
"""Seconds that an XCom backend may take before the wait's end no longer heeds it."""

THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="akkio-status")
"""Where a whole process writes: a backend that hangs holds up these, and none of the event loop's own threads."""


class Teller:
    """Writes the newest of what it is told into the task's XCom; the wait goes on meanwhile, whatever comes of it.

    :param task: the trigger's task, writing in :data:`THREADS`; ``None`` tells nobody.
    """

    def __init__(self, task: OwnTask | None) -> None:
        self._task = task
        self._newest: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None

    def tell(self, entry: dict[str, Any]) -> None:
        """Take an entry for :data:`~airflow_provider_akkio.api.vocabulary.STATUS_KEY`, and return at once."""
        if self._task is None:
            return
        self._newest = entry
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(self._task))

    async def finish(self) -> None:
        """Let what is being written arrive: written later, it could follow what the task writes once it is resumed."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=LONGEST_WRITE)

    async def _write(self, task: OwnTask) -> None:
        try:
            while (entry := self._newest) is not None:
                self._newest = None
                await _try_to_write(task, entry)
        finally:
            self._writing = None


async def _try_to_write(task: OwnTask, entry: dict[str, Any]) -> None:
    try:
        await task.set_xcom(STATUS_KEY, entry)
    except Exception:  # an XCom backend may be any service; the training counts, and not what is said of it
        log.warning("The XCom %r could not be written.", STATUS_KEY, exc_info=True)
