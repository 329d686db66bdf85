"""The services of ``docker-compose.yaml`` as processes on one machine, with an embedded PostgreSQL, without Docker."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from graphlib import TopologicalSorter
from pathlib import Path
from re import findall
from socket import create_connection
from typing import Any

import yaml

from dev import own_hostname
from dev.airflow_api import AirflowApi
from dev.database import embedded_database
from dev.debian import install_packages
from dev.processes import (
    Program,
    Programs,
    deferred_signals,
    environment_without,
    free_ports,
    run_to_completion,
    wait_until,
)
from dev.stack import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yaml"
SERVERS = ("redis", "api-server", "sandbox")
_MIGRATION_SECONDS = 180.0
_HEALTHY_SECONDS = 300.0


def random_secrets(text: str) -> dict[str, str]:
    """Return a new secret for each variable of a Compose file, by its reference in the file."""
    references = set(findall(r"\$\{\w+:\?[^}]+\}", text))
    fernet_key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {one: fernet_key if "FERNET" in one else secrets.token_hex(32) for one in references}


def read_services(text: str, replacements: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services of a Compose file, each after its dependencies.

    :raises ValueError: if the file does not contain the old text.
    """
    for old, new in replacements.items():
        if old not in text:
            raise ValueError(f"{COMPOSE_FILE.name} does not contain {old!r}")
        text = text.replace(old, new)
    services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    order = TopologicalSorter({name: set(service.get("depends_on", ())) for name, service in services.items()})
    return {name: services[name] for name in order.static_order()}


def containers(name: str, service: Mapping[str, Any]) -> list[str]:
    """Return the names of a service's containers."""
    replicas = service.get("deploy", {}).get("replicas", 1)
    return [name] if replicas == 1 else [f"{name}-{number}" for number in range(1, replicas + 1)]


@dataclass
class DistributedStack(Programs):
    """The running services."""

    services: Mapping[str, Mapping[str, Any]]
    ports: Mapping[str, int]

    def __post_init__(self) -> None:
        names = [name for service_name, service in self.services.items() for name in containers(service_name, service)]
        reserved = list(self.ports.values())
        drawn = free_ports(len(reserved) + len(names), preferred=reserved)
        self._log_ports = dict(zip(names, drawn[len(reserved) :], strict=True))

    @cached_property
    def api(self) -> AirflowApi:
        """Airflow's REST API, with the login that the API server has generated."""
        passwords = self._home("api-server") / "simple_auth_manager_passwords.json.generated"
        [login] = json.loads(passwords.read_text()).items()
        return AirflowApi(self.ports["api-server"], login)

    def start(self) -> None:
        """Start all containers' programs, each after its dependencies, and wait until they are healthy."""
        for service_name, service in self.services.items():
            for name in containers(service_name, service):
                self._start(name, service_name, service)
            if service_name in self.ports:
                wait_until(partial(self._is_listening, service_name), f"the port of {service_name}", _HEALTHY_SECONDS)
        programs = list(self.programs.values())
        health = AirflowApi(self.ports["api-server"])
        wait_until(health.is_healthy, "a healthy Airflow", _HEALTHY_SECONDS, programs)
        triggerers = {name for name in self.programs if name.startswith("triggerer")}
        wait_until(
            lambda: triggerers <= set(self.api.live_hosts("TriggererJob")), "all triggerers", _HEALTHY_SECONDS, programs
        )
        workers = [program for program in programs if program.name.startswith("worker")]
        wait_until(
            lambda: all(f"celery@{worker.name} ready" in worker.output() for worker in workers),
            "all workers",
            _HEALTHY_SECONDS,
            programs,
        )

    def _start(self, name: str, service_name: str, service: Mapping[str, Any]) -> None:
        environment = self._environment(name, service)
        if service.get("restart") == "no":
            command = self._command(name, service_name, service)
            run_to_completion(Program(name, command, environment, self.output / f"{name}.log"), _MIGRATION_SECONDS)
        else:
            self.run(name, self._command(name, service_name, service), environment)

    def _command(self, name: str, service_name: str, service: Mapping[str, Any]) -> list[str]:
        command = service["command"]
        words = shlex.split(command) if isinstance(command, str) else list(command)
        address = ["--host", "127.0.0.1", "--port", str(self.ports.get(service_name))]
        match service_name:
            case "redis":  # the words after the shell's script are its $0 and "$@"
                return [*words, "redis", "--bind", *address[1:], "--dir", str(self.folder)]
            case "sandbox":
                return [*service["entrypoint"], *address]
            case "pool":
                return words
            case "api-server":
                return ["airflow", *words, *address]
            case "worker":
                return ["airflow", *words, "--celery-hostname", name]
            case _:
                return ["airflow", *words]

    def _environment(self, name: str, service: Mapping[str, Any]) -> dict[str, str]:
        programs = (self.folder / "programs", Path(sys.executable).parent, os.environ["PATH"])
        environment = environment_without("AIRFLOW_") | {"PATH": os.pathsep.join(map(str, programs))}
        environment |= {key: str(value) for key, value in service.get("environment", {}).items()}
        if not service["image"].startswith("airflow"):
            return environment
        self._home(name).mkdir(parents=True)
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        (self._home(name) / "logs").symlink_to(logs)
        log_port = self._log_ports[name]
        return environment | {
            "AIRFLOW_HOME": str(self._home(name)),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{own_hostname.__name__}.{own_hostname.own_hostname.__name__}",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_port),
            own_hostname.VARIABLE: name,
            "PYTHONPATH": str(PROJECT),
        }

    def _home(self, name: str) -> Path:
        return self.folder / "homes" / name

    def _is_listening(self, name: str) -> bool:
        self.programs[name].check()
        with suppress(OSError), create_connection(("127.0.0.1", self.ports[name]), 1):
            return True
        return False


@contextmanager
def running_distributed_stack(
    *, dags: Path, sandbox_port: int, akkio: str, say: Callable[[str], None]
) -> Iterator[DistributedStack]:
    """Run all services until the ``with`` block ends, then stop them and delete their files.

    :param akkio: host and port of the proxy in front of the sandbox.
    :raises SystemExit: if Redis is missing and cannot be installed.
    """
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    ports = dict(zip(SERVERS, [*free_ports(len(SERVERS) - 1), sandbox_port], strict=True))
    with ExitStack() as cleanup:
        with deferred_signals():
            folder = Path(tempfile.mkdtemp(prefix="akkio-stack-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        _provide_redis(folder / "programs", say)
        database = cleanup.enter_context(embedded_database(folder / "database"))
        replacements = {
            "//airflow:${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}@postgres/airflow": database.url("").partition(":")[
                2
            ],
            **random_secrets(text),
            "@redis:6379/": f"@127.0.0.1:{ports['redis']}/",
            "//api-server:8080/": f"//127.0.0.1:{ports['api-server']}/",
            "//sandbox:8765": f"//{akkio}",
            "/opt/airflow/dags": str(dags),
            "$$": "$",
        }
        services = read_services(text, replacements)
        del services["postgres"]
        stack = DistributedStack(folder, services, ports)
        cleanup.callback(stack.stop)
        say(f"starting {', '.join(services)}")
        stack.start()
        yield stack


def _provide_redis(folder: Path, say: Callable[[str], None]) -> None:
    """Make ``redis-server`` available in a folder if it is missing.

    Debian's package redis-server would also start a service. The program redis-check-rdb of the package redis-tools is
    the same executable, and acts as a server under the name ``redis-server``.
    """
    if shutil.which("redis-server"):
        return
    reason: str | None = None
    if shutil.which("redis-check-rdb") is None:
        say("installing Debian's redis-tools")
        reason = install_packages("redis-tools")
    program = shutil.which("redis-check-rdb")
    if program is None:
        raise SystemExit(f"REDIS IS MISSING: install redis-server. {reason or ''}")
    folder.mkdir()
    (folder / "redis-server").symlink_to(program)
