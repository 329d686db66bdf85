"""What no schema of Compose files can tell about ``docker-compose.yaml``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.stack import COMPONENTS, PROJECT

TEXT = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
AIRFLOW = {name for name, service in SERVICES.items() if service["image"].startswith("airflow-with-akkio:")}


def test_all_parts_are_there() -> None:
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


def test_all_of_airflow_comes_from_one_block() -> None:
    common = yaml.safe_load(TEXT)["x-airflow"]
    assert set(SERVICES) - {"postgres", "redis"} == AIRFLOW
    for name in AIRFLOW - {"sandbox"}:
        own = {"DUMB_INIT_SETSID": "0"} if name == "worker" else {}
        assert SERVICES[name]["environment"] == common["environment"] | own
        assert SERVICES[name]["build"] == common["build"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migration", "pool"}))
def test_everything_that_goes_on_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_no_secret_is_fixed() -> None:
    secret = re.compile(r"^\s*\w*(PASSWORD|KEY|SECRET)\w*: (.*)$", re.MULTILINE)
    values = [value for _, value in secret.findall(TEXT)]
    assert len(values) >= 5
    assert [value for value in values if not re.fullmatch(r"\$\{\w+:\?set \w+\}", value)] == []
    assert re.findall(r"://[^$\s]*:[^$\s@]+@", TEXT) == []


def test_no_secret_is_on_a_command_line() -> None:
    commands = [str(service.get(key)) for service in SERVICES.values() for key in ("command", "entrypoint")]
    assert [command for command in commands if re.search(r"(?<!\$)\$\{", command)] == []


def test_redis_reads_its_password_from_stdin(tmp_path: Path) -> None:
    program(tmp_path / "redis-server", 'echo "$0 $@"; cat')
    assert ran("redis", tmp_path, REDIS_PASSWORD="the-password").splitlines() == [
        f"{tmp_path}/redis-server -",
        "requirepass the-password",
    ]


@pytest.mark.parametrize(("status", "asked"), [(0, ["pools get akkio"]), (1, ["pools get akkio", "pools set akkio 2"])])
def test_the_pool_is_made_only_where_it_is_missing(status: int, asked: list[str], tmp_path: Path) -> None:
    program(tmp_path / "airflow", f'echo "$1 $2 $3 $4" | sed "s/ *$//"; test "$2" = set || exit {status}')
    assert ran("pool", tmp_path).splitlines() == asked


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def ran(service: str, folder: Path, **variables: str) -> str:
    """Return what a service's command prints, with the programs of a folder before all others."""
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
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [".dockerignore", ".gitignore"])
def test_a_file_of_secrets_gets_neither_into_the_image_nor_into_a_commit(name: str) -> None:
    assert {".env", ".env.*"} <= set((PROJECT / name).read_text().splitlines())


def test_every_variable_is_named_at_the_top() -> None:
    head = TEXT.partition("x-airflow:")[0]
    named = set(re.findall(r"(\w+)=…", head))
    assert named == set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_every_image_has_a_version() -> None:
    images = [*re.findall(r"^\s+image: (\S+)$", TEXT, re.MULTILINE), *re.findall(r"FROM (\S+)", TEXT)]
    assert len(images) == 4
    assert [image for image in images if not re.search(r":\d+(\.\d+)+", image)] == []


def test_the_image_holds_the_airflow_that_is_tested() -> None:
    pinned = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert set(re.findall(r"airflow(?:-with-akkio)?[:=]=?(\d+\.\d+\.\d+)", TEXT)) == {pinned.group(1)}
