"""A sandbox behind a gate that can lose answers, for the operators that move rows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_akkio.api import datasets
from airflow_provider_akkio.sandbox import Sandbox
from dev.stack import SANDBOX_KEY, akkio_connection
from tests.chaos.gate import Gate


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests of this folder, each with datasets of its own."""
    with Sandbox(key=SANDBOX_KEY) as sandbox:
        yield sandbox


@pytest.fixture
def gate(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate to the sandbox, where the connection ``akkio_default`` leads; doubts are settled quickly."""
    monkeypatch.setattr(datasets, "SETTLING_PAUSES", (0.01, 0.01))
    with Gate(shared_sandbox, "akkio_default") as gate:
        for name, value in akkio_connection(gate.url, SANDBOX_KEY).items():
            monkeypatch.setenv(name, json.dumps(json.loads(value) | {"extra": {"requests_per_second": 1000}}))
        yield gate


@pytest.fixture
def sandbox(gate: Gate) -> Sandbox:
    """The sandbox behind the gate."""
    return gate._sandbox
