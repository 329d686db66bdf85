"""``CHANGELOG.md``, which has the form of Keep a Changelog."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from packaging.version import Version

from dev.stack import PROJECT

CHANGELOG = PROJECT / "CHANGELOG.md"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_RELEASE = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class Release:
    """A section of the changelog.

    :param version: the version that it is about; ``None`` for what is not released.
    :param day: when that was released.
    :param changes: what changed, by one of :data:`KINDS`.
    """

    version: Version | None
    day: date | None
    changes: dict[str, list[str]] = field(default_factory=dict)


def read_changelog(text: str) -> list[Release]:
    """Return the sections of a changelog, the newest first.

    :raises ValueError: if it has not the form of Keep a Changelog; the message names the line.
    """
    releases: list[Release] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            _read(line, releases)
        except ValueError as error:
            raise ValueError(f"CHANGELOG.md, line {number}: {error}") from None
    if not releases:
        raise ValueError("CHANGELOG.md has no section [Unreleased].")
    for release in releases:
        empty = [kind for kind, entries in release.changes.items() if not entries]
        if empty or (release.version and not release.changes):
            raise ValueError(f"CHANGELOG.md tells no change of {release.version or 'Unreleased'} {', '.join(empty)}")
    return releases


def _read(line: str, releases: list[Release]) -> None:
    if line.startswith("### "):
        _begin_kind(line.removeprefix("### "), releases)
    elif line.startswith("## "):
        releases.append(_heading(line))
        _check_order(releases)
    elif line.startswith("- "):
        if not releases or not releases[-1].changes:
            raise ValueError(f"an entry stands below one of {', '.join(KINDS)}.")
        list(releases[-1].changes.values())[-1].append(line.removeprefix("- "))


def _begin_kind(kind: str, releases: list[Release]) -> None:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}.")
    if not releases or kind in releases[-1].changes:
        raise ValueError(f"{kind!r} stands once below each version.")
    releases[-1].changes[kind] = []


def _heading(line: str) -> Release:
    if line == "## [Unreleased]":
        return Release(None, None)
    if (found := _RELEASE.fullmatch(line)) is None:
        raise ValueError(f"{line!r} is neither '## [Unreleased]' nor '## [1.2.3] - 2026-12-31'.")
    return Release(Version(found[1]), date.fromisoformat(found[2]))


def _check_order(releases: list[Release]) -> None:
    first, *others = releases
    if first.version is not None or any(one.version is None for one in others):
        raise ValueError("[Unreleased] stands once, above all versions.")
    for newer, older in pairwise(others):
        if not (newer.version and older.version and newer.day and older.day):
            continue
        if newer.version <= older.version or newer.day < older.day:
            raise ValueError(f"{older.version} is not older than {newer.version} above it.")
