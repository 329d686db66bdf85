"""What ``docker-compose.yaml`` says, as far as it can be done without containers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+):\?[^}]*\}|(?P<other>.))")
_HOST = re.compile(r"(?P<before>://(?:[^@/\s\"]*@)?)(?P<host>[^/:\s\"]+)(?::(?P<port>\d+))?")
READ = {"command", "depends_on", "deploy", "entrypoint", "environment", "image", "restart", "volumes"}
"""What is read of a service: of ``depends_on`` the order alone, of ``restart`` whether it is ``no``."""
LEFT_TO_DOCKER = {"build", "healthcheck", "ports", "stop_grace_period", "user"}
"""What a service may have and nobody reads: it tells how an engine makes a container, looks at it and stops it."""


class NotUnderstoodError(ValueError):
    """The file says something that is neither read nor known to be Docker's business alone."""


@dataclass(frozen=True)
class Service:
    """One of the file's services, as far as it is read; see :data:`READ` and :data:`LEFT_TO_DOCKER`.

    :param name: what the file calls it.
    :param image: what its containers are made of.
    :param entrypoint: the program and its first arguments, if not the image's own.
    :param command: the arguments that follow; of Airflow's image, those of ``airflow``.
    :param environment: its settings, variables filled in.
    :param mounts: folders of the host, relative to the file, by where a container has them.
    :param replicas: how many containers it has.
    :param goes_on: whether it is to run until it is stopped; else it does something once.
    """

    name: str
    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: Mapping[str, str]
    replicas: int
    goes_on: bool

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of its containers."""
        if self.replicas == 1:
            return (self.name,)
        return tuple(f"{self.name}-{number}" for number in range(1, self.replicas + 1))


def variables_of(text: str) -> set[str]:
    """Return the names of the variables that a file wants to be set."""
    return {found["name"] for found in _VARIABLE.finditer(text) if found["name"]}


def services_of(text: str, variables: Mapping[str, str]) -> list[Service]:
    """Return the services of a file, each behind those that it depends on.

    :param text: the file.
    :param variables: a value for each of its variables.
    :raises NotUnderstoodError: if a service has a key that is neither in :data:`READ` nor in :data:`LEFT_TO_DOCKER`,
        or more under ``deploy`` than ``replicas``.
    """
    described: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    order = TopologicalSorter({name: set(service.get("depends_on", ())) for name, service in described.items()})
    return [_service(name, described[name], variables) for name in order.static_order()]


def moved(value: str, addresses: Mapping[str, str], folders: Mapping[str, str]) -> str:
    """Return a setting with the addresses and folders that stand for those of the containers.

    :param value: the setting.
    :param addresses: host and port by the name of the service that it stands for.
    :param folders: folders by where a container has them.
    :raises NotUnderstoodError: if it has an address or a folder that is in neither.
    """
    if value.startswith("/"):
        if value not in folders:
            raise NotUnderstoodError(f"No folder stands for {value} outside of a container.")
        return folders[value]

    def move(found: re.Match[str]) -> str:
        if found["host"] not in addresses:
            raise NotUnderstoodError(f"No service is called {found['host']}, as the address in {found[0]!r} has it.")
        return found["before"] + addresses[found["host"]]

    return _HOST.sub(move, value)


def _service(name: str, described: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    if unknown := set(described) - READ - LEFT_TO_DOCKER:
        raise NotUnderstoodError(f"Service {name} has {', '.join(sorted(unknown))}.")
    if set(described.get("deploy", ())) - {"replicas"}:
        raise NotUnderstoodError(f"Service {name} has more than replicas under deploy.")
    environment = described.get("environment", {})
    return Service(
        name,
        described["image"],
        _words(described.get("entrypoint", []), variables),
        _words(described.get("command", []), variables),
        {setting: _filled(str(value), variables) for setting, value in environment.items()},
        _mounts(described.get("volumes", [])),
        described.get("deploy", {}).get("replicas", 1),
        described.get("restart") != "no",
    )


def _words(described: str | list[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command; one text is split as a shell does, once its variables are filled in."""
    if isinstance(described, str):
        return tuple(shlex.split(_filled(described, variables)))
    return tuple(_filled(word, variables) for word in described)


def _mounts(described: list[str]) -> dict[str, str]:
    """Return the mounted folders of the host; the other volumes are Docker's own."""
    parts = [volume.split(":") for volume in described]
    return {where: folder for folder, where, *_ in parts if folder.startswith(".")}


def _filled(text: str, variables: Mapping[str, str]) -> str:
    def fill(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        if found["name"] not in variables:
            raise NotUnderstoodError(f"Nothing is known for {found[0]} in {text!r}.")
        return variables[found["name"]]

    return _VARIABLE.sub(fill, text)
