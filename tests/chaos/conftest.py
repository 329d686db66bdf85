"""A whole Airflow against gates to one sandbox, and the table of what became of each training."""

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
from dev.processes import wait_until
from dev.stack import Stack, running_stack
from tests.chaos.gate import Gate

TRAINING_SECONDS = 4.0
GATES = 80
REQUEST_SECONDS = 5.0
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "14",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
XCOMS = {"akkio_task_id", "model_id", "return_value", "stats", "field_importance", "data_story"}

_rows = pytest.StashKey[list["Row"]]()
_uploads = pytest.StashKey[list["UploadRow"]]()


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    fault: str
    wait: str
    force: str
    tries: str
    submissions: str
    trainings: str
    outcome: str


@dataclass(frozen=True)
class UploadRow:
    """A line of the table of uploads."""

    fault: str
    dataset: str
    tries: str
    before: str
    rows: str
    after: str
    outcome: str


UPLOAD_HEADER = UploadRow("fault", "dataset", "tries", "before", "rows", "after", "outcome")
HEADER = Row("fault", "wait", "force", "tries", "submissions", "trainings", "outcome")


@dataclass
class Case:
    """One run of a DAG with one training, at a gate of its own.

    :param fault: what happens to it.
    :param gate: its gate.
    :param stack: the Airflow that runs it.
    :param dag_id: which DAG.
    :param force: whether a second submission would be billed.
    :param run_id: which run of it.
    :param rows: where its line of the table goes.
    """

    fault: str
    gate: Gate = field(repr=False)
    stack: Stack = field(repr=False)
    dag_id: str
    force: bool
    run_id: str
    rows: list[Row] = field(repr=False)

    @property
    def tries(self) -> int:
        """How often the task was tried."""
        [task] = self.stack.api.tasks(self.dag_id, self.run_id)
        return task.try_number

    def wait_until_waiting(self) -> None:
        """Wait until the training has been asked for, in the triggerer if the task is deferrable."""
        wanted = "running" if self.dag_id == "chaos_blocking" else "deferred"

        def is_waiting() -> bool:
            [task] = self.stack.api.tasks(self.dag_id, self.run_id)
            return task.state == wanted and bool(self.gate.asked("status"))

        wait_until(is_waiting, f"the wait of {self}", 120)

    def wait_until_running(self) -> None:
        """Wait until a worker has begun with the task."""

        def is_running() -> bool:
            return [task.state for task in self.stack.api.tasks(self.dag_id, self.run_id)] == ["running"]

        wait_until(is_running, f"the beginning of {self}", 120)

    def clear(self) -> None:
        """Have the task done again, as a person does."""
        self.stack.api.clear(self.dag_id, self.run_id, "train")

    def ends(self) -> str:
        """Wait until the run has ended, and return its state.

        A part of Airflow that ends meanwhile is started again; while one does, the API may refuse, or answer 500.
        """

        def has_ended() -> bool:
            self.stack.restart_exited()
            with suppress(requests.RequestException, RuntimeError):
                return self.stack.api.run_state(self.dag_id, self.run_id) in ("success", "failed")
            return False

        wait_until(has_ended, f"the end of {self}", 300)
        return self.stack.api.run_state(self.dag_id, self.run_id)

    def succeeds(self, trainings: int = 1) -> None:
        """See that the result of the last training is in XCom, just as Akkio has it, and how many there were."""
        state = self.ends()
        self._note(state)
        assert state == "success"
        assert self.gate.trainings == trainings
        xcoms: dict[str, Any] = {}

        def has_these_xcoms() -> bool:
            # A triggerer that ends a task removes what it kept a moment after Airflow knows of the end.
            xcoms.clear()
            xcoms.update(self.stack.api.xcoms(self.dag_id, self.run_id, "train"))
            # It is told as well as may be while parts of Airflow are gone.
            xcoms.pop("akkio_status", None)
            return set(xcoms) == XCOMS

        wait_until(has_these_xcoms, f"{sorted(XCOMS)}, and no other XCom,", 15)
        assert xcoms["akkio_task_id"] in self.gate.accepted
        has = self.gate.result(xcoms["akkio_task_id"])
        assert xcoms["return_value"] == has["model_id"]
        assert {key: xcoms[key] for key in XCOMS & has.keys()} == {key: has[key] for key in XCOMS & has.keys()}

    def fails_with(self, error: str) -> None:
        """See that the task failed, and that its log says so with this error."""
        state = self.ends()
        self._note(f"{state}: {error}")
        assert state == "failed"
        log = self.stack.api.log(self.dag_id, self.run_id, "train", self.tries)
        assert [line for line in log.splitlines() if line.startswith(error)]

    def _note(self, outcome: str) -> None:
        gate = self.gate
        figures = (str(self.tries), str(len(gate.accepted)), str(gate.trainings))
        wait = self.dag_id.removeprefix("chaos_")
        self.rows.append(Row(self.fault, wait, "yes" if self.force else "no", *figures, outcome))


@dataclass
class Chaos:
    """Starts trainings in a whole Airflow.

    :param stack: the Airflow.
    :param gates: gates that nobody has used yet.
    :param rows: the table.
    :param sandbox: where the trainings are done, and the datasets lie.
    :param uploads: the table of uploads.
    """

    stack: Stack
    gates: Iterator[Gate]
    rows: list[Row]
    sandbox: Sandbox
    uploads: list[UploadRow]

    def start(
        self, fault: str, wait: str = "deferrable", *, gate: Gate | None = None, force: bool = True, **conf: Any
    ) -> Case:
        """Start a training.

        :param fault: what is going to happen to it, for the table.
        :param wait: ``deferrable`` in the triggerer, ``blocking`` in a worker, ``ended`` by the triggerer, or
            ``started`` by it as well.
        :param gate: its gate; default a new one.
        :param force: whether a second submission would be billed.
        :param conf: further parameters of the DAG.
        """
        gate = next(self.gates) if gate is None else gate
        dag_id = f"chaos_{wait}"
        run_id = self.stack.api.trigger(dag_id, conf={"gate": gate.name, "force": force, **conf})
        return Case(fault, gate, self.stack, dag_id, force, run_id, self.rows)

    def start_each(self, fault: str) -> list[Case]:
        """Start a training that is waited for in a worker, and others in the triggerer; return once they wait.

        They go on for as long as their gates are held.
        """
        cases = [self.start(fault, wait, gate=self.held_gate()) for wait in ("deferrable", "blocking", "started")]
        for case in cases:
            case.wait_until_waiting()
        return cases

    def held_gate(self) -> Gate:
        """Return a new gate at which no training ends."""
        gate = next(self.gates)
        gate.is_held = True
        return gate


@pytest.fixture(scope="session")
def chaos(pytestconfig: pytest.Config) -> Iterator[Chaos]:
    """A whole Airflow with many gates to one sandbox."""
    with ExitStack() as cleanup:
        sandbox = cleanup.enter_context(Sandbox(pace=TRAINING_SECONDS, workers=2))
        gates = [cleanup.enter_context(Gate(sandbox, f"gate_{number}")) for number in range(GATES)]
        connections = {f"AIRFLOW_CONN_{gate.name.upper()}": _connection(gate) for gate in gates}
        dags = Path(__file__).parent / "dags"
        stack = running_stack(dags=dags, akkio=sandbox.url, settings=SETTINGS | connections)
        rows = pytestconfig.stash.setdefault(_rows, [])
        uploads = pytestconfig.stash.setdefault(_uploads, [])
        yield Chaos(cleanup.enter_context(stack), iter(gates), rows, sandbox, uploads)


def _connection(gate: Gate) -> str:
    fields = {"conn_type": "akkio", "host": gate.url, "password": "sandbox-key", "extra": {"timeout": REQUEST_SECONDS}}
    return json.dumps(fields)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the tables."""
    _print_table(terminalreporter, "what became of each training", HEADER, config.stash.get(_rows, []))
    _print_table(terminalreporter, "what became of each upload", UPLOAD_HEADER, config.stash.get(_uploads, []))


def _print_table(terminalreporter: Any, title: str, header: Any, rows: Sequence[Any]) -> None:
    if rows:
        terminalreporter.section(title)
        lines = [tuple(vars(row).values()) for row in (header, *rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            terminalreporter.write_line(f"| {' | '.join(cells)} |")
