"""A trigger's own task: its XComs and its state. In the triggerer, ``ti.xcom_pull`` never returns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async


class OwnTask:
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
