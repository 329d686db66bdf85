"""Start and stop of the server."""

from __future__ import annotations

import threading
from pathlib import Path

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.api_client import ApiClient


def test_stop_ends_running_training_and_all_threads(folder: Path) -> None:
    before = set(threading.enumerate())
    with Sandbox(data=folder) as sandbox:
        client = ApiClient(sandbox.url)
        running = client.submit(dataset_id="slow")
        queued = client.submit(dataset_id="signal")
        client.poll(running, {"IN_PROGRESS"}.__contains__)
        names = [thread.name for thread in set(threading.enumerate()) - before]
    assert any(name.startswith("akkio-sandbox-training") for name in names)
    assert set(threading.enumerate()) <= before
    errors = [sandbox._trainings.progress(task_id).error for task_id in (running, queued)]
    assert errors == ["The sandbox was stopped."] * 2


def test_server_listens_on_ipv6() -> None:
    with Sandbox(host="::1") as sandbox:
        assert sandbox.url.startswith("http://[::1]:")
        assert ApiClient(sandbox.url).post_training(dataset_id="wine").status_code == 201
