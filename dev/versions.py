"""The versions of Airflow and Python that are supported, what they lack, and the page that tells what works where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Self

from packaging.version import parse

from dev.stack import PROJECT

PAGE = PROJECT / "docs" / "versions.md"
OUTCOMES = Path(__file__).with_name("versions.json")
"""What the last ``make matrix`` found; :data:`PAGE` is made of it."""

AIRFLOW = parse(parse(installed_version("apache-airflow")).base_version)
"""The version of the Airflow that is installed here."""

OLDEST, CONSTRAINED, NEWEST = "oldest", "constrained", "newest"
_BEGIN, _END = "<!-- found by make matrix -->", "<!-- until here -->"


@dataclass(frozen=True)
class Version:
    """An Airflow, a Python, and how the versions of all else are chosen.

    :param airflow: its version.
    :param python: its version.
    :param beside: how what this package requires is chosen: ``newest``, ``oldest`` that ``pyproject.toml`` allows, or
        ``constrained`` by Airflow's own constraints.
    :param released: a day soon after that Airflow was released, for what its constraints say where they cannot be had.
    """

    airflow: str
    python: str
    beside: str = NEWEST
    released: str | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.airflow}/{self.python}"


SUPPORTED = (
    Version("2.11.0", "3.11", OLDEST, "2025-11-30"),
    Version("2.11.2", "3.11", CONSTRAINED, "2026-03-28"),
    Version("3.0.6", "3.11", CONSTRAINED, "2025-09-12"),
    Version("3.1.8", "3.11", CONSTRAINED, "2026-03-25"),
    Version("3.2.2", "3.11", CONSTRAINED, "2026-06-12"),
    Version("3.3.2", "3.11"),
    Version("3.3.2", "3.12"),
    Version("3.3.2", "3.13"),
    Version("3.3.2", "3.14"),
)
USUAL = tuple(one for one in SUPPORTED if one.python != "3.14")
"""What ``make matrix`` tests unless others are named: not each machine has Python 3.14."""


class Part(Enum):
    """A part of Airflow that this package makes use of where it is there.

    :param since: the first version of Airflow that has it.
    :param gives: what it gives to a user.
    :param instead: what an older Airflow does.
    """

    EXECUTION_TIMEOUT = (
        "3.0",
        "an `execution_timeout` that ends a deferred wait says which training goes on",
        "Airflow's own error; the log has the training's id",
    )
    STATUS = ("3.1", "`akkio_status` while the triggerer waits", "`akkio_status` is left by workers alone")
    PAGES = ("3.1.1", "the tab *Akkio*, the page *Akkio trainings*, the link to the tab", "a link to Akkio alone")
    FORM_OF_PROVIDER = ("3.2", "the connection's form from the provider's own description", "the form from the hook")
    TASK_STATE_STORE = (
        "3.3",
        "a later try goes on with the training, or the upload, of an earlier one",
        "each try submits anew; an append that broke off is not tried again",
    )
    ENDS_IN_TRIGGERER = (
        "3.3",
        "`end_from_trigger` and `start_from_trigger`",
        "workers do it, and the log says why",
    )

    def __init__(self, since: str, gives: str, instead: str) -> None:
        self.since = parse(since)
        self.gives = gives
        self.instead = instead

    @property
    def is_here(self) -> bool:
        """Whether the Airflow that is installed has it."""
        return self.since <= AIRFLOW


@dataclass(frozen=True)
class Outcome:
    """What became of the tests with one version.

    :param version: which.
    :param beside: how what is beside that Airflow was chosen.
    :param passed: how many tests passed, by what they are of: ``needs``, or ``lacks``, and the name of a part.
    :param failed: how many failed, or were skipped.
    :param total: how many tests passed in all.
    :param left_out: how many tests are of other versions, or of the repository itself.
    """

    version: Version
    beside: str
    passed: Mapping[str, int]
    failed: Mapping[str, int]
    total: int
    left_out: int

    @classmethod
    def read(cls, version: Version, beside: str, path: Path) -> Self:
        """Read what ``pytest --outcome`` wrote.

        :param version: what the tests ran with.
        :param beside: how what is beside that Airflow was chosen.
        :param path: the file.
        :raises OSError: if there is none.
        :raises ValueError: if it cannot be read, or the tests ran with something else.
        """
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["airflow"] != version.airflow or not told["python"].startswith(f"{version.python}."):
            raise ValueError(f"the tests of {version.name} ran on Airflow {told['airflow']}, Python {told['python']}")
        return cls._of(version, beside, told)

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Take it from an entry of :data:`OUTCOMES`."""
        return cls._of(Version(**entry["version"]), entry["beside"], entry)

    @classmethod
    def _of(cls, version: Version, beside: str, told: Mapping[str, Any]) -> Self:
        return cls(version, beside, **{name: told[name] for name in ("passed", "failed", "total", "left_out")})

    def standing(self, part: Part) -> str:
        """Return how a part stands with this version, for the table."""
        is_there = part.since <= parse(self.version.airflow)
        mark = f"{'needs' if is_there else 'lacks'} {part.name}"
        if self.failed.get(mark):
            return "**fails**"
        if not self.passed.get(mark):
            return "not tested"
        return "yes" if is_there else "no"

    def faults(self) -> list[str]:
        """Return what is wrong, a sentence each."""
        untested = [part for part in Part if self.standing(part) == "not tested"]
        faults = [f"{self.version.name}: no test of {part.name}." for part in untested]
        if count := sum(self.failed.values()):
            faults.append(f"{self.version.name}: {count} tests failed or were skipped.")
        return faults


def read_outcomes() -> list[Outcome]:
    """Return what was found last of each version."""
    if not OUTCOMES.exists():
        return []
    return [Outcome.from_entry(entry) for entry in json.loads(OUTCOMES.read_text(encoding="utf-8"))]


def write_outcome(found: Outcome) -> None:
    """Keep what was found of a version in the place of what was found of it before, and make the page of it."""
    known = {one.version: one for one in (*read_outcomes(), found)}
    outcomes = [known[version] for version in SUPPORTED if version in known]
    OUTCOMES.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), outcomes), encoding="utf-8")


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return the tables of what works where, as Markdown.

    :param outcomes: of each version with which all was well; the others are told to be untested.
    """
    standings = [["Airflow", "Python", "all else", *(part.gives for part in Part), "tests passed"]]
    found = {one.version: one for one in outcomes}
    for version in SUPPORTED:
        if one := found.get(version):
            cells = [one.beside, *map(one.standing, Part), f"{one.total:,}"]
        else:
            cells = [version.beside, *["not tested"] * len(Part), "0"]
        standings.append([version.airflow, version.python, *cells])
    fallbacks = [["what older versions lack", "there since", "before"]]
    fallbacks += [[part.gives, str(part.since), part.instead] for part in Part]
    return f"{_table(standings)}\n\n{_table(fallbacks)}\n"


def with_tables(page: str, outcomes: Sequence[Outcome]) -> str:
    """Return a page with the tables at their place.

    :param page: the page, with whatever tables it has.
    :param outcomes: one for each version.
    """
    before, begins, rest = page.partition(_BEGIN)
    _, ends, after = rest.partition(_END)
    if not (begins and ends):
        raise ValueError(f"{PAGE.name} has no place for the tables, from {_BEGIN} to {_END}")
    return f"{before}{_BEGIN}\n\n{tables(outcomes)}\n{_END}{after}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *others))
