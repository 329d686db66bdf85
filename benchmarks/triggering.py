"""Run real triggers on one event loop, as a triggerer does."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger
    from benchmarks.loopback import Loopback

CONNECTION = "akkio_default"
UNBOUNDED = 1e6
"""Requests per second that no benchmark reaches."""


def load_triggerer() -> None:
    """Import what a triggerer imports before its first trigger, so that it is not attributed to the provider.

    The imported objects are excluded from garbage collection: a full collection blocks the loop for 0.1 to 0.2 s,
    whatever the triggers do.
    """
    import_module("airflow.jobs.triggerer_job_runner")
    gc.collect()
    gc.freeze()


def connect(akkio: Loopback, requests_per_second: float = UNBOUNDED) -> None:
    """Define the connection of the triggers.

    :param akkio: the loopback server.
    :param requests_per_second: rate limit of the connection.
    """
    extra = {"requests_per_second": requests_per_second, "verify": str(akkio.authority)}
    fields = {"conn_type": "akkio", "host": akkio.url, "password": "the-key", "extra": extra}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(fields)


def trigger(akkio_task_id: str, poll_interval: float | None = None, **options: Any) -> AkkioTrainTrigger:
    """Return a trigger with a deadline in one day.

    :param akkio_task_id: Akkio task ID; see :mod:`benchmarks.server` for its meaning.
    :param poll_interval: seconds between two polls; default the trigger's polling schedule.
    :param options: other parameters of the trigger.
    """
    from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger

    now = time.time()
    options = {"submitted_at": now, "deadline": now + 86400, **options}
    return AkkioTrainTrigger(
        akkio_task_id=akkio_task_id, poll_interval=poll_interval, akkio_conn_id=CONNECTION, **options
    )


async def event_of(one: AkkioTrainTrigger) -> TriggerEvent:
    """Run a trigger and return its event."""
    async for event in one.run():
        return event
    raise RuntimeError("the trigger ended without an event")


@asynccontextmanager
async def running(triggers: Sequence[AkkioTrainTrigger]) -> AsyncIterator[list[asyncio.Task[TriggerEvent]]]:
    """Run triggers until the block ends; like a triggerer, yield to the loop between two starts."""
    tasks = []
    try:
        for one in triggers:
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(event_of(one)))
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check(tasks: Sequence[asyncio.Task[TriggerEvent]]) -> None:
    """Raise an error if a trigger has finished."""
    for task in tasks:
        if task.done():
            raise RuntimeError(f"a trigger has finished early: {task.result()}")
