"""Where a task instance is, in Airflow's page and below the address of the pages alike."""

from __future__ import annotations

from urllib.parse import quote


def task_path(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the part of an address that names a task of a run.

    Airflow's own page compares a run's id with its address as it stands, so what may stand there stays.
    """
    parts = (("dags", dag_id), ("runs", run_id), ("tasks", task_id))
    return "/".join(f"{kind}/{quote(name, safe=':+')}" for kind, name in parts)
