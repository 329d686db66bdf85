"""The API key is in nothing that a real Airflow writes, for every outcome of a training and with loggers at DEBUG."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2
import pytest
from psycopg2 import sql

from airflow_provider_akkio.sandbox import Sandbox
from dev.airflow_api import TaskView
from dev.stack import COMPONENTS, PROJECT, Stack, running_stack
from tests.end_to_end import echoes
from tests.end_to_end.keys import Find, Keys
from tests.scripted import Responder, ScriptedAkkio, accepted, reset, result, status
from tests.versions import since

FOLDER = Path(__file__).parent
DAG = "key_leaks"
DEBUG_SETTINGS = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__FAB_LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__UVICORN_LOGGING_LEVEL": "DEBUG",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONPATH": os.pathsep.join([str(FOLDER / "debug_logging"), str(PROJECT)]),
}

SUCCESS: dict[str, list[Responder]] = {"new": [accepted()], "status": [status("SUCCEEDED")], "result": [result()]}
SERVERS: dict[str, dict[str, list[Responder]]] = {
    "resets": {"new": [reset]},
    "redirects": {"new": [echoes.REDIRECT]},
    "echoes_and_succeeds": {
        "new": [echoes.FAILURES["in HTML"], echoes.TASK_ID],
        "status": [echoes.STATES["in an unknown status"], echoes.FAILURES["in JSON"], echoes.STATES["in a location"]],
        "result": [echoes.MODEL],
    },
    "echoes_and_breaks": {"new": [echoes.FAILURES["in a text"]], "status": [echoes.FAILURES["in the detail"]]},
    "echoes_and_fails": {"status": [echoes.STATES["in the reason of a failure"]]},
    "echoes_in_status_line": {"status": [echoes.FAILURES["in the status line"]]},
    "echoes_in_location": {"status": [echoes.STATES["in a location elsewhere"]]},
}
"""Scripted servers by connection ID; an endpoint without a script belongs to a successful training."""

PROTECTED = ("variable", "stored", "wrong_key", *SERVERS)
LEAKED = "leaked"
"""Owner of the key that the task ``leak`` returns and prints, to check that the search finds keys."""

OUTCOMES = {
    "submit": "success",
    "sensor": "success",
    "deferred": "success",
    "blocking": "success",
    "missing_dataset": "AkkioNotFoundError",
    "wrong_key": "AkkioUnauthorizedError",
    "resets": "AkkioSubmissionUnknownError",
    "redirects": "AkkioUntrustedUrlError",
    "echoes_and_succeeds": "success",
    "echoes_and_breaks": "AkkioSubmissionUnknownError",
    "echoes_and_fails": "AkkioTrainingFailedError",
    "echoes_in_status_line": "AkkioTrainingTimeoutError",
    "echoes_in_location": "success",
    "leak": "success",
}

_ROWS_AS_TEXT = sql.SQL("COPY (SELECT whole::text FROM {} AS whole) TO STDOUT")


@dataclass
class Recording:
    """Everything that an Airflow wrote and showed during one run.

    :param stack: the Airflow.
    :param run_id: ID of the run.
    :param texts: texts by the place where they were read.
    :param states: final state of each task.
    """

    stack: Stack
    run_id: str
    texts: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str | None] = field(default_factory=dict)

    def record(self) -> None:
        """Wait for the end of the run; read transient places meanwhile, and all other places afterwards."""
        self.stack.api.follow(DAG, self.run_id, self._read_transient_places)
        self.states = {task.task_id: task.state for task in self.stack.api.tasks(DAG, self.run_id)}
        for name in ("variable", "stored", "echoes_and_breaks"):
            self._add(f"test of {name}", repr(self.stack.api.test_connection(name)).encode())
        self._read_api()
        self._read_tables()
        self._read_files()

    def text(self, pattern: str) -> str:
        """Return the texts of the places whose names start with a pattern."""
        texts = (text for place, text in self.texts.items() if re.match(pattern, place))
        return b"\n".join(texts).decode("utf-8", "replace")

    def task_log(self, task_id: str) -> str:
        """Return the log of a task, one JSON object per line in Airflow 3."""
        return self.text(f"file logs/dag_id={DAG}/run_id=run/task_id={task_id}/attempt=1.log$")

    def _read_transient_places(self, task: TaskView) -> None:
        postmaster = (self.stack.folder / "database" / "postmaster.pid").read_text().split()[0]
        roots = [int(postmaster), *(program.process.pid for program in self.stack.programs.values())]
        for title in process_titles(roots):
            self._add("processes", title.encode())
        if task.state == "deferred":
            self._read_tables()

    def _read_tables(self) -> None:
        url = self.stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            for (table,) in cursor.fetchall():
                rows = io.BytesIO()
                cursor.copy_expert(_ROWS_AS_TEXT.format(sql.Identifier(table)), rows)
                self._add(f"table {table}", rows.getvalue())

    def _read_api(self) -> None:
        """Read what Airflow's UI shows of the run, including rendered templates, XComs and logs."""
        run = f"dags/{DAG}/dagRuns/{self.run_id}"
        paths = ["connections", "eventLogs", run, f"{run}/taskInstances"]
        for task_id in self.states:
            task = f"{run}/taskInstances/{task_id}"
            paths.append(f"{task}/logs/1?full_content=true")
            paths += [f"{task}/xcomEntries/{key}" for key in self.stack.api.xcoms(DAG, self.run_id, task_id)]
        for path in paths:
            self._add(f"api {path.replace(self.run_id, 'run')}", self.stack.api.text(path).encode())

    def _read_files(self) -> None:
        """Read logs, output, and the database's files, whose write-ahead log contains deleted rows."""
        for path in self.stack.folder.rglob("*"):
            if path.is_file():
                name = f"file {path.relative_to(self.stack.folder)}".replace(self.run_id, "run")
                with suppress(FileNotFoundError):  # a temporary file of the database
                    self._add(name, path.read_bytes())

    def _add(self, place: str, text: bytes) -> None:
        before = self.texts.get(place, b"")
        if text not in before:
            self.texts[place] = before + b"\n" + text


def process_titles(roots: Iterable[int]) -> Iterator[str]:
    """Yield name and arguments of processes and all their descendants."""
    for pid in roots:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    yield " ".join([process.name(), *process.cmdline()])


@pytest.fixture(scope="module")
def keys() -> Keys:
    """One key per connection."""
    return Keys([*PROTECTED, LEAKED])


@pytest.fixture(scope="module")
def recording(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A recorded run. One connection is an environment variable; the others are in the database."""
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(FOLDER / "dags" / f"{DAG}.py", dags)
    with ExitStack() as running:
        variable, stored = (running.enter_context(Sandbox(key=keys[name])).url for name in ("variable", "stored"))
        urls = {"stored": stored, "wrong_key": stored, LEAKED: stored}
        for name, script in SERVERS.items():
            server = running.enter_context(ScriptedAkkio())
            urls[name] = server.url
            for endpoint, responses in (SUCCESS | script).items():
                server.script(endpoint, *responses)
        stack = running.enter_context(
            running_stack(dags=dags, akkio=variable, keys={"variable": keys["variable"]}, settings=DEBUG_SETTINGS)
        )
        for name, url in urls.items():
            # With the spaces, Airflow's own masking of the password does not mask the key that is sent.
            stack.api.add_connection(name, url, f" {keys[name]} ")
        recording = Recording(stack, stack.api.trigger(DAG))
        recording.record()
    return recording


@pytest.fixture(scope="module")
def finds(keys: Keys, recording: Recording) -> list[Find]:
    """All keys in the recording."""
    return sorted(find for place, text in recording.texts.items() for find in keys.finds(place, text))


def debug_lines(text: str, logger: str) -> str:
    """Return the DEBUG lines of a logger from a log in JSON or text."""
    lines = (line for line in text.splitlines() if '"level":"debug"' in line or "[debug " in line)
    return "\n".join(line for line in lines if f'"logger":"{logger}' in line or f"[{logger}" in line)


@pytest.mark.parametrize(("task_id", "outcome"), OUTCOMES.items())
def test_task_has_the_expected_outcome(recording: Recording, task_id: str, outcome: str) -> None:
    is_success = outcome == "success"
    assert recording.states[task_id] == ("success" if is_success else "failed")
    assert is_success or re.search(rf'"exc_type":"{outcome}"|\.{outcome}: ', recording.task_log(task_id))


@since("3.1")
def test_recording_contains_debug_logs_of_every_component(recording: Recording) -> None:
    for component in COMPONENTS:
        assert debug_lines(recording.text(f"file output/{component}.log"), "sqlalchemy.engine")
    assert debug_lines(recording.text("file output/scheduler.log"), "httpcore")


@since("3.0")
def test_recording_contains_the_requests_of_workers(recording: Recording) -> None:
    lines = debug_lines(recording.task_log("blocking"), "urllib3")
    assert "POST /api/v1/models/train/new" in lines
    assert "/result" in lines


@since("3.0")
def test_recording_contains_the_requests_of_the_triggerer(recording: Recording) -> None:
    log = recording.text(f"file logs/dag_id={DAG}/run_id=run/task_id=deferred/attempt=1.log.trigger")
    assert "aiohttp" in debug_lines(log, "asyncio")
    assert "AkkioTaskState" in debug_lines(log, "airflow_provider_akkio")


@since("3.1")
def test_recording_contains_connection_tests(recording: Recording) -> None:
    lines = debug_lines(recording.text("file output/api-server.log"), "urllib3")
    assert "GET /api/v1/models/train/airflow-connection-test/status" in lines
    assert recording.text("test of variable") == recording.text("test of stored")


@since("3.0")
def test_recording_contains_the_processes_of_airflow_and_its_tasks(recording: Recording) -> None:
    titles = recording.text("processes")
    for title in (*COMPONENTS, "airflow worker -- 0", "postgres: "):
        assert title.replace("api-server", "api_server") in titles


def test_recording_contains_the_tables_during_deferrals(recording: Recording) -> None:
    assert "AkkioTrainTrigger" in recording.text("table trigger$")


@since("3.3")
def test_recording_contains_rendered_templates(recording: Recording) -> None:
    assert '"akkio_conn_id":"echoes_and_fails"' in recording.text("api .*/taskInstances$")


@since("3.1")
def test_search_finds_a_leaked_key_in_every_kind_of_place(finds: list[Find]) -> None:
    places = {find.place for find in finds if find.owner == LEAKED}
    assert places >= {
        "table xcom",
        f"api dags/{DAG}/dagRuns/run/taskInstances/leak/xcomEntries/return_value",
        "file output/scheduler.log",
        "file output/api-server.log",
    }
    assert any(place.startswith("file database/pg_wal/") for place in places)


def test_search_finds_a_key_in_the_arguments_of_a_process(keys: Keys) -> None:
    command = [sys.executable, "-c", "input()", keys["variable"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        titles = "\n".join(process_titles([os.getpid()]))
        process.communicate("\n")
    assert [find.owner for find in keys.finds("processes", titles.encode())] == ["variable"]


def test_airflow_masks_the_key_in_task_logs(recording: Recording, finds: list[Find]) -> None:
    assert "the key is ***" in recording.task_log("leak")
    places = {find.place for find in finds if find.owner == LEAKED}
    assert not [place for place in places if "logs/" in place]


@pytest.mark.parametrize("owner", PROTECTED)
def test_no_place_contains_the_key(finds: list[Find], owner: str) -> None:
    assert [find for find in finds if find.owner == owner] == []
