"""What one try of a task keeps for the next, in Airflow's ``task_state_store`` (3.3 and newer)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


def store_of(context: Context) -> Any:
    """Return the task's state store; ``None`` before Airflow 3.3."""
    return context.get("task_state_store")


def remove(context: Context, key: str) -> None:
    """Remove an entry; a store that fails is logged, since the task's end is not to be upset by it.

    :param context: the task's context.
    :param key: of which entry.
    """
    if (store := store_of(context)) is None:
        return
    try:
        store.delete(key)
    except Exception:  # a store may be any service, with errors of its own
        log.exception("The entry %r of the task's state store could not be removed.", key)


def delete_xcom(context: Context, key: str) -> None:
    """Delete an XCom of the task's own, as Airflow 3 can.

    :param context: the task's context.
    :param key: of the XCom.
    """
    from airflow.sdk.execution_time.xcom import XCom

    ti = context["ti"]
    XCom.delete(key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
