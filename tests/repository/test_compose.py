"""Rules for ``docker-compose.yaml`` that the Compose schema cannot express."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.distributed import DistributedStack, containers, random_secrets, read_services
from dev.stack import COMPONENTS, PROJECT

TEXT = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
AIRFLOW = {name for name, service in SERVICES.items() if service["image"].startswith("airflow-with-akkio:")}


def test_all_services_exist() -> None:
    assert set(SERVICES) == {
        "postgres",
        "redis",
        "migration",
        "pool",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer-1",
        "triggerer-2",
        "worker",
        "sandbox",
    }
    assert {str(service.get("command")) for service in SERVICES.values()} >= set(COMPONENTS) | {"celery worker"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_airflow_services_share_one_environment() -> None:
    common = yaml.safe_load(TEXT)["x-airflow"]
    assert set(SERVICES) - {"postgres", "redis"} == AIRFLOW
    for name in AIRFLOW - {"sandbox"}:
        own = {"DUMB_INIT_SETSID": "0"} if name == "worker" else {}
        assert SERVICES[name]["environment"] == common["environment"] | own
        assert SERVICES[name]["build"] == common["build"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migration", "pool"}))
def test_long_running_service_has_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_secrets_come_from_variables_without_defaults() -> None:
    secret = re.compile(r"^\s*\w*(PASSWORD|KEY|SECRET)\w*: (.*)$", re.MULTILINE)
    values = [value for _, value in secret.findall(TEXT)]
    assert len(values) >= 5
    assert [value for value in values if not re.fullmatch(r"\$\{\w+:\?set \w+\}", value)] == []
    assert re.findall(r"://[^$\s]*:[^$\s@]+@", TEXT) == []


def test_command_lines_contain_no_secrets() -> None:
    commands = [str(service.get(key)) for service in SERVICES.values() for key in ("command", "entrypoint")]
    assert [command for command in commands if re.search(r"(?<!\$)\$\{", command)] == []


def test_redis_reads_password_from_stdin(tmp_path: Path) -> None:
    program(tmp_path / "redis-server", 'echo "$0 $@"; cat')
    assert output_of("redis", tmp_path, REDIS_PASSWORD="the-password").splitlines() == [
        f"{tmp_path}/redis-server -",
        "requirepass the-password",
    ]


@pytest.mark.parametrize(
    ("status", "expected"), [(0, ["pools get akkio"]), (1, ["pools get akkio", "pools set akkio 2"])]
)
def test_pool_is_created_only_if_missing(status: int, expected: list[str], tmp_path: Path) -> None:
    program(tmp_path / "airflow", f'echo "$1 $2 $3 $4" | sed "s/ *$//"; test "$2" = set || exit {status}')
    assert output_of("pool", tmp_path).splitlines() == expected


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def output_of(service: str, folder: Path, **variables: str) -> str:
    """Return the output of a service's command, with a folder first on the PATH."""
    name, *arguments = [word.replace("$$", "$") for word in SERVICES[service]["command"]]
    shell = shutil.which(name)
    assert shell
    environment = {**os.environ, **variables, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [".dockerignore", ".gitignore"])
def test_env_files_are_ignored(name: str) -> None:
    assert {".env", ".env.*"} <= set((PROJECT / name).read_text().splitlines())


def test_header_lists_all_variables() -> None:
    head = TEXT.partition("x-airflow:")[0]
    named = set(re.findall(r"(\w+)=…", head))
    assert named == set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_images_have_versions() -> None:
    images = [*re.findall(r"^\s+image: (\S+)$", TEXT, re.MULTILINE), *re.findall(r"FROM (\S+)", TEXT)]
    assert len(images) == 4
    assert [image for image in images if not re.search(r":\d+(\.\d+)+", image)] == []


def test_image_has_the_tested_airflow_version() -> None:
    pinned = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert set(re.findall(r"airflow(?:-with-akkio)?[:=]=?(\d+\.\d+\.\d+)", TEXT)) == {pinned.group(1)}


def test_make_stack_understands_all_services(tmp_path: Path) -> None:
    placeholders = dict.fromkeys(random_secrets(TEXT), "secret")
    services = read_services(TEXT, placeholders | {"$$": "$"})
    assert set(services) == set(SERVICES)
    stack = DistributedStack(tmp_path, services, {"redis": 1, "api-server": 2, "sandbox": 3})
    names = [name for service in services for name in containers(service, services[service])]
    assert [name for name in names if name.startswith(("triggerer", "worker"))] == [
        "triggerer-1",
        "triggerer-2",
        "worker-1",
        "worker-2",
    ]
    assert stack._command("worker-2", "worker", services["worker"])[-2:] == ["--celery-hostname", "worker-2"]
