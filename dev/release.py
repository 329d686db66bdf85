"""``make release``: an sdist and a wheel of what is committed, in ``dist/``, once all checks have let them pass."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.changelog import CHANGELOG, Release, read_changelog
from dev.distributions import PACKAGE, sdist_faults, version_of, wheel_faults
from dev.processes import Program, ProgramEndedError, completed, uninterrupted, wait_until
from dev.programs import foreign_environment
from dev.stack import PROJECT
from dev.terminal import interruptible, stopwatch

DIST = PROJECT / "dist"
NAME = "airflow-provider-akkio"
UPLOAD = ".venv/bin/twine upload dist/*"
"""What a person runs next."""

_EXTRAS = "openlineage,parquet,sandbox"
_IMPORTS = "import airflow_provider_akkio.{0}.akkio"
_IMPORTS_ALL = f"""
import importlib, pkgutil, {PACKAGE} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""
_GREETING = "Akkio sandbox at http://"


class CheckFailedError(Exception):
    """What was built must not be released; the message says why."""


@dataclass(frozen=True)
class Built:
    """What was built of one tree of files.

    :param sdist: the source distribution.
    :param wheel: the wheel.
    :param sources: the files that they were built of, from the project's root on.
    """

    sdist: Path
    wheel: Path
    sources: frozenset[str]


class Workshop:
    """Runs programs, none of which sees the checkout or a setting of the person who started this.

    :param folder: holds everything that they write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = foreign_environment("PYTHON") | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "UV_CONSTRAINT": str(PROJECT / "requirements-dev.txt"),  # of the tools that build, the versions known here
        }
        self._count = 0

    def run(self, command: Sequence[str | Path], seconds: float = 300, **environment: str) -> str:
        """Run a program, and return its output.

        :param command: the program and its arguments.
        :param seconds: how long it may take.
        :param environment: variables that it gets besides; an empty one is not set.
        :raises ProgramEndedError: if it fails; the message has the end of its output.
        """
        words = [str(word) for word in command]
        variables = {name: value for name, value in (self._environment | environment).items() if value}
        return completed(" ".join(words), words, variables, self._log(), seconds)

    def run_until(self, greeting: str, command: Sequence[str | Path], seconds: float = 60) -> None:
        """Run a program that goes on, and end it once it has said what shows that it is well.

        :param greeting: what it says.
        :param command: the program and its arguments.
        :param seconds: how long that may take.
        :raises ProgramEndedError: if it ends before.
        :raises TimeoutError: if it does not say so.
        """
        words, log = [str(word) for word in command], self._log()
        with ExitStack() as cleanup:
            with uninterrupted():
                program = Program.start(" ".join(words), words, self._environment, log)
                cleanup.callback(program.end)
            wait_until(lambda: greeting in log.read_text(errors="replace"), f"{greeting!r}", seconds, [program])

    def python(self, *arguments: str | Path) -> str:
        """Run this project's own Python, which does not look for modules in the current folder."""
        return self.run([sys.executable, "-P", *arguments])

    def _log(self) -> Path:
        self._count += 1
        return self.folder / "output" / f"{self._count}.log"


def main() -> None:
    """Build and check what is committed, and put it into ``dist/``."""
    say = stopwatch()
    with interruptible(status=130), ExitStack() as cleanup:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="akkio-release-"))
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            _release(Workshop(folder), say)
        except (CheckFailedError, ProgramEndedError, TimeoutError) as error:
            raise SystemExit(f"NOT RELEASED: {error}") from error


def _release(workshop: Workshop, say: Callable[[str], None]) -> None:
    commit, tree = _committed(workshop)
    say(f"building what is committed as {commit}")
    releases = _changelog(tree)
    built = _build(workshop, tree)
    _check_contents(built, say)
    workshop.python("-m", "twine", "check", "--strict", built.sdist, built.wheel)
    say("twine finds nothing wrong with their metadata")
    _check_that_the_sdist_builds_the_wheel(workshop, built)
    say("the unpacked sdist builds the same wheel, byte for byte")
    say("installing the wheel into an empty environment (a minute, if nothing is in uv's cache)")
    _check_installed(workshop, built.wheel, say)
    instruction = _what_is_next(workshop, releases, version_of(built.wheel).public)
    _put_into_dist(built)
    say(f"{built.sdist.name} and {built.wheel.name} are in dist/")
    say(instruction)


def _committed(workshop: Workshop) -> tuple[str, Path]:
    """Return which commit it is, and a folder with its files."""
    git = ("git", "-C", PROJECT)
    if not (PROJECT / ".git").exists():
        raise CheckFailedError("it is made of what is committed, and this folder is no clone of the repository.")
    archive, tree = workshop.folder / "committed.tar", workshop.folder / "committed"
    workshop.run([*git, "archive", "--output", archive, "HEAD"])
    with tarfile.open(archive) as opened:
        opened.extractall(tree, filter="data")
    return workshop.run([*git, "rev-parse", "--short", "HEAD"]).strip(), tree


def _changelog(tree: Path) -> list[Release]:
    try:
        return read_changelog((tree / CHANGELOG.name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckFailedError(str(error)) from error


def _build(workshop: Workshop, tree: Path) -> Built:
    sources = frozenset(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    built = workshop.folder / "built"
    _build_isolated(workshop, "--sdist", "--wheel", "--outdir", built, tree)
    [sdist], [wheel] = built.glob("*.tar.gz"), built.glob("*.whl")
    return Built(sdist, wheel, sources)


def _build_isolated(workshop: Workshop, *arguments: str | Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # uv is in the first
    workshop.run([sys.executable, "-P", "-m", "build", "--installer", "uv", *arguments], PATH=path)


def _check_contents(built: Built, say: Callable[[str], None]) -> None:
    faults = sdist_faults(built.sdist, built.sources) + wheel_faults(built.wheel, built.sources)
    if faults:
        raise CheckFailedError("\n".join(faults))
    for path, what in ((built.sdist, "all that is committed"), (built.wheel, "the package alone, without a test")):
        say(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB; it holds {what}")


def _check_that_the_sdist_builds_the_wheel(workshop: Workshop, built: Built) -> None:
    unpacked, again = workshop.folder / "unpacked", workshop.folder / "again"
    with tarfile.open(built.sdist) as opened:
        opened.extractall(unpacked, filter="data")
    [tree] = unpacked.iterdir()
    _build_isolated(workshop, "--wheel", "--outdir", again, tree)
    if (again / built.wheel.name).read_bytes() != built.wheel.read_bytes():
        raise CheckFailedError(
            "the sdist builds another wheel than what is committed; is a file generated or left out?"
        )


def _check_installed(workshop: Workshop, wheel: Path, say: Callable[[str], None]) -> None:
    uv, programs = Path(sys.executable).parent / "uv", workshop.folder / "empty" / "bin"
    python = programs / "python"
    workshop.run([uv, "venv", "--quiet", "--python", sys.executable, programs.parent])
    workshop.run([uv, "pip", "install", "--quiet", "--python", python, wheel], 600, UV_CONSTRAINT="")
    workshop.run([uv, "pip", "check", "--python", python])
    _check_discovered(workshop, programs / "airflow", version_of(wheel).public)
    airflow = workshop.run([programs / "airflow", "version"]).split()[-1]
    say(f"Airflow {airflow} discovers the provider, its hook and its plugin there")
    for part in ("operators", "sensors", "triggers", "hooks"):
        workshop.run([python, "-P", "-c", _IMPORTS.format(part)])
    workshop.run([python, "-P", "-m", f"{PACKAGE}.report", "--help"])
    workshop.run([uv, "pip", "install", "--quiet", "--python", python, f"{wheel}[{_EXTRAS}]"], 600, UV_CONSTRAINT="")
    workshop.run([uv, "pip", "check", "--python", python])
    workshop.run([python, "-P", "-c", _IMPORTS_ALL])
    workshop.run_until(_GREETING, [python, "-P", "-m", f"{PACKAGE}.sandbox", "--port", "0", "--pace", "0"])
    say("its operators and its report start, and with the extras all of it; no requirement contradicts another")


def _check_discovered(workshop: Workshop, airflow: Path, version: str) -> None:
    """Ask Airflow's command line, as a person would."""
    expected: dict[str, dict[str, str]] = {
        "providers list": {"package_name": NAME, "version": version},
        "providers hooks": {"connection_type": "akkio", "class": f"{PACKAGE}.hooks.akkio.AkkioHook"},
        "plugins": {"name": "akkio", "source": f"{NAME}=={version}"},
    }
    for command, entry in expected.items():
        shown = _json_of(workshop.run([airflow, *command.split(), "--output", "json"]))
        if not any(all(value in str(one.get(name)) for name, value in entry.items()) for one in shown):
            raise CheckFailedError(f"airflow {command} does not show {entry}, but {json.dumps(shown)[:2000]}")


def _json_of(output: str) -> list[dict[str, Any]]:
    """Return the list that Airflow prints; a warning may stand beside it."""
    lines = [line for line in output.splitlines() if line.startswith("[{")]
    return list(json.loads(lines[-1])) if lines else []


def _put_into_dist(built: Built) -> None:
    DIST.mkdir(exist_ok=True)
    for older in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
        older.unlink()
    for path in (built.sdist, built.wheel):
        shutil.copy(path, DIST)


def _what_is_next(workshop: Workshop, releases: list[Release], version: str) -> str:
    """Return what a person does next, or what stands between a trial and a release; a tag says that it is no trial."""
    git = ("git", "-C", PROJECT)
    missing = []
    if version not in [str(one.version) for one in releases]:
        missing.append(f"CHANGELOG.md has no heading for {version}")
    if changed := workshop.run([*git, "status", "--porcelain"]).splitlines():
        missing.append(f"{len(changed)} changes are not committed, and not in it")
    is_tagged = f"v{version}" in workshop.run([*git, "tag", "--points-at", "HEAD"]).split()
    if is_tagged and missing:
        raise CheckFailedError(f"the tag v{version} is at this commit, but {'; '.join(missing)}")
    if not is_tagged:
        missing.append(f"no tag v{version} is at this commit")
    return f"not to be uploaded yet: {'; '.join(missing)}" if missing else f"to be uploaded with: {UPLOAD}"


if __name__ == "__main__":
    main()
