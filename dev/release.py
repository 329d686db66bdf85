"""``make release``: build an sdist and a wheel of the last commit, check them and copy them to ``dist/``."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dev.processes import Program, ProgramExitedError, deferred_signals, environment_without, run_to_completion
from dev.stack import PROJECT
from dev.terminal import interruptible, stopwatch

DIST = PROJECT / "dist"
NAME, PACKAGE = "airflow-provider-akkio", "airflow_provider_akkio"
_EXTRAS = "openlineage,parquet,sandbox"
_IMPORT_ALL = f"""
import importlib, pkgutil, {PACKAGE} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""


class CheckFailedError(Exception):
    """The distributions must not be released."""


@dataclass(frozen=True)
class Runner:
    """Runs programs without the checkout and without the user's settings."""

    folder: Path

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a program and return its output; an empty environment variable is removed."""
        words = [str(word) for word in command]
        variables = environment_without("AIRFLOW_", "PYTHON") | {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "UV_CONSTRAINT": str(PROJECT / "requirements-dev.txt"),
        }
        variables = {name: value for name, value in (variables | environment).items() if value}
        log = self.folder / "output" / f"{len(list(self.folder.glob('output/*')))}.log"
        return run_to_completion(Program(" ".join(words), words, variables, log), 600)


def main() -> None:
    """Build and check the distributions."""
    say = stopwatch()
    with interruptible(status=130), ExitStack() as cleanup:
        with deferred_signals():
            folder = Path(tempfile.mkdtemp(prefix="akkio-release-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            _release(Runner(folder), say)
        except (CheckFailedError, ProgramExitedError, TimeoutError) as error:
            raise SystemExit(f"NOT RELEASED: {error}") from error


def _release(runner: Runner, say: Callable[[str], None]) -> None:
    archive, tree, built = (runner.folder / name for name in ("commit.tar", "commit", "built"))
    runner.run("git", "-C", PROJECT, "archive", "--output", archive, "HEAD")
    with tarfile.open(archive) as opened:
        opened.extractall(tree, filter="data")
    say("building the last commit")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # for uv
    runner.run(sys.executable, "-P", "-m", "build", "--installer", "uv", "--outdir", built, tree, PATH=path)
    [sdist], [wheel] = built.glob("*.tar.gz"), built.glob("*.whl")
    sources = [str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()]
    if differences := [*sdist_differences(sdist, sources), *wheel_differences(wheel, sources)]:
        raise CheckFailedError("\n".join(differences))
    runner.run(sys.executable, "-P", "-m", "twine", "check", "--strict", sdist, wheel)
    say("contents and metadata are correct; installing the wheel into an empty environment")
    version = wheel.name.split("-")[1]
    _check_installation(runner, wheel, version)
    say("Airflow discovers the provider, all modules can be imported, and no requirements conflict")
    obstacles = _obstacles(runner, tree, version)
    DIST.mkdir(exist_ok=True)
    for older in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
        older.unlink()
    for path_built in (sdist, wheel):
        shutil.copy(path_built, DIST)
        say(f"dist/{path_built.name}: {path_built.stat().st_size / 1000:,.0f} kB")
    say(f"do not upload yet: {'; '.join(obstacles)}" if obstacles else "upload with: .venv/bin/twine upload dist/*")


def sdist_differences(sdist: Path, sources: Iterable[str]) -> list[str]:
    """Return how the contents of an sdist differ from the project's files."""
    with tarfile.open(sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    return _differences(sdist, names, {*sources, "PKG-INFO"})


def wheel_differences(wheel: Path, sources: Iterable[str]) -> list[str]:
    """Return how the contents of a wheel differ from the package's files."""
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    return _differences(wheel, names, {name for name in sources if name.startswith(f"{PACKAGE}/")})


def _differences(path: Path, names: set[str], expected: set[str]) -> list[str]:
    unexpected = [f"{path.name} contains {name}, which is not expected" for name in sorted(names - expected)]
    return unexpected + [f"{path.name} does not contain {name}" for name in sorted(expected - names)]


def _check_installation(runner: Runner, wheel: Path, version: str) -> None:
    uv, programs = Path(sys.executable).with_name("uv"), runner.folder / "empty" / "bin"
    python, airflow = programs / "python", programs / "airflow"
    runner.run(uv, "venv", "--quiet", "--python", sys.executable, programs.parent)
    runner.run(uv, "pip", "install", "--quiet", "--python", python, wheel, UV_CONSTRAINT="")
    runner.run(uv, "pip", "check", "--python", python)
    for command, expected in {
        "providers list": f"{NAME}.*{version}",
        "providers hooks": f"akkio.*{PACKAGE}.hooks.akkio.AkkioHook",
        "plugins": f"akkio.*{NAME}=={version}",
    }.items():
        output = runner.run(airflow, *command.split(), "--output", "json")
        if not re.search(expected, output):
            raise CheckFailedError(f"airflow {command} does not list {expected}:\n{output[-2000:]}")
    for module in ("operators", "sensors", "triggers", "hooks"):
        runner.run(python, "-P", "-c", f"import {PACKAGE}.{module}.akkio")
    runner.run(uv, "pip", "install", "--quiet", "--python", python, f"{wheel}[{_EXTRAS}]", UV_CONSTRAINT="")
    runner.run(uv, "pip", "check", "--python", python)
    runner.run(python, "-P", "-c", _IMPORT_ALL)


def _obstacles(runner: Runner, tree: Path, version: str) -> list[str]:
    """Return what is missing for a release; with the version's tag on the commit, that is an error."""
    obstacles = []
    if f"## [{version}] - " not in (tree / "CHANGELOG.md").read_text(encoding="utf-8"):
        obstacles.append(f"CHANGELOG.md has no section for {version}")
    if runner.run("git", "-C", PROJECT, "status", "--porcelain").strip():
        obstacles.append("there are uncommitted changes")
    is_tagged = f"v{version}" in runner.run("git", "-C", PROJECT, "tag", "--points-at", "HEAD").split()
    if is_tagged and obstacles:
        raise CheckFailedError(f"the commit has the tag v{version}, but {'; '.join(obstacles)}")
    return obstacles if is_tagged else [*obstacles, f"the commit has no tag v{version}"]


if __name__ == "__main__":
    main()
