"""The number of worker processes per training in a real Airflow."""

from __future__ import annotations

import sys
from pathlib import Path

from dev.stack import running_stack

TASK_ID = "by_workers"
_DAG_ID = "workers"
_WORKER_STARTS = "Worker startup parse complete"
"""What each worker process writes once to the log of its task."""


def processes_per_training() -> int:
    """Train once with the deferrable operator, and return the number of worker processes."""
    with running_stack(dags=Path(__file__).parent / "dags", pace=3.0, say=_say) as stack:
        run_id = stack.api.trigger(_DAG_ID)
        state = stack.api.follow(_DAG_ID, run_id)
        if state != "success":
            raise RuntimeError(f"the run is {state}")
        return stack.api.log(_DAG_ID, run_id, TASK_ID).count(_WORKER_STARTS)


def _say(message: str) -> None:
    print(f"  workers: {message}", file=sys.stderr, flush=True)
