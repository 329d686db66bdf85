"""What ``docs/performance.md`` says is what ``make bench`` measured, and what follows from the limit."""

from __future__ import annotations

import json
import re
import shlex

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND, ClientConfig
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.operators.akkio import AkkioTrainOperator
from benchmarks.report import Row, table
from dev.stack import PROJECT
from tests.documentation.blocks import PERFORMANCE, block, blocks

TEXT = PERFORMANCE.read_text(encoding="utf-8")
RESULTS = json.loads((PROJECT / "benchmarks" / "results.json").read_text(encoding="utf-8"))


def test_every_block_is_run() -> None:
    beginnings = ("airflow connections add", "make bench")
    assert [one.text.startswith(beginning) for one, beginning in zip(blocks(PERFORMANCE), beginnings, strict=True)] == [
        True,
        True,
    ]


def test_the_command_defines_a_connection_with_a_share_of_the_limit() -> None:
    arguments = shlex.split(block("airflow connections add", PERFORMANCE))
    given = dict(zip(arguments[4::2], arguments[5::2], strict=True))
    account = ClientConfig.from_connection(
        arguments[3],
        host=None,
        port=None,
        schema=None,
        password=given["--conn-password"],
        extra=json.loads(given["--conn-extra"]),
    )
    assert account.requests_per_second == 2


def test_the_table_is_the_one_that_was_measured() -> None:
    rows = [Row(**row) for row in RESULTS["rows"]]
    assert table(rows) in TEXT


def test_the_picture_is_there() -> None:
    [picture] = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert 0 < (PERFORMANCE.parent / picture).stat().st_size <= 100 * 1024


def test_the_plan_follows_from_the_limit() -> None:
    rate = 100_000 / 86_400
    plain, ended = (DEFAULT_REQUESTS_PER_SECOND - requests * rate for requests in (3, 2))
    assert f"plain: *B* = {plain:.2f}/s" in TEXT
    assert f"`start_from_trigger`: *B* = {ended:.2f}/s" in TEXT
    for seconds in (10, 60, 300, 1800):
        count = rate * seconds
        row = f"| {seconds:,} s | {count:,.0f} | {count / (2 * plain):.0f} s | {count / (2 * ended):.0f} s |"
        assert row in TEXT
    assert f"{DEFAULT_REQUESTS_PER_SECOND / 3 * 86_400:,.0f} a day" in TEXT
    assert f"at {DEFAULT_REQUESTS_PER_SECOND / 4 * 86_400:,.0f} in the plain way" in TEXT


def test_every_metric_is_described() -> None:
    assert re.findall(r"^\| `(akkio\.\w+)` \|", TEXT, re.MULTILINE) == [str(metric) for metric in MetricName]


def test_the_parameters_that_it_names_exist() -> None:
    named = set(re.findall(r"`(\w+)=True`", TEXT))
    assert named == {"end_from_trigger", "start_from_trigger"}
    assert all(hasattr(AkkioTrainOperator(task_id="train", dataset_id="D1"), name) for name in named)
