"""Run ``make live`` as a program against the sandbox."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import NoReturn

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.datasets import DatasetStore, InvalidUploadError
from dev.live import QUESTION, TARGETS, Assumption, ErrorAssumption, generate_rows
from dev.stack import PROJECT
from tests.scripted import ScriptedAkkio

KEY = "key-of-the-live-test"
CELLS = {cell for row in generate_rows() for cell in row.values()}
STEPS = (
    "create dataset",
    "describe the empty dataset",
    "append rows",
    "describe the dataset",
    "parse fields",
    "describe the parsed fields",
    "set field types",
    "describe the typed fields",
    "submit training",
    "wait for the training",
    "fetch the result",
    "predict",
    "delete model",
    "delete dataset",
    "delete datasets with its name",
)


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    unset = ("CI", "AKKIO_API_KEY", "AKKIO_URL")
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(
        [sys.executable, "-m", "dev.live", *arguments], cwd=PROJECT, env=environment, text=True, **pipes
    )


def run(*arguments: str, answer: str = "", **variables: str) -> tuple[int, str]:
    """Return the exit code and the output."""
    with start(*arguments, **variables) as running:
        output, _ = running.communicate(answer, timeout=1000)
    return running.returncode, output


def holds(output: str, subject: str, assumption: str) -> str:
    """Return the last cell of a row of the table."""
    [row] = [line for line in output.splitlines() if re.match(rf"\| {subject} +\| {re.escape(assumption)} +\|", line)]
    return row.split("|")[-2].strip()


def model_count(sandbox: Sandbox) -> int:
    return len(sandbox._trainings.model_names())


def assert_shows_no_secret(output: str) -> None:
    assert [secret for secret in (KEY, *CELLS) if secret in output] == []


def test_live_test_reports_every_step_and_deletes_everything() -> None:
    with Sandbox(key=KEY) as sandbox:
        before = set(sandbox.datasets)
        status, output = run("--yes", AKKIO_API_KEY=KEY, AKKIO_URL=sandbox.url)
        assert sandbox.trainings == len(TARGETS)
        assert set(sandbox.datasets) == before
        assert model_count(sandbox) == 0

    assert status == 0, output
    for target in TARGETS:
        for step in STEPS:
            assert re.search(rf"^ *\d+\.\d s  {target.kind}: {step}: ok, HTTP 20[01]$", output, re.MULTILINE), step
        assert {holds(output, target.kind, one) for one in Assumption} == {"yes"}
    assert {holds(output, "errors", one) for one in ErrorAssumption} == {"yes"}
    assert "number: statistics: [[{field: int, field_name: str, field_type: str, count: int, rmse: float" in output
    assert "Probability Quality is …: float" in output
    assert_shows_no_secret(output)


def test_live_test_continues_after_failed_step_and_reports_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise InvalidUploadError("a message with data")

    monkeypatch.setattr(DatasetStore, "set_types", fail)
    monkeypatch.setattr(DatasetStore, "delete", fail)
    with Sandbox(key=KEY) as sandbox:
        before = set(sandbox.datasets)
        status, output = run("--yes", AKKIO_API_KEY=KEY, AKKIO_URL=sandbox.url)
        left = set(sandbox.datasets) - before
        assert model_count(sandbox) == 0

    assert status == 1, output
    assert "category: set field types: FAILED, HTTP 422, AkkioUnprocessableError, keys: status" in output
    assert holds(output, "category", Assumption.TYPES) == "NO"
    assert holds(output, "number", Assumption.PREDICTIONS) == "yes"
    [leftovers] = [line for line in output.splitlines() if line.startswith("NOT DELETED")]
    assert len(left) == len(TARGETS)
    assert all(dataset_id in leftovers for dataset_id in left)
    assert "a message with data" not in output


def test_ctrl_c_during_training_deletes_dataset_and_model() -> None:
    with Sandbox(key=KEY, pace=4) as sandbox:
        before = set(sandbox.datasets)
        with start("--yes", AKKIO_API_KEY=KEY, AKKIO_URL=sandbox.url) as running:
            assert running.stdout is not None
            assert any("submit training: ok" in line for line in running.stdout)
            running.send_signal(signal.SIGINT)
            output = running.stdout.read()
            assert running.wait(300) == 130
        assert set(sandbox.datasets) == before
        assert sandbox.trainings == 1
        assert model_count(sandbox) == 0
    assert "Everything that was created has been deleted." in output


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_live_test_sends_nothing_without_confirmation(akkio: ScriptedAkkio, answer: str) -> None:
    status, output = run(answer=answer, AKKIO_API_KEY=KEY, AKKIO_URL=akkio.url)
    assert status == 0
    assert QUESTION in output
    assert akkio.received == []


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({}, "AKKIO_API_KEY is not set"), ({"AKKIO_API_KEY": KEY, "CI": "true"}, "CI is set")],
    ids=["no key", "CI"],
)
def test_live_test_refuses_to_run(akkio: ScriptedAkkio, variables: dict[str, str], reason: str) -> None:
    status, output = run("--yes", AKKIO_URL=akkio.url, **variables)
    assert status == 2
    assert reason in output
    assert akkio.received == []


def test_live_test_with_rejected_key_creates_nothing() -> None:
    with Sandbox(key="another-key") as sandbox:
        before = set(sandbox.datasets)
        status, output = run("--yes", AKKIO_API_KEY=KEY, AKKIO_URL=sandbox.url)
        assert set(sandbox.datasets) == before
    assert status == 1
    assert "access: v2: FAILED, HTTP 401, AkkioUnauthorizedError" in output
    assert "create dataset" not in output
    assert holds(output, "category", Assumption.NO_ROWS) == "not checked"
    assert KEY not in output
