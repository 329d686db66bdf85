"""A sandbox, and the npm package that Akkio publishes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from dev.programs import has_node

NPM_PACKAGE = "akkio@1.0.5"
_INSTALL = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", NPM_PACKAGE)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not has_node():
        terminalreporter.section("NO NODE: THE TESTS WITH AKKIO'S NPM CLIENT WERE SKIPPED", red=True)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the npm package; without Node, the tests are skipped, or fail if ``CI`` is set."""
    if not has_node():
        message = "NO NODE: install Debian's packages nodejs and npm"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    folder = tmp_path_factory.mktemp("npm")
    done = subprocess.run(_INSTALL, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return folder
