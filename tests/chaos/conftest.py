"""A complete Airflow, gates to one sandbox, and the tables of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_akkio.sandbox import Sandbox
from dev.airflow_api import TaskView
from dev.processes import wait_until
from dev.stack import SANDBOX_KEY, Stack, running_stack
from tests.airflow_runs import essential_xcoms
from tests.chaos.gate import Gate

TRAINING_SECONDS = 4.0
GATES = 80
REQUEST_TIMEOUT = 10.0
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "14",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
XCOMS = {"akkio_task_id", "model_id", "return_value", "stats", "field_importance", "data_story"}

Row = tuple[str, ...]

HEADER: Row = ("fault", "wait", "force", "attempts", "submissions", "trainings", "outcome")
UPLOAD_HEADER: Row = ("fault", "dataset", "attempts", "before", "rows", "after", "outcome")

_rows = pytest.StashKey[list[Row]]()
_upload_rows = pytest.StashKey[list[Row]]()


@dataclass
class Case:
    """A DAG run with one training through its own gate.

    :param fault: name of the fault in the table.
    :param gate: the gate.
    :param stack: the Airflow.
    :param wait: ``deferrable`` or ``blocking``.
    :param force: whether Akkio trains a new model for each submission.
    :param run_id: ID of the run.
    :param rows: rows of the table.
    """

    fault: str
    gate: Gate = field(repr=False)
    stack: Stack = field(repr=False)
    wait: str
    force: bool
    run_id: str
    rows: list[Row] = field(repr=False)

    @property
    def dag_id(self) -> str:
        """ID of the DAG."""
        return f"chaos_{self.wait}"

    @property
    def attempts(self) -> int:
        """Number of attempts of the task."""
        return self._task().try_number

    def wait_until_started(self) -> None:
        """Wait until a worker executes the task."""
        wait_until(lambda: self._task().state == "running", f"start of {self}", 600)

    def wait_until_polling(self) -> None:
        """Wait until the training is polled, by the triggerer if the task is deferrable."""
        state = "deferred" if self.wait == "deferrable" else "running"
        wait_until(
            lambda: self._task().state == state and bool(self.gate.requests_to("status")), f"polls of {self}", 600
        )

    def clear(self) -> None:
        """Clear the task."""
        self.stack.api.clear(self.dag_id, self.run_id, "train")

    def wait_until_finished(self) -> str:
        """Wait until the run has finished, and return its state.

        Meanwhile, exited components of Airflow are restarted, and errors of its API are ignored.
        """

        def is_finished() -> bool:
            self.stack.restart_exited()
            with suppress(requests.RequestException, RuntimeError):
                return self.stack.api.run_state(self.dag_id, self.run_id) in ("success", "failed")
            return False

        wait_until(is_finished, f"end of {self}", 900)
        return self.stack.api.run_state(self.dag_id, self.run_id)

    def check_success(self, trainings: int = 1) -> None:
        """Check that the run succeeds, and that the XComs are the result of the last training.

        :param trainings: expected number of trainings.
        """
        state = self.wait_until_finished()
        self._add_row(state)
        assert state == "success"
        assert self.gate.trainings == trainings
        xcoms = essential_xcoms(self.stack.api.xcoms(self.dag_id, self.run_id, "train"))
        assert set(xcoms) == XCOMS
        assert xcoms["akkio_task_id"] in self.gate.accepted
        expected = self.gate.result(xcoms["akkio_task_id"])
        assert xcoms["return_value"] == expected["model_id"]
        shared = XCOMS & expected.keys()
        assert {key: xcoms[key] for key in shared} == {key: expected[key] for key in shared}

    def check_failure(self, error: type[Exception]) -> None:
        """Check that the run fails, and that the log of the last attempt contains the error."""
        state = self.wait_until_finished()
        self._add_row(f"{state}: {error.__name__}")
        assert state == "failed"
        log = self.stack.api.log(self.dag_id, self.run_id, "train", self.attempts)
        assert [line for line in log.splitlines() if line.startswith(error.__name__)]

    def _task(self) -> TaskView:
        [task] = self.stack.api.tasks(self.dag_id, self.run_id)
        return task

    def _add_row(self, outcome: str) -> None:
        counts = (self.attempts, len(self.gate.accepted), self.gate.trainings)
        self.rows.append((self.fault, self.wait, "yes" if self.force else "no", *map(str, counts), outcome))


@dataclass
class Chaos:
    """Starts trainings in a complete Airflow.

    :param stack: the Airflow.
    :param sandbox: the sandbox behind the gates.
    :param gates: unused gates.
    :param rows: rows of the table of trainings.
    :param upload_rows: rows of the table of uploads.
    """

    stack: Stack
    sandbox: Sandbox
    gates: Iterator[Gate]
    rows: list[Row]
    upload_rows: list[Row]

    def start(
        self, fault: str, wait: str = "deferrable", *, gate: Gate | None = None, force: bool = True, **conf: Any
    ) -> Case:
        """Start a training.

        :param fault: name of the fault in the table.
        :param wait: ``deferrable`` or ``blocking``.
        :param gate: its gate; default a new one.
        :param force: whether Akkio trains a new model for each submission.
        :param conf: further parameters of the DAG.
        """
        gate = next(self.gates) if gate is None else gate
        run_id = self.stack.api.trigger(f"chaos_{wait}", conf={"gate": gate.name, "force": force, **conf})
        return Case(fault, gate, self.stack, wait, force, run_id, self.rows)

    def start_polling(self, fault: str) -> list[Case]:
        """Start a deferrable and a blocking training at held gates, and wait until both are polled."""
        cases = [self.start(fault, wait, gate=self.held_gate()) for wait in ("deferrable", "blocking")]
        for case in cases:
            case.wait_until_polling()
        return cases

    def held_gate(self) -> Gate:
        """Return a new gate that reports every training as in progress."""
        gate = next(self.gates)
        gate.is_held = True
        return gate


@pytest.fixture(scope="session")
def chaos(pytestconfig: pytest.Config) -> Iterator[Chaos]:
    """A complete Airflow with many gates to one sandbox."""
    with ExitStack() as cleanup:
        sandbox = cleanup.enter_context(Sandbox(key=SANDBOX_KEY, pace=TRAINING_SECONDS, workers=2))
        gates = [cleanup.enter_context(Gate(sandbox, f"gate_{number}")) for number in range(GATES)]
        connections = {f"AIRFLOW_CONN_{gate.name.upper()}": _connection(gate) for gate in gates}
        dags = Path(__file__).parent / "dags"
        stack = running_stack(dags=dags, akkio=sandbox.url, settings=SETTINGS | connections)
        rows = pytestconfig.stash.setdefault(_rows, [])
        upload_rows = pytestconfig.stash.setdefault(_upload_rows, [])
        yield Chaos(cleanup.enter_context(stack), sandbox, iter(gates), rows, upload_rows)


def _connection(gate: Gate) -> str:
    extra = {"timeout": REQUEST_TIMEOUT}
    return json.dumps({"conn_type": "akkio", "host": gate.url, "password": SANDBOX_KEY, "extra": extra})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the tables."""
    _print_table(terminalreporter, "trainings", HEADER, config.stash.get(_rows, []))
    _print_table(terminalreporter, "uploads", UPLOAD_HEADER, config.stash.get(_upload_rows, []))


def _print_table(terminalreporter: Any, title: str, header: Row, rows: Sequence[Row]) -> None:
    if not rows:
        return
    terminalreporter.section(title)
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
