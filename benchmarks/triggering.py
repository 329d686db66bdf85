"""Runs real triggers on one event loop, as a triggerer does, but without a triggerer."""

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
"""Requests per second that no measure reaches."""


def load_triggerer() -> None:
    """Load what a triggerer has loaded before its first trigger, so that only the provider's own share counts.

    What is loaded is taken out of garbage collection: a full collection of Airflow's own objects holds the loop up for
    a tenth of a second or two, whatever the triggers do.
    """
    import_module("airflow.jobs.triggerer_job_runner")
    gc.collect()
    gc.freeze()


def connect(akkio: Loopback, requests_per_second: float = UNBOUNDED) -> None:
    """Define the connection of the triggers.

    :param akkio: whom to talk to.
    :param requests_per_second: what the account may ask for in a second.
    """
    extra = {"requests_per_second": requests_per_second, "verify": str(akkio.authority)}
    fields = {"conn_type": "akkio", "host": akkio.url, "password": "the-key", "extra": extra}
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(fields)


def trigger(akkio_task_id: str, poll_interval: float | None = None, **known: Any) -> AkkioTrainTrigger:
    """Return a trigger that waits for up to a day.

    :param akkio_task_id: which training; see :mod:`benchmarks.server` for what its name means.
    :param poll_interval: seconds between two questions; default the trigger's own pace.
    :param known: what else the trigger is told.
    """
    from airflow_provider_akkio.triggers.akkio import AkkioTrainTrigger

    now = time.time()
    known = {"submitted_at": now, "deadline": now + 86400, **known}
    return AkkioTrainTrigger(
        akkio_task_id=akkio_task_id, poll_interval=poll_interval, akkio_conn_id=CONNECTION, **known
    )


async def event_of(one: AkkioTrainTrigger) -> TriggerEvent:
    """Run a trigger, and return its event."""
    async for event in one.run():
        return event
    raise RuntimeError("the trigger ended without an event")


@asynccontextmanager
async def running(triggers: Sequence[AkkioTrainTrigger]) -> AsyncIterator[list[asyncio.Task[TriggerEvent]]]:
    """Run triggers until the block ends; like a triggerer, let others run between the start of one and the next.

    :param triggers: which.
    """
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


def raise_of(tasks: Sequence[asyncio.Task[TriggerEvent]]) -> None:
    """Raise what ended a wait that should go on."""
    for task in tasks:
        if task.done():
            raise RuntimeError(f"a wait ended early: {task.result()}")
