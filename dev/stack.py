"""A real Airflow on one machine: PostgreSQL, scheduler, DAG processor, API server, triggerer and the sandbox."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dev import airflow_2
from dev.airflow_api import AirflowApi
from dev.database import Database, embedded_database
from dev.processes import (
    Program,
    Programs,
    deferred_signals,
    environment_without,
    free_ports,
    installed_program,
    run_to_completion,
    wait_until,
)

PROJECT = Path(__file__).resolve().parent.parent
EXAMPLES = PROJECT / "example_dags"
COMPONENTS = (
    airflow_2.COMPONENTS if airflow_2.IS_INSTALLED else ("scheduler", "dag-processor", "api-server", "triggerer")
)
SANDBOX_KEY = "sandbox-key"


@dataclass
class Stack(Programs):
    """A running Airflow, its database and (unless another Akkio is given) the sandbox."""

    database: Database
    environment: Mapping[str, str]
    api: AirflowApi
    akkio: str

    def start(self, component: str, name: str = "") -> None:
        """Start a component of Airflow.

        :param name: name of an additional instance; default the component.
        """
        if component == "api-server":
            self._serve(component, self.api.port, self.environment)
            return
        [log_port] = free_ports(1)
        settings = {"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_port)} if name else {}
        self.run(name or component, [installed_program("airflow"), component], {**self.environment, **settings})

    def start_behind_path(self, path: str) -> str:
        """Start another API server, as if behind a proxy, and return its URL.

        :param path: path in the base URL, such as ``/team/airflow``.
        """
        [port] = free_ports(1)
        url = f"http://127.0.0.1:{port}{path}"
        self._serve(f"api-server at {port}", port, {**self.environment, "AIRFLOW__API__BASE_URL": url})
        return url

    def wait_until_healthy(self) -> None:
        """Wait until all components of Airflow are healthy."""
        wait_until(self.api.is_healthy, "a healthy Airflow", 600, list(self.programs.values()))

    def _serve(self, name: str, port: int, environment: Mapping[str, str]) -> None:
        address = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        self.run(name, [installed_program("airflow"), "api-server", *address], environment)


@contextmanager
def running_stack(
    *,
    dags: Path = EXAMPLES,
    akkio: str | None = None,
    pace: float = 3.0,
    keys: Mapping[str, str] = MappingProxyType({"akkio_default": SANDBOX_KEY}),
    preferred_ports: Sequence[int] = (),
    users: Mapping[str, str] = MappingProxyType({}),
    settings: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Stack]:
    """Run Airflow until the ``with`` block ends, then stop all programs and delete all files.

    :param dags: DAG folder; default the examples.
    :param akkio: URL of Akkio; default a new sandbox.
    :param pace: minimum seconds per training in the sandbox.
    :param keys: API keys by connection ID; default the sandbox's key for ``akkio_default``.
    :param preferred_ports: ports of Airflow and the sandbox if they are free; default any free ports.
    :param users: roles by user name (also the password), an administrator first; default no login.
    :param settings: additional environment variables of Airflow.
    :param say: called with progress messages.
    """
    with ExitStack() as cleanup:
        with deferred_signals():
            folder = Path(tempfile.mkdtemp(prefix="akkio-airflow-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        say("starting an embedded PostgreSQL")
        database = cleanup.enter_context(embedded_database(folder / "database"))
        api_port, sandbox_port, *log_ports = free_ports(4, preferred_ports)
        url = akkio or f"http://127.0.0.1:{sandbox_port}"
        environment = _environment(folder, dags, database, api_port, log_ports)
        if airflow_2.IS_INSTALLED:
            environment |= airflow_2.settings(folder, api_port)
        for connection, key in keys.items():
            environment |= akkio_connection(url, key, connection)
        environment |= {**_logins(folder, users), **settings}
        login = next(((name, name) for name in users), None)
        api = airflow_2.Airflow2Api(api_port) if airflow_2.IS_INSTALLED else AirflowApi(api_port, login)
        stack = Stack(folder, database, environment, api, url)
        cleanup.callback(stack.stop)
        say("creating Airflow's tables")
        migration = (installed_program("airflow"), "db", "migrate")
        run_to_completion(Program("migration", migration, environment, stack.output / "migration.log"), 120)
        if akkio is None:
            say(f"starting the sandbox, a local Akkio, at {url}")
            options = ("--port", str(sandbox_port), "--pace", str(pace), "--key", SANDBOX_KEY)
            stack.run("sandbox", [sys.executable, "-m", "airflow_provider_akkio.sandbox", *options], environment)
        say(f"starting Airflow (about half a minute): {', '.join(COMPONENTS)}")
        for component in COMPONENTS:
            stack.start(component)
        stack.wait_until_healthy()
        yield stack


def akkio_connection(url: str, key: str, connection: str = "akkio_default") -> dict[str, str]:
    """Return the environment variable that defines an Akkio connection."""
    fields = {"conn_type": "akkio", "host": url, "password": key}
    return {f"AIRFLOW_CONN_{connection.upper()}": json.dumps(fields)}


def _logins(folder: Path, users: Mapping[str, str]) -> dict[str, str]:
    if not users:
        return {}
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in users}))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


def _environment(folder: Path, dags: Path, database: Database, api_port: int, log_ports: list[int]) -> dict[str, str]:
    worker_log_port, triggerer_log_port = log_ports
    return environment_without("AIRFLOW_") | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api_port}/execution/",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{api_port}",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url("psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.url("asyncpg"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(triggerer_log_port),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONPATH": str(PROJECT),
    }
