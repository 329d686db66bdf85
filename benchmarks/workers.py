"""The worker processes that a training takes, counted in a whole Airflow."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dev.stack import running_stack

_DAG_ID = "workers"
_WORKER_STARTS = "Worker startup parse complete"
"""What each worker process writes once into the log of its task."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run the operator.

    :param task_id: its task in the DAG file.
    :param parameters: what the operator is told.
    :param expected: how many worker processes it should take.
    """

    task_id: str
    parameters: str
    expected: int


WAYS = (
    Way("by_workers", "", 2),
    Way("ended_by_trigger", "end_from_trigger=True", 1),
    Way("started_by_trigger", "start_from_trigger=True", 0),
)


def processes_by_way() -> list[tuple[Way, int]]:
    """Train once in each way, and return how many worker processes each took."""
    with running_stack(dags=Path(__file__).parent / "dags", pace=3.0, say=_say) as stack:
        run_id = stack.api.trigger(_DAG_ID)
        state = stack.api.follow(_DAG_ID, run_id)
        if state != "success":
            raise RuntimeError(f"the run ended with {state}")
        return [(way, stack.api.log(_DAG_ID, run_id, way.task_id).count(_WORKER_STARTS)) for way in WAYS]


def _say(message: str) -> None:
    print(f"  workers: {message}", file=sys.stderr, flush=True)
