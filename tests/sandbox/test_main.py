"""The command line of the sandbox, and the import of its package."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_akkio.sandbox
from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.__main__ import main
from tests.sandbox.api_client import ApiClient

COMMAND = [sys.executable, "-m", "airflow_provider_akkio.sandbox"]


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Let SIGINT interrupt, also in a background job, for which a shell ignores it; restore all handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_stops_process_during_training(folder: Path) -> None:
    options = ["--port", "0", "--pace", "0", "--data", str(folder), "--forbidden-key", "no"]
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AKKIO_SANDBOX_KEY": "from-environment"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        # Three lines of introduction and one per dataset; four datasets are built in.
        output = "".join(process.stdout.readline() for _ in range(3 + 4 + len(list(folder.iterdir()))))
        url = re.search(r"http://127\.0\.0\.1:\d+", output)
        assert url, output
        client = ApiClient(url[0], "from-environment")
        assert client.train(dataset_id="signal")["status"] == "success"
        client.poll(client.submit(dataset_id="slow"), {"IN_PROGRESS"}.__contains__)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "from-environment" in output
    assert re.search(r"^YTV32jCdVf5DbcMxzvX5 +2000 +Leads \(synthetic\): Positive Lead$", output, re.MULTILINE)
    assert re.search(r"^slow +5000 +slow: Coin$", output, re.MULTILINE)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_sigint_stops_main(monkeypatch: pytest.MonkeyPatch) -> None:
    main_thread = threading.get_ident()
    reading, writing = os.pipe()
    first_lines: list[str] = []

    def interrupt_after_first_line() -> None:
        with os.fdopen(reading) as output:
            first_lines.append(output.readline())
        signal.pthread_kill(main_thread, signal.SIGINT)

    thread = threading.Thread(target=interrupt_after_first_line)
    thread.start()
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["--port", "0"]) == 0
    thread.join()
    assert re.match(r"Akkio sandbox at http://127\.0\.0\.1:\d+, dialect page", first_lines[0])


def test_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--data", str(tmp_path / "nowhere")]) == 2
    assert f"{tmp_path / 'nowhere'} is not a folder" in capsys.readouterr().err


def test_used_port_is_reported(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert main(["--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "is_warned"),
    [("0.0.0.0", True), ("192.0.2.1", True), ("elsewhere", True), ("::1", False), ("localhost", False)],  # noqa: S104 - nothing binds to it
)
def test_host_that_other_machines_can_reach_gets_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, is_warned: bool
) -> None:
    main(["--host", host, "--port", "0", "--data", str(tmp_path)])
    assert ("warning" in capsys.readouterr().err) is is_warned


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "65536"],
        ["--port", "http"],
        ["--pace", "-1"],
        ["--pace", "inf"],
        ["--pace", "nan"],
        ["--pace", "slow"],
        ["--key", ""],
        ["--key", " sandbox-key"],
        ["--forbidden-key", "schlüssel"],
        ["--dialect", "klingon"],
    ],
)
def test_invalid_option_is_rejected(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(options)
    assert exit_info.value.code == 2
    assert f"argument {options[0]}" in capsys.readouterr().err


def test_missing_extra_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_akkio.sandbox.server")
    assert main(["--port", "0"]) == 2
    assert "uvicorn is missing: install airflow-provider-akkio[sandbox]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "absent"),
    [("sandbox", {"sklearn", "fastapi", "airflow"}), ("sandbox.server", {"airflow", "aiohttp", "requests"})],
)
def test_import_loads_nothing_unneeded(module: str, absent: set[str]) -> None:
    code = f"import sys, airflow_provider_akkio.{module}; print(*({absent} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_unknown_name_of_package_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Playground'"):
        airflow_provider_akkio.sandbox.Playground  # noqa: B018 - the access is the test
