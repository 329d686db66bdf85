"""What ``docs/reliability.md`` says is so; what it says of failures is tried out by ``tests/chaos``."""

from __future__ import annotations

import re

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.operators._durable import KEY
from airflow_provider_akkio.operators._upload import UPLOAD_KEY
from tests.airflow_runs import DagRunner
from tests.chaos.conftest import HEADER, UPLOAD_HEADER
from tests.chaos.test_uploads import FAULTS
from tests.documentation.blocks import RELIABILITY, block, blocks
from tests.scripted import ScriptedAkkio, result, status

SENSOR = "from airflow.providers.common.compat.sdk import DAG"
TEXT = RELIABILITY.read_text(encoding="utf-8")


def test_every_block_is_run() -> None:
    code = [one.text for one in blocks(RELIABILITY) if one.language != "text"]
    assert [text.startswith((SENSOR, "make chaos\n")) for text in code] == [True, True]


def test_the_example_picks_up_a_training(run_dag: DagRunner, connected: ScriptedAkkio) -> None:
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("M1"))
    run = run_dag.file(block(SENSOR, RELIABILITY), "pick_up_a_training")
    assert run.xcoms("wait")["return_value"] == "M1"


def test_every_error_that_is_named_exists() -> None:
    named = {name for name in re.findall(r"`(Akkio\w+)`", TEXT) if not name.endswith(("Hook", "Operator"))}
    assert named
    assert [name for name in named if not hasattr(exceptions, name)] == []


def test_the_entry_in_the_state_store_is_called_so() -> None:
    assert f"`{KEY}`" in TEXT


def test_the_entry_of_an_upload_is_called_so() -> None:
    assert f"`{UPLOAD_KEY}`" in TEXT


def printed_tables() -> list[tuple[list[str], list[list[str]]]]:
    tables = []
    for printed in (one.text for one in blocks(RELIABILITY) if one.language == "text"):
        header, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
        tables.append((header, rows))
    return tables


def test_the_table_is_what_is_printed_and_nothing_is_trained_twice_unless_a_person_wants_it() -> None:
    (header, rows), _ = printed_tables()
    assert header == list(HEADER)
    trainings = {row[0]: row[header.index("trainings")] for row in rows}
    assert trainings.pop("task cleared after its success") == "2"
    assert set(trainings.values()) == {"1"}


def test_the_table_of_uploads_is_what_is_printed_and_no_row_is_there_twice() -> None:
    _, (header, rows) = printed_tables()
    assert header == list(UPLOAD_HEADER)
    assert len(rows) == 2 * len(FAULTS)
    for row in rows:
        named = dict(zip(header, row, strict=True))
        assert int(named["before"]) + int(named["rows"]) == int(named["after"])
