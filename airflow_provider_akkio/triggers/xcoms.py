"""A task's own XComs, for a trigger: in the triggerer, ``ti.xcom_pull`` never returns."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async


class OwnXComs:
    """Reads and writes the XComs of a trigger's task; needs Airflow 3.3.

    :param task_instance: what the triggerer gave the trigger.
    """

    def __init__(self, task_instance: Any) -> None:
        self._of_task = {
            "dag_id": task_instance.dag_id,
            "task_id": task_instance.task_id,
            "run_id": task_instance.run_id,
            "map_index": task_instance.map_index,
        }

    async def get(self, key: str) -> Any:
        """Return a value, ``None`` if there is none."""
        return await self._call("get_one", key=key)

    async def set(self, key: str, value: Any) -> None:
        """Write a value, over one that is there."""
        await self._call("set", key=key, value=value)

    async def delete(self, key: str) -> None:
        """Delete a value, if it is there."""
        await self._call("delete", key=key)

    async def _call(self, method: str, **arguments: Any) -> Any:
        from airflow.sdk.execution_time.xcom import XCom

        # A backend may take its time, or wait for the triggerer's event loop.
        return await sync_to_async(getattr(XCom, method), thread_sensitive=False)(**arguments, **self._of_task)
