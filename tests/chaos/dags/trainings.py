"""One training by way of a gate, waited for in each way, by a task that may be made to die."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator


class Mortal(AkkioTrainOperator):
    """Trains; its first try may be killed right after the submission, alone or with the worker that runs it."""

    def await_training(self, context, training, deadline):
        if context["ti"].try_number == 1:
            victims = {"worker": [os.getppid(), os.getpid()], "task": [os.getpid()]}
            for victim in victims.get(context["params"]["dies"], []):
                os.kill(victim, signal.SIGKILL)
        return super().await_training(context, training, deadline)


WAITS = {
    "deferrable": {},
    "blocking": {"deferrable": False},
    "ended": {"end_from_trigger": True},
    "started": {"start_from_trigger": True},
}

for wait, arguments in WAITS.items():
    with DAG(
        f"chaos_{wait}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        max_active_runs=64,
        params={"gate": "", "force": True, "ignore_fields": [], "dies": ""},
    ):
        Mortal(
            task_id="train",
            dataset_id="wine",
            predict_fields="cultivar",
            ignore_fields="{{ params.ignore_fields }}",
            force="{{ params.force }}",
            akkio_conn_id="{{ params.gate }}",
            retries=5,
            retry_delay=timedelta(seconds=2),
            **arguments,
        )
