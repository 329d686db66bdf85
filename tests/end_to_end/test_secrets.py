"""The API key stands nowhere that a real Airflow writes, with every logger at DEBUG, whatever becomes of a training."""

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
from tests.scripted import Answering, ScriptedAkkio, accepted, reset, result, status
from tests.versions import since

HERE = Path(__file__).parent
DAG = "every_ending"
AT_DEBUG = {
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__FAB_LOGGING_LEVEL": "DEBUG",
    "AIRFLOW__LOGGING__UVICORN_LOGGING_LEVEL": "DEBUG",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONPATH": os.pathsep.join([str(HERE / "at_debug"), str(PROJECT)]),
}

WELL: dict[str, list[Answering]] = {"new": [accepted("T1")], "status": [status("SUCCEEDED")], "result": [result("M1")]}
SERVERS: dict[str, dict[str, list[Answering]]] = {
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
QUIET = ("variable", "stored", "wrong_key", "resets", "redirects")
ECHOED = tuple(name for name in SERVERS if name.startswith("echoes"))

_ROWS = sql.SQL("COPY (SELECT whole::text FROM {} AS whole) TO STDOUT")
GIVEN_AWAY = "given_away"

ENDINGS = {
    "submit": "success",
    "sensor": "success",
    "deferred": "success",
    "blocking": "success",
    "no_such_dataset": "AkkioNotFoundError",
    "wrong_key": "AkkioUnauthorizedError",
    "resets": "AkkioSubmissionUnknownError",
    "redirects": "AkkioUntrustedUrlError",
    "echoes_and_succeeds": "success",
    "echoes_and_breaks": "AkkioSubmissionUnknownError",
    "echoes_and_fails": "AkkioTrainingFailedError",
    "echoes_in_status_line": "AkkioTrainingTimeoutError",
    "echoes_in_location": "AkkioUntrustedUrlError",
    "give_away": "success",
}


@dataclass
class Record:
    """All that an Airflow wrote and showed in one run, by the place where it stands.

    :param stack: the Airflow.
    :param run_id: the run.
    :param texts: what was read.
    :param states: how each task ended.
    """

    stack: Stack
    run_id: str
    texts: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, str | None] = field(default_factory=dict)

    def follow(self) -> None:
        """Wait until the run has ended, read on the way what does not last, and then all the rest."""
        self.stack.api.follow(DAG, self.run_id, self._look)
        self.states = {task.task_id: task.state for task in self.stack.api.tasks(DAG, self.run_id)}
        for name in ("variable", "stored", "echoes_and_breaks"):
            self._add(f"test of {name}", repr(self.stack.api.test_connection(name)).encode())
        self._read_api()
        self._read_tables()
        self._read_files()

    def text(self, place: str) -> str:
        """Return what was read at the places whose name matches a pattern from its beginning."""
        return b"\n".join(text for name, text in self.texts.items() if re.match(place, name)).decode("utf-8", "replace")

    def _look(self, task: TaskView) -> None:
        self._read_processes()
        if task.state == "deferred":
            self._read_tables()

    def _read_processes(self) -> None:
        postmaster = (self.stack.folder / "database" / "postmaster.pid").read_text().split()[0]
        for title in titles([int(postmaster), *(program.process.pid for program in self.stack.programs.values())]):
            self._add("processes", title.encode())

    def _read_tables(self) -> None:
        """Read each row of the database."""
        address = self.stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            for (table,) in cursor.fetchall():
                rows = io.BytesIO()
                cursor.copy_expert(_ROWS.format(sql.Identifier(table)), rows)
                self._add(f"table {table}", rows.getvalue())

    def _read_api(self) -> None:
        """Read what Airflow's page is made of: the run, with its rendered templates, XComs and logs."""
        run = f"dags/{DAG}/dagRuns/{self.run_id}"
        for path in ("connections", "eventLogs", run, f"{run}/taskInstances"):
            self._read_path(path)
        for task_id in self.states:
            task = f"{run}/taskInstances/{task_id}"
            self._read_path(f"{task}/logs/1?full_content=true")
            for key in self.stack.api.xcoms(DAG, self.run_id, task_id):
                self._read_path(f"{task}/xcomEntries/{key}")

    def _read_path(self, path: str) -> None:
        self._add(f"api {path.replace(self.run_id, 'run')}", self.stack.api.text(path).encode())

    def _read_files(self) -> None:
        """Read Airflow's folder: logs, output, and the database's files, whose journal has what rows once were."""
        for path in self.stack.folder.rglob("*"):
            if not path.is_file():
                continue
            with suppress(FileNotFoundError):  # the database's temporary files come and go
                self._add(f"file {path.relative_to(self.stack.folder)}".replace(self.run_id, "run"), path.read_bytes())

    def _add(self, place: str, text: bytes) -> None:
        before = self.texts.get(place, b"")
        if text not in before:
            self.texts[place] = before + b"\n" + text


def titles(first: Iterable[int]) -> Iterator[str]:
    """Yield the name, and the arguments or the title, of processes and of all that they have started."""
    for pid in first:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    yield " ".join([one.name(), *one.cmdline()])


@pytest.fixture(scope="module")
def keys() -> Keys:
    """A key for each connection."""
    return Keys([*QUIET, *ECHOED, GIVEN_AWAY])


@pytest.fixture(scope="module")
def record(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """What a run of the DAG left; one connection is an environment variable, the others are in the database."""
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(HERE / "dags" / f"{DAG}.py", dags)
    with ExitStack() as running:
        variable, stored = (running.enter_context(Sandbox(key=keys[name])).url for name in ("variable", "stored"))
        sites = {"stored": stored, "wrong_key": stored, GIVEN_AWAY: stored}
        for name, script in SERVERS.items():
            server = running.enter_context(ScriptedAkkio())
            sites[name] = server.url
            for endpoint, answers in (WELL | script).items():
                server.script(endpoint, *answers)
        stack = running.enter_context(
            running_stack(dags=dags, akkio=variable, keys={"variable": keys["variable"]}, settings=AT_DEBUG)
        )
        for name, site in sites.items():
            # Airflow's own masking knows the password with its spaces, and so not the key that is sent.
            stack.api.add_connection(name, site, f" {keys[name]} ")
        record = Record(stack, stack.api.trigger(DAG))
        record.follow()
    return record


@pytest.fixture(scope="module")
def finds(keys: Keys, record: Record) -> list[Find]:
    """Where which key stands."""
    return sorted(find for place, text in record.texts.items() for find in keys.finds(place, text))


def log_of(record: Record, task_id: str) -> str:
    """Return what a worker wrote into the log of a task, line by line as JSON."""
    return record.text(f"file logs/dag_id={DAG}/run_id=run/task_id={task_id}/attempt=1.log$")


def debug_lines(text: str, logger: str) -> str:
    """Return the lines of a log that a logger wrote at DEBUG, be they JSON or text."""
    lines = (line for line in text.splitlines() if '"level":"debug"' in line or "[debug " in line)
    return "\n".join(line for line in lines if f'"logger":"{logger}' in line or f"[{logger}" in line)


@pytest.mark.parametrize(("task_id", "ending"), ENDINGS.items())
def test_each_training_ends_as_it_should(record: Record, task_id: str, ending: str) -> None:
    is_well = ending == "success"
    assert record.states[task_id] == ("success" if is_well else "failed")
    assert is_well or re.search(rf'"exc_type":"{ending}"|\.{ending}: ', log_of(record, task_id))


@since("3.1")
def test_every_component_logs_at_debug(record: Record) -> None:
    for component in COMPONENTS:
        assert debug_lines(record.text(f"file output/{component}.log"), "sqlalchemy.engine")
    assert debug_lines(record.text("file output/scheduler.log"), "httpcore")


@since("3.0")
def test_every_request_of_a_worker_is_logged(record: Record) -> None:
    said = debug_lines(log_of(record, "blocking"), "urllib3")
    assert "POST /api/v1/models/train/new" in said
    assert "/result" in said


@since("3.0")
def test_every_socket_of_the_triggerer_is_logged(record: Record) -> None:
    log = record.text(f"file logs/dag_id={DAG}/run_id=run/task_id=deferred/attempt=1.log.trigger")
    assert "aiohttp" in debug_lines(log, "asyncio")
    assert "TrainingState" in debug_lines(log, "airflow_provider_akkio")


@since("3.1")
def test_a_connection_test_is_logged(record: Record) -> None:
    said = debug_lines(record.text("file output/api-server.log"), "urllib3")
    assert "GET /api/v1/models/train/airflow-connection-test/status" in said
    assert record.text("test of variable") == record.text("test of stored")


@since("3.0")
def test_the_processes_of_airflow_and_its_tasks_are_seen(record: Record) -> None:
    seen = record.text("processes")
    for title in (*COMPONENTS, "airflow worker -- 0", "postgres: "):
        assert title.replace("api-server", "api_server") in seen


def test_the_tables_are_read_while_tasks_are_deferred(record: Record) -> None:
    assert "AkkioTrainTrigger" in record.text("table trigger$")


@since("3.3")
def test_the_rendered_templates_are_read(record: Record) -> None:
    assert '"akkio_conn_id":"echoes_and_fails"' in record.text("api .*/taskInstances$")


@since("3.1")
def test_a_key_that_a_task_gives_away_is_found_wherever_it_goes(finds: list[Find]) -> None:
    places = {find.place for find in finds if find.owner == GIVEN_AWAY}
    assert places >= {
        "table xcom",
        f"api dags/{DAG}/dagRuns/run/taskInstances/give_away/xcomEntries/return_value",
        "file output/scheduler.log",
        "file output/api-server.log",
    }
    assert any(place.startswith("file database/pg_wal/") for place in places)


def test_a_key_among_the_arguments_of_a_process_is_found(keys: Keys) -> None:
    command = [sys.executable, "-c", "input()", keys["variable"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        seen = "\n".join(titles([os.getpid()]))
        process.communicate("\n")
    assert [find.owner for find in keys.finds("processes", seen.encode())] == ["variable"]


def test_airflow_masks_the_key_in_the_logs_of_tasks(record: Record, finds: list[Find]) -> None:
    assert "the key is ***" in log_of(record, "give_away")
    places = {find.place for find in finds if find.owner == GIVEN_AWAY}
    assert not [place for place in places if "logs/" in place]


@pytest.mark.parametrize("owner", [*QUIET, *ECHOED])
def test_no_key_stands_anywhere(finds: list[Find], owner: str) -> None:
    assert [find for find in finds if find.owner == owner] == []
