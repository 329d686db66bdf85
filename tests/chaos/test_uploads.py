"""What befalls an upload: at the end Akkio has each row once, whoever was killed and whatever was lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from dev.processes import wait_until
from tests.chaos.conftest import Chaos, UploadRow
from tests.chaos.gate import (
    ERROR,
    HTML,
    KILLED_IN_BETWEEN,
    REFUSING,
    RESETTING,
    THROTTLING,
    TRICKLING,
    Fault,
    Gate,
)

ROWS = 450
BEFORE = 70

ONCE = replace(RESETTING, name="resets the connection once, and has acted", seconds=0)
LOST = replace(RESETTING, name="resets the connection once, and has not acted", seconds=0, acts=False)
KILLED_BEFORE = replace(KILLED_IN_BETWEEN, name="kills the task, and has not acted", acts=False)
KILLED_AFTER = replace(KILLED_IN_BETWEEN, name="kills the task, and has acted")
FAULTS = (
    ONCE,
    LOST,
    KILLED_BEFORE,
    KILLED_AFTER,
    *(replace(one, name=f"a minute: {one.name}") for one in (RESETTING, ERROR, HTML, THROTTLING, TRICKLING)),
    replace(ERROR, name="a minute: answers 500, and has not acted", acts=False),
    REFUSING,
)


@dataclass(frozen=True)
class Case:
    """One upload at a gate of its own."""

    gate: Gate
    dataset: str
    run_id: str


Cases = dict[tuple[Fault, str], Case]


@pytest.fixture(scope="module")
def cases(chaos: Chaos, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Every case, started before the first one is waited for."""
    source = tmp_path_factory.mktemp("rows") / "rows.csv"
    source.write_text("number,word\n" + "".join(f"{number},w{number % 7}\n" for number in range(ROWS)))
    return {key: start(chaos, source, *key) for key in product(FAULTS, ("appended", "new"))}


def start(chaos: Chaos, source: Path, fault: Fault, kind: str) -> Case:
    gate = next(chaos.gates)
    gate.break_down(fault, "datasets", after=2)
    dataset = f"{fault.name}, {kind}"
    if kind == "appended":
        dataset = chaos.sandbox.datasets.create(dataset)
        chaos.sandbox.datasets.append(dataset, [{"number": -number, "word": "old"} for number in range(BEFORE)])
    conf = {"gate": gate.name, "source": str(source), "dataset": dataset}
    return Case(gate, dataset, chaos.stack.api.trigger(f"chaos_{kind}", conf=conf))


@pytest.mark.parametrize("kind", ["appended", "new"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_row_arrives_once(chaos: Chaos, cases: Cases, fault: Fault, kind: str) -> None:
    case, api, dag_id = cases[fault, kind], chaos.stack.api, f"chaos_{kind}"
    wait_until(lambda: api.run_state(dag_id, case.run_id) in ("success", "failed"), f"the end of {case}", 300)
    state = api.run_state(dag_id, case.run_id)
    [task] = api.tasks(dag_id, case.run_id)
    before = BEFORE if kind == "appended" else 0
    found = [case.dataset] if kind == "appended" else named(chaos, case.dataset)
    counts = [len(chaos.sandbox.datasets[one].rows) for one in found]
    row = UploadRow(fault.name, kind, str(task.try_number), str(before), str(ROWS), str(sum(counts)), state)
    chaos.uploads.append(row)
    assert (state, counts) == ("success", [before + ROWS])
    [dataset_id] = found
    numbers = [int(cells[0]) for cells in chaos.sandbox.datasets[dataset_id].rows[before:]]
    assert numbers == list(range(ROWS))
    assert api.xcoms(dag_id, case.run_id, "upload")["dataset_id"] == dataset_id
    assert case.gate.faulty_requests >= 1


def named(chaos: Chaos, name: str) -> list[str]:
    return [dataset_id for dataset_id, one in chaos.sandbox.datasets.items() if one.name == name]
