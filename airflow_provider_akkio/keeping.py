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
