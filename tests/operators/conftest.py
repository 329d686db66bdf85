"""A sandbox behind a gate that injects faults, and a fixture that runs one task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_akkio.api import datasets
from airflow_provider_akkio.operators import _base
from airflow_provider_akkio.sandbox import Sandbox
from dev.stack import SANDBOX_KEY, akkio_connection
from tests.airflow_runs import DagRunner, FinishedRun
from tests.chaos.gate import Gate


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests of this folder; each test creates its own datasets."""
    with Sandbox(key=SANDBOX_KEY) as sandbox:
        yield sandbox


@pytest.fixture
def gate(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The gate to which the connection ``akkio_default`` leads; unknown outcomes are resolved after 20 ms."""
    monkeypatch.setattr(datasets, "SETTLING_PAUSES", (0.01, 0.01))
    with Gate(shared_sandbox, "akkio_default") as gate:
        for name, value in akkio_connection(gate.url, SANDBOX_KEY).items():
            monkeypatch.setenv(name, json.dumps(json.loads(value) | {"extra": {"requests_per_second": 1000}}))
        yield gate


@pytest.fixture
def sandbox(gate: Gate) -> Sandbox:
    """The sandbox behind the gate."""
    return gate._sandbox


class Code(str):
    """A parameter that is Python code."""

    __slots__ = ()
    __repr__ = str.__str__


def call(operator: str, **parameters: Any) -> str:
    """Return the code that creates a task; :class:`Code` is inserted as it is, everything else as a literal."""
    parameters = {"retry_delay": 0} | parameters
    return f"{operator}({', '.join(f'{name}={value!r}' for name, value in parameters.items())})"


RunTask = Callable[..., FinishedRun]


@pytest.fixture
def run_task(run_dag: DagRunner) -> RunTask:
    """Run a DAG with one task: an operator name and the parameters."""
    return lambda operator, **parameters: run_dag(call(operator, **parameters))


@pytest.fixture
def short_result_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a task fetch a result for fractions of a second where it would do so for minutes."""
    monkeypatch.setattr(_base, "RESULT_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(_base, "MAX_RETRY_SECONDS", 1.5)
    monkeypatch.setattr(_base, "_result_retry_delay", lambda _: 0.2)
