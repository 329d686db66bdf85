"""``python -m airflow_provider_akkio.sandbox`` as a person starts and ends it."""

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
from tests.sandbox.calls import Calls

PROGRAM = [sys.executable, "-m", "airflow_provider_akkio.sandbox"]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_it_serves_until_it_is_told_to_end_and_leaves_no_process(folder: Path, sandbox: Sandbox) -> None:
    options = ["--port", "0", "--pace", "0", "--data", str(folder), "--forbidden-key", "no"]
    environment = {**os.environ, "AKKIO_SANDBOX_KEY": "from-outside"}
    with subprocess.Popen(
        [*PROGRAM, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        output = "".join(process.stdout.readline() for _ in range(3 + len(sandbox.datasets)))
        address = re.search(r"http://127\.0\.0\.1:\d+", output)
        assert address, output
        calls = Calls(address[0], "from-outside")
        assert calls.train(dataset_id="signal")["status"] == "success"
        slow = calls.submit(dataset_id="slow")
        calls.wait(slow, lambda status: status == "IN_PROGRESS")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "from-outside" in output
    assert re.search(r"^YTV32jCdVf5DbcMxzvX5 +2000 +Leads \(synthetic\): Positive Lead$", output, re.MULTILINE)
    assert re.search(r"^slow +8000 +slow: Coin$", output, re.MULTILINE)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pressed_in = threading.get_ident()
    reading, writing = os.pipe()
    greetings: list[str] = []

    def press_when_greeted() -> None:
        with os.fdopen(reading) as shown:
            greetings.append(shown.readline())
        signal.pthread_kill(pressed_in, signal.SIGINT)

    person = threading.Thread(target=press_when_greeted)
    person.start()
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["--port", "0"]) == 0
    person.join()
    assert re.match(r"Akkio sandbox at http://127\.0\.0\.1:\d+, dialect page; Ctrl-C ends it\.", greetings[0])


def test_a_folder_that_does_not_exist_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--data", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"akkio sandbox: {tmp_path / 'nowhere'} is not a folder.\n"


def test_a_port_that_is_taken_is_said_in_a_sentence(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert main(["--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "warned"),
    [("0.0.0.0", True), ("192.0.2.1", True), ("elsewhere", True), ("::1", False), ("localhost", False)],  # noqa: S104 - nothing binds to it
)
def test_it_warns_when_others_can_reach_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, warned: bool
) -> None:
    main(["--host", host, "--port", "0", "--data", str(tmp_path)])
    assert ("others can reach" in capsys.readouterr().err) is warned


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "65536"],
        ["--port", "http"],
        ["--pace", "-1"],
        ["--pace", "inf"],
        ["--pace", "slow"],
        ["--key", ""],
        ["--key", " sandbox-key"],
        ["--forbidden-key", "schlüssel"],
        ["--dialect", "klingon"],
    ],
)
def test_a_wrong_option_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert f"argument {options[0]}" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_akkio.sandbox.serving")
    assert main(["--port", "0"]) == 2
    assert capsys.readouterr().err == ("akkio sandbox: uvicorn is missing: install airflow-provider-akkio[sandbox].\n")


def test_the_package_alone_loads_nothing_heavy() -> None:
    code = "import sys, airflow_provider_akkio.sandbox; print({'sklearn', 'fastapi', 'airflow'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Playground'"):
        airflow_provider_akkio.sandbox.Playground  # noqa: B018 - the look-up is the test


def test_it_can_listen_on_ipv6() -> None:
    with Sandbox(host="::1") as sandbox:
        assert sandbox.url.startswith("http://[::1]:")
        assert Calls(sandbox.url).post(dataset_id="wine").status_code == 201
