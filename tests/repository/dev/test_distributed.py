"""``make stack`` starts what ``docker-compose.yaml`` describes, and nothing else: the two cannot drift apart."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import debian
from dev.compose import LEFT_TO_DOCKER, READ, NotUnderstoodError, services_of, variables_of
from dev.distributed import (
    COMPOSE_FILE,
    FERNET_KEY,
    SERVERS,
    Part,
    Place,
    drawn_ports,
    parts_of,
    provide_redis,
    random_secrets,
)
from dev.processes import free_ports
from dev.stack import EXAMPLES

TEXT = COMPOSE_FILE.read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
SECRETS = {name: f"secret of {name.lower()}".replace(" ", "-") for name in variables_of(TEXT)}
PORTS = {name: 5001 + number for number, name in enumerate(SERVERS)}
CONTAINERS_OWN = {
    "AIRFLOW_HOME",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE",
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    "STACK_HOSTNAME",
    "PYTHONPATH",
}
"""What each container has to itself."""


def parts(text: str = TEXT) -> dict[str, Part]:
    addresses = {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}
    services = services_of(text, SECRETS)
    log_ports = {name: 6001 + number for number, name in enumerate(n for one in services for n in one.containers)}
    place = Place(Path("/stack"), PORTS, log_ports, addresses, {"./example_dags": EXAMPLES})
    return {part.name: part for part in parts_of(services, place)}


def as_here(value: str) -> str:
    """Return a setting of the file's with this machine's addresses, by the plainest of means."""
    for name, secret in SECRETS.items():
        value = value.replace(f"${{{name}:?set {name}}}", secret)
    for container, here in {
        "@postgres/": f"@127.0.0.1:{PORTS['postgres']}/",
        "@redis:6379/": f"@127.0.0.1:{PORTS['redis']}/",
        "//api-server:8080/": f"//127.0.0.1:{PORTS['api-server']}/",
        "//sandbox:8765": f"//127.0.0.1:{PORTS['sandbox']}",
        "/opt/airflow/dags": str(EXAMPLES),
    }.items():
        value = value.replace(container, here)
    return value


def containers(name: str) -> list[str]:
    count = SERVICES[name].get("deploy", {}).get("replicas", 1)
    return [name] if count == 1 else [f"{name}-{number + 1}" for number in range(count)]


def test_every_container_is_a_program_and_there_is_no_other() -> None:
    assert set(parts()) == {container for name in SERVICES for container in containers(name)}
    assert [name for name in parts() if name.startswith(("triggerer", "worker"))] == [
        "triggerer-1",
        "triggerer-2",
        "worker-1",
        "worker-2",
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_has_the_value_of_the_file_but_for_addresses(name: str) -> None:
    for container in containers(name):
        part = parts()[container]
        described = {key: as_here(value) for key, value in SERVICES[name].get("environment", {}).items()}
        assert {key: value for key, value in part.settings.items() if key not in CONTAINERS_OWN} == described
        assert set(part.settings) - set(described) in (set(), CONTAINERS_OWN)


@pytest.mark.parametrize("name", set(SERVICES) - {"postgres", "redis", "sandbox", "pool"})
def test_every_part_of_airflow_is_started_with_the_command_of_the_file(name: str) -> None:
    for container in containers(name):
        program, *arguments = parts()[container].command
        assert program == str(Path(sys.executable).parent / "airflow")
        own = {
            "api-server": ["--host", "127.0.0.1", "--port", str(PORTS["api-server"])],
            "worker": ["--celery-hostname", container],
        }.get(name, [])
        described = re.findall(r'"([^"]*)"|(\S+)', SERVICES[name]["command"])
        assert arguments == [printable or word for printable, word in described] + own


def test_the_other_servers_are_started_with_the_commands_of_the_file() -> None:
    redis, sandbox, postgres = parts()["redis"], parts()["sandbox"], parts()["postgres"]
    assert redis.command[:3] == tuple(word.replace("$$", "$") for word in SERVICES["redis"]["command"])
    assert redis.command[3:] == ("redis", "--bind", "127.0.0.1", "--port", str(PORTS["redis"]), "--dir", "/stack")
    assert sandbox.command == (
        sys.executable,
        "-m",
        "airflow_provider_akkio.sandbox",
        "--host",
        "127.0.0.1",
        "--port",
        str(PORTS["sandbox"]),
    )
    assert set(postgres.settings) == {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}


def test_the_pool_is_made_by_the_script_of_the_file() -> None:
    assert list(parts()["pool"].command) == SERVICES["pool"]["command"]


def test_no_secret_is_on_a_command_line() -> None:
    words = [word for part in parts().values() for word in part.command]
    assert [word for word in words if any(secret in word for secret in SECRETS.values())] == []


def test_every_key_of_the_file_is_read_or_left_to_docker_but_not_both() -> None:
    assert set() == READ & LEFT_TO_DOCKER
    assert {key for service in SERVICES.values() for key in service} == READ | LEFT_TO_DOCKER


def test_no_port_is_given_away_twice() -> None:
    services = services_of(TEXT, SECRETS)
    [sandbox_port] = free_ports(1)
    servers, logs = drawn_ports(services, sandbox_port)
    assert (set(servers), set(logs), servers["sandbox"]) == (set(SERVERS), set(parts()), sandbox_port)
    assert len({*servers.values(), *logs.values()}) == len(servers) + len(logs)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path, in which Debian's redis-tools are installed when they are asked for."""
    folder = tmp_path / "machine"
    folder.mkdir()

    def install(*packages: str) -> None:
        assert packages == ("redis-tools",)
        add_program(folder / "redis-check-rdb")

    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(debian, "install", install)
    return folder


def add_program(path: Path) -> None:
    path.touch(0o755)


def test_a_redis_on_the_path_is_taken_as_it_is(machine: Path, tmp_path: Path) -> None:
    add_program(machine / "redis-server")
    said: list[str] = []
    provide_redis(tmp_path / "programs", said.append)
    assert said == []
    assert not (tmp_path / "programs").exists()


def test_where_there_is_no_redis_a_package_without_a_service_is_installed(machine: Path, tmp_path: Path) -> None:
    said: list[str] = []
    provide_redis(tmp_path / "programs", said.append)
    assert said == ["installing Debian's redis-tools"]
    assert (tmp_path / "programs" / "redis-server").resolve() == machine / "redis-check-rdb"


def test_where_redis_cannot_be_had_it_is_said(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "install", lambda *_: "apt-get and root are needed for that")
    with pytest.raises(SystemExit, match=r"^NO REDIS: put a redis-server on the path.*root are needed"):
        provide_redis(tmp_path / "programs", lambda _: None)
    assert list(machine.iterdir()) == []


def test_parts_of_airflow_differ_only_in_what_a_container_has_to_itself() -> None:
    names = [name for name in parts() if "AIRFLOW_HOME" in parts()[name].settings]
    for own in ("AIRFLOW_HOME", "STACK_HOSTNAME"):
        assert len({parts()[name].settings[own] for name in names}) == len(names)


@pytest.mark.parametrize(
    ("old", "new", "part", "setting"),
    [
        ('WORKER_CONCURRENCY: "4"', 'WORKER_CONCURRENCY: "9"', "worker-2", "AIRFLOW__CELERY__WORKER_CONCURRENCY"),
        ('"requests_per_second": 1', '"requests_per_second": 9', "triggerer-2", "AIRFLOW_CONN_AKKIO_DEFAULT"),
    ],
)
def test_a_setting_that_changes_in_the_file_changes_in_the_stack(old: str, new: str, part: str, setting: str) -> None:
    assert TEXT.count(old) == 1
    before, after = parts()[part].settings[setting], parts(TEXT.replace(old, new))[part].settings[setting]
    assert before != after
    assert "9" in after


def test_another_worker_in_the_file_is_another_one_in_the_stack() -> None:
    assert set(parts(TEXT.replace("replicas: 2", "replicas: 3"))) - set(parts()) == {"worker-3"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image: redis:7", "image: valkey:8"),
        ("http://api-server:8080", "http://gateway:8080"),
        ("DAGS_FOLDER: /opt/airflow/dags", "DAGS_FOLDER: /opt/airflow/elsewhere"),
        ("entrypoint: [python, -m,", "entrypoint: [node, -m,"),
        ("[--host, 0.0.0.0,", "[--bind, 0.0.0.0,"),
    ],
)
def test_what_cannot_be_done_without_containers_is_an_error(old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(NotUnderstoodError):
        parts(TEXT.replace(old, new))


def test_every_variable_gets_a_secret_of_its_own() -> None:
    made = random_secrets(variables_of(TEXT))
    assert set(made) == variables_of(TEXT)
    assert FERNET_KEY in made
    assert len(set(made.values())) == len(made)
    assert all(value not in random_secrets(set(made)).values() for value in made.values())
