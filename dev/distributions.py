"""What a wheel and an sdist of this project hold, and what they must not."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path, PurePosixPath

from packaging.utils import parse_wheel_filename
from packaging.version import Version

PACKAGE = "airflow_provider_akkio"
MOST_WHEEL_BYTES = 300_000
"""A wheel that is larger holds something that it should not."""

_LINK_TO_A_FILE = re.compile(r"\]\((?!https?:|#)[^()\s]+\)")
_NAME_OF_A_TEST = re.compile(r"tests?|test_.*|.*_test\.py|conftest\.py")


def version_of(wheel: Path) -> Version:
    """Return the version that a wheel is of."""
    return parse_wheel_filename(wheel.name)[1]


def wheel_faults(wheel: Path, sources: Iterable[str]) -> list[str]:
    """Return what is wrong with a wheel, a sentence each.

    :param wheel: the wheel.
    :param sources: the files of which the project is made, from its root on.
    """
    with zipfile.ZipFile(wheel) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    about = f"{PACKAGE}-{version_of(wheel)}.dist-info"
    described = {name for name in held if name.startswith(f"{about}/")}
    expected = {name for name in sources if name.startswith(f"{PACKAGE}/")}
    faults = _differences("The wheel", set(held) - described, expected)
    faults += [f"The wheel holds a test: {name}." for name in sorted(held) if _is_test(name)]
    needed = {
        f"{PACKAGE}/py.typed",
        *(f"{about}/{name}" for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")),
    }
    faults += [f"The wheel lacks {name}." for name in sorted(needed - set(held))]
    description = str(message_from_bytes(held.get(f"{about}/METADATA", b"")).get_payload())
    faults += [
        f"The wheel's description has a link to a file: {link}." for link in _LINK_TO_A_FILE.findall(description)
    ]
    if (size := wheel.stat().st_size) > MOST_WHEEL_BYTES:
        faults.append(f"The wheel has {size:,} bytes, more than {MOST_WHEEL_BYTES:,}.")
    return faults


def sdist_faults(sdist: Path, sources: Iterable[str]) -> list[str]:
    """Return what is wrong with an sdist, a sentence each.

    :param sdist: the sdist.
    :param sources: the files of which the project is made, from its root on.
    """
    with tarfile.open(sdist) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    return _differences("The sdist", held, {*sources, "PKG-INFO"})


def _differences(what: str, held: set[str], expected: set[str]) -> list[str]:
    too_many = [f"{what} holds {name}, which is not part of the project." for name in sorted(held - expected)]
    return too_many + [f"{what} lacks {name}." for name in sorted(expected - held)]


def _is_test(name: str) -> bool:
    return any(_NAME_OF_A_TEST.fullmatch(part) for part in PurePosixPath(name).parts)
