"""``make demo`` and ``make up``, as the programs that make starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from dev.stack import PROJECT

DATABASES_LOCK = ".lockfile"
"""An empty file by which the embedded databases of a machine agree who starts; their library leaves it."""


@contextmanager
def program(
    module: str, folder: Path, project: Path = PROJECT, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a module whose temporary files go to a folder; a process or a folder that it leaves is a failure."""
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-m", module]
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
    assert [path.name for path in folder.iterdir()] in ([], [DATABASES_LOCK])
    assert [process for process in psutil.process_iter(["cmdline", "environ"]) if _works_in(folder, process)] == []


def _works_in(folder: Path, process: psutil.Process) -> bool:
    words = [*(process.info["cmdline"] or ()), (process.info["environ"] or {}).get("AIRFLOW_HOME", "")]
    return any(str(folder) in word for word in words)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as the socket of a database needs."""
    with tempfile.TemporaryDirectory(prefix="akkio-demo-") as path:
        yield Path(path)


def read_until(running: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line that matches; fail if the program ends before."""
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"no line matches {pattern!r}:\n{''.join(lines)}")


def test_the_demo_shows_the_loop_twice_and_leaves_nothing_behind(folder: Path) -> None:
    with program("dev.demo", folder) as running:
        read_until(running, r"upload\s+success")
        read_until(running, r"train\s+deferred .*0 worker slots in use, 1 deferred")
        read_until(running, r"promote\s+success")
        read_until(running, r"│ model \w{20}: f1 of 'Positive Lead' 0\.\d+")
        read_until(running, r"Positive Lead = 1: .* F1 0\.\d\d")
        read_until(running, r"█+ +\d+\.\d%")
        read_until(running, r"field_importance ")
        read_until(running, r"predict\s+success")
        read_until(running, "Probability Positive Lead is 1")
        read_until(running, r"promote\s+skipped")
        read_until(running, r"Model \w{20} was rejected: .* is 0.* champion \w{20} has 0\.\d+")
        read_until(running, "nothing is left running")
        assert running.wait(60) == 0


@pytest.mark.parametrize("moment", ["embedded PostgreSQL", "making Airflow's tables", "starting Airflow"])
def test_ctrl_c_ends_everything_in_the_middle(folder: Path, moment: str) -> None:
    with program("dev.demo", folder) as running:
        read_until(running, moment)
        running.send_signal(signal.SIGINT)
        read_until(running, "interrupted; everything that was started has been ended")
        assert running.wait(60) == 130


def test_the_served_airflow_answers_until_it_is_told_to_end(folder: Path) -> None:
    with program("dev.up", folder) as running:
        address = re.search(r"http://\S+", read_until(running, "Airflow    http"))
        assert address is not None
        page = requests.get(address.group(), timeout=30)
        assert page.status_code == 200
        assert "<html" in page.text
        sandbox = re.search(r"http://\S+", read_until(running, "sandbox    http"))
        assert sandbox is not None
        assert requests.get(f"{sandbox.group()}/api/v1/models/train/x/status", timeout=10).status_code == 401
        running.terminate()
        assert running.wait(60) == 0
