"""Faults of uploads: a task is killed, or responses of Akkio are lost. Each row must be stored exactly once, in order.

All cases start before the first one is checked, so that their faults overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from dev.processes import wait_until
from tests.chaos.conftest import Chaos
from tests.chaos.gate import ERROR, HTML, KILLING, REFUSING, RESETTING, THROTTLING, TRICKLING, Fault, Gate

ROWS = 450
ROWS_BEFORE = 70

FAULTS = (
    replace(RESETTING, name="one connection reset, stored", seconds=0),
    replace(RESETTING, name="one connection reset, not stored", seconds=0, acts=False),
    replace(KILLING, name="SIGKILL of the task, not stored", acts=False),
    replace(KILLING, name="SIGKILL of the task, stored"),
    *(replace(fault, name=f"one minute of {fault.name}") for fault in (RESETTING, ERROR, HTML, THROTTLING, TRICKLING)),
    replace(ERROR, name="one minute of HTTP 500, not stored", acts=False),
    REFUSING,
)
KINDS = ("appended", "new")


@dataclass(frozen=True)
class UploadCase:
    """A DAG run with one upload through its own gate; ``dataset`` is an ID, or the name of a new dataset."""

    gate: Gate
    dataset: str
    run_id: str


Cases = dict[tuple[Fault, str], UploadCase]


@pytest.fixture(scope="module")
def cases(chaos: Chaos, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """All cases, started."""
    source = tmp_path_factory.mktemp("rows") / "rows.csv"
    source.write_text("number,word\n" + "".join(f"{number},w{number % 7}\n" for number in range(ROWS)))
    return {key: start(chaos, source, *key) for key in product(FAULTS, KINDS)}


def start(chaos: Chaos, source: Path, fault: Fault, kind: str) -> UploadCase:
    gate = next(chaos.gates)
    gate.break_down(fault, "datasets", after=2)
    dataset = f"{fault.name}, {kind}"
    if kind == "appended":
        dataset = chaos.sandbox.datasets.create(dataset)
        rows = [{"number": -number, "word": "old"} for number in range(ROWS_BEFORE)]
        chaos.sandbox.datasets.append(dataset, rows)
    conf = {"gate": gate.name, "source": str(source), "dataset": dataset}
    return UploadCase(gate, dataset, chaos.stack.api.trigger(f"chaos_{kind}", conf=conf))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_upload_stores_each_row_once(chaos: Chaos, cases: Cases, fault: Fault, kind: str) -> None:
    case, api, dag_id = cases[fault, kind], chaos.stack.api, f"chaos_{kind}"
    wait_until(lambda: api.run_state(dag_id, case.run_id) in ("success", "failed"), f"end of {case}", 900)
    state = api.run_state(dag_id, case.run_id)
    [task] = api.tasks(dag_id, case.run_id)
    before = ROWS_BEFORE if kind == "appended" else 0
    found = [dataset for dataset in chaos.sandbox.datasets.values() if case.dataset in (dataset.id, dataset.name)]
    counts = [len(dataset.rows) for dataset in found]
    numbers = (str(task.try_number), str(before), str(ROWS), str(sum(counts)))
    chaos.upload_rows.append((fault.name, kind, *numbers, state))
    assert (state, counts) == ("success", [before + ROWS])
    [dataset] = found
    assert [int(row[0]) for row in dataset.rows[before:]] == list(range(ROWS))
    assert api.xcoms(dag_id, case.run_id, "upload")["dataset_id"] == dataset.id
    assert case.gate.faulty_requests >= 1
