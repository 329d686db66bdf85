"""What ``docker-compose.yaml`` describes, as processes on one machine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from socket import create_connection

from dev import debian, own_hostname
from dev.airflow_api import AirflowApi
from dev.compose import NotUnderstoodError, Service, moved, services_of, variables_of
from dev.database import ServerProgram, prepared_database
from dev.processes import free_ports, uninterrupted, wait_until
from dev.programs import Programs, foreign_environment, installed_program
from dev.stack import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yaml"
SERVERS = ("postgres", "redis", "api-server", "sandbox")
"""The services that others reach by their name, the sandbox last."""
FERNET_KEY = "AIRFLOW_FERNET_KEY"
_AIRFLOW, _POSTGRES, _REDIS = "airflow-with-akkio", "postgres", "redis"
_CELERY_WORKER = ("celery", "worker")
_REDIS_IN_TOOLS = "redis-check-rdb"
_ONCE_SECONDS = 180.0
_HEALTHY_SECONDS = 300.0


@dataclass(frozen=True)
class Place:
    """What takes the place of what containers give.

    :param folder: for everything that is written.
    :param ports: of the loopback interface, by the name of the service that listens there.
    :param log_ports: where each container serves its logs.
    :param addresses: host and port by the name of the service that they stand for.
    :param folders: folders by the one of this project that the file mounts, where another one is to stand for it.
    """

    folder: Path
    ports: Mapping[str, int]
    log_ports: Mapping[str, int]
    addresses: Mapping[str, str]
    folders: Mapping[str, Path]

    @property
    def programs(self) -> Path:
        """The folder with the programs that the machine lacks."""
        return self.folder / "programs"

    def home(self, container: str) -> Path:
        """Return the folder that a container of Airflow's has for itself."""
        return self.folder / "homes" / container


@dataclass(frozen=True)
class Part:
    """One container as a program.

    :param name: the container's name.
    :param service: what the file says of it.
    :param command: the program and its arguments; of PostgreSQL, none before its data are there.
    :param settings: its environment, but for what this machine's has besides.
    """

    name: str
    service: Service
    command: tuple[str, ...]
    settings: Mapping[str, str]


def parts_of(services: Sequence[Service], place: Place) -> list[Part]:
    """Return the programs for all containers of a file.

    :param services: what the file says.
    :param place: where they are to run.
    :raises NotUnderstoodError: if one of them cannot be a program of this machine.
    """
    return [_part(service, name, place) for service in services for name in service.containers]


def random_secrets(names: set[str]) -> dict[str, str]:
    """Return a new secret for each of a file's variables; all of them are secrets.

    :param names: the variables.
    """
    keys = {name: secrets.token_hex(32) for name in names}
    return keys | {FERNET_KEY: urlsafe_b64encode(secrets.token_bytes(32)).decode()}


@dataclass
class DistributedStack(Programs):
    """The stack of the file while it runs.

    :param parts: all of its programs, by name.
    :param place: where they run.
    """

    parts: Mapping[str, Part]
    place: Place

    @cached_property
    def api(self) -> AirflowApi:
        """Airflow's REST API, with the login that the API server made up; there once it is healthy."""
        passwords = self.place.home("api-server") / "simple_auth_manager_passwords.json.generated"
        [login] = json.loads(passwords.read_text()).items()
        return AirflowApi(self.place.ports["api-server"], login)

    def names(self, service: str) -> list[str]:
        """Return the names of the programs of some services.

        :param service: how the service's name begins.
        """
        return [name for name, part in self.parts.items() if part.service.name.startswith(service)]

    def start(self) -> None:
        """Start everything, each behind what it depends on."""
        for part in self.parts.values():
            environment = {**foreign_environment(), "PATH": self._path, **part.settings}
            if not part.service.goes_on:
                self.run_to_end(part.name, part.command, environment, _ONCE_SECONDS)
            elif _kind(part.service) == _POSTGRES:
                server = self._prepare_database(part)
                self.run(part.name, server.command, environment, user=server.user, ends_at=server.ends_at)
            else:
                self.run(part.name, part.command, environment)
            if part.name in self.place.ports:
                self._wait_for_port(part.name)

    @property
    def _path(self) -> str:
        """Where programs are looked for that a command names."""
        return os.pathsep.join((str(self.place.programs), str(Path(sys.executable).parent), os.environ["PATH"]))

    def wait_until_healthy(self) -> None:
        """Wait until Airflow says that all is well, every triggerer has been heard of and every worker is ready."""
        bare = AirflowApi(self.place.ports["api-server"])
        watched = list(self.programs.values())
        wait_until(bare.is_healthy, "a healthy Airflow", _HEALTHY_SECONDS, watched)
        triggerers, workers = self.names("triggerer"), self.names("worker")
        wait_until(
            lambda: set(self.api.jobs("TriggererJob")) >= set(triggerers), "every triggerer", _HEALTHY_SECONDS, watched
        )
        for name in workers:
            wait_until(partial(self.worker_is_ready, name), f"{name}, ready,", _HEALTHY_SECONDS, watched)

    def worker_is_ready(self, name: str) -> bool:
        """Return whether a worker's log says that it takes tasks."""
        return f"celery@{name} ready" in self.programs[name].log.read_text(errors="replace")

    def _prepare_database(self, part: Part) -> ServerProgram:
        settings = part.settings
        return prepared_database(
            self.folder / "database",
            self.place.ports[part.name],
            name=settings["POSTGRES_DB"],
            user=settings["POSTGRES_USER"],
            password=settings["POSTGRES_PASSWORD"],
        )

    def _wait_for_port(self, name: str) -> None:
        def listens() -> bool:
            with suppress(OSError), create_connection(("127.0.0.1", self.place.ports[name]), 1):
                return True
            return False

        wait_until(listens, f"{name}, listening,", _HEALTHY_SECONDS, [self.programs[name]])


@contextmanager
def running_distributed_stack(
    *, dags: Path, sandbox_port: int, akkio: str, say: Callable[[str], None]
) -> Iterator[DistributedStack]:
    """Run everything that the file describes until the ``with`` block ends; nothing is left of it.

    :param dags: the folder with its DAG files, in the place of the examples that the file mounts.
    :param sandbox_port: where the sandbox listens.
    :param akkio: host and port of what stands before the sandbox.
    :param say: told what is going on.
    :raises SystemExit: if there is no Redis, and none can be had.
    """
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    services = services_of(text, random_secrets(variables_of(text)))
    with ExitStack() as cleanup:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="akkio-stack-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        ports, log_ports = drawn_ports(services, sandbox_port)
        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()} | {"sandbox": akkio}
        place = Place(folder, ports, log_ports, addresses, {"./example_dags": dags})
        provide_redis(place.programs, say)
        parts = {part.name: part for part in parts_of(services, place)}
        stack = DistributedStack(folder, parts, place)
        for name in parts:
            _make_home(place, name)
        cleanup.callback(stack.end)
        say(f"starting {', '.join(parts)}")
        stack.start()
        say("all of them run; waiting until they are healthy")
        stack.wait_until_healthy()
        yield stack


def provide_redis(folder: Path, say: Callable[[str], None]) -> None:
    """See to it that there is a ``redis-server``, on the path or in a folder.

    Debian's package of that name also starts a service, for which nobody has asked. The same program is in redis-tools,
    and serves when it is called so.

    :param folder: made, and given a ``redis-server``, where the path has none.
    :param say: told if something is installed.
    :raises SystemExit: if it cannot be had.
    """
    if shutil.which("redis-server"):
        return
    if shutil.which(_REDIS_IN_TOOLS) is None:
        say("installing Debian's redis-tools")
        if reason := debian.install("redis-tools"):
            raise SystemExit(f"NO REDIS: put a redis-server on the path, of whatever origin; {reason}")
    program = shutil.which(_REDIS_IN_TOOLS)
    if program is None:
        raise SystemExit(f"NO REDIS: put a redis-server on the path; Debian's redis-tools has no {_REDIS_IN_TOOLS}")
    folder.mkdir()
    (folder / "redis-server").symlink_to(program)


def drawn_ports(services: Sequence[Service], sandbox_port: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return a port for each server, and one for each container's logs; all differ.

    :param services: what the file says.
    :param sandbox_port: the one that the sandbox has been promised.
    """
    containers = [name for service in services for name in service.containers]
    _, *drawn = free_ports(len(SERVERS) + len(containers), preferred=[sandbox_port])
    of_servers = [drawn.pop() for _ in SERVERS[:-1]]
    return dict(zip(SERVERS, [*of_servers, sandbox_port], strict=True)), dict(zip(containers, drawn, strict=True))


def _kind(service: Service) -> str:
    return service.image.partition(":")[0]


def _part(service: Service, name: str, place: Place) -> Part:
    mounts = {where: str(place.folders.get(folder, PROJECT / folder)) for where, folder in service.mounts.items()}
    settings = {key: moved(value, place.addresses, mounts) for key, value in service.environment.items()}
    kind = _kind(service)
    if kind == _POSTGRES:
        return Part(name, service, (), settings)
    if kind == _REDIS:
        port = str(place.ports[name])
        # What follows a shell's script is its $0, and then its "$@".
        options = (_REDIS, "--bind", "127.0.0.1", "--port", port, "--dir", str(place.folder))
        return Part(name, service, (*service.command, *options), settings)
    if kind != _AIRFLOW:
        raise NotUnderstoodError(f"Nobody knows how to run {service.image} without a container.")
    if service.entrypoint:
        return Part(name, service, (*_entrypoint(service), *_listening(service, place)), settings)
    return Part(name, service, _airflow_command(service, name, place), {**settings, **_container_settings(name, place)})


def _entrypoint(service: Service) -> tuple[str, ...]:
    program, *arguments = service.entrypoint
    if program != "python":
        raise NotUnderstoodError(f"Service {service.name} starts {program}, which is no program of this project's.")
    return (sys.executable, *arguments)


def _listening(service: Service, place: Place) -> tuple[str, ...]:
    """Return a server's arguments with the address of this machine in the place of its container's."""
    given = dict(zip(service.command[::2], service.command[1::2], strict=True))
    if set(given) != {"--host", "--port"}:
        raise NotUnderstoodError(f"Service {service.name} is told {' '.join(service.command)}.")
    return ("--host", "127.0.0.1", "--port", str(place.ports[service.name]))


def _airflow_command(service: Service, name: str, place: Place) -> tuple[str, ...]:
    if service.command[0] == "bash":
        return service.command
    command = (installed_program("airflow"), *service.command)
    if service.name in place.ports:
        return (*command, "--host", "127.0.0.1", "--port", str(place.ports[service.name]))
    if service.command[:2] == _CELERY_WORKER:
        return (*command, "--celery-hostname", name)
    return command


def _container_settings(name: str, place: Place) -> dict[str, str]:
    """Return what one container of Airflow's has to itself: a folder, a name, and the port of its log server."""
    log_port = str(place.log_ports[name])
    return {
        "AIRFLOW_HOME": str(place.home(name)),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{own_hostname.__name__}.{own_hostname.own_hostname.__name__}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": log_port,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": log_port,
        own_hostname.VARIABLE: name,
        "PYTHONPATH": str(PROJECT),
    }


def _make_home(place: Place, name: str) -> None:
    """Make a container's own folder, with the folder of logs in it that all share."""
    logs = place.folder / "logs"
    logs.mkdir(exist_ok=True)
    place.home(name).mkdir(parents=True)
    (place.home(name) / "logs").symlink_to(logs)
