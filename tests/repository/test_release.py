"""``make release`` says why it does not release, and leaves nothing behind; no test goes over the network."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from airflow_provider_akkio import __version__
from dev import release
from dev.changelog import read_changelog
from dev.processes import ProgramEndedError
from dev.release import CheckFailedError, Workshop
from dev.stack import PROJECT
from tests.repository.test_demo import program, read_until

HEADING = f"## [{__version__}] - 2026-12-31\n\n### Added\n\n- A thing.\n"
SHOWN = {
    "providers list": [{"package_name": "airflow-provider-akkio", "version": "1.2.3"}],
    "providers hooks": [{"connection_type": "akkio", "class": "airflow_provider_akkio.hooks.akkio.AkkioHook"}],
    "plugins": [{"name": "other", "source": "x"}, {"name": "akkio", "source": "airflow-provider-akkio==1.2.3: entry"}],
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a program's temporary files go."""
    with tempfile.TemporaryDirectory(prefix="akkio-release-test-") as path:
        yield Path(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the programs of this one, of which nothing is committed."""
    path = tmp_path / "project"
    shutil.copytree(PROJECT / "dev", path / "dev", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CHANGELOG.md", "pyproject.toml", "requirements-dev.txt"):
        shutil.copy(PROJECT / name, path)
    return path


def git(project: Path, *arguments: str) -> None:
    program = shutil.which("git")
    assert program
    person = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    subprocess.run([program, "-C", project, *person, *arguments], check=True, capture_output=True)


def commit(project: Path) -> None:
    git(project, "init")
    git(project, "add", "--all")
    git(project, "commit", "--message", "All of it")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "workshop")


def test_ctrl_c_leaves_nothing_behind(folder: Path, project: Path) -> None:
    commit(project)
    with program("dev.release", folder, project) as running:
        read_until(running, "building what is committed as")
        running.send_signal(signal.SIGINT)
        read_until(running, "interrupted; everything that was started has been ended")
        assert running.wait(60) == 130
    assert not (project / "dist").exists()


def refusal(folder: Path, project: Path) -> str:
    """Return why a project is not released; its program has left nothing behind."""
    with program("dev.release", folder, project, stderr=subprocess.STDOUT) as running:
        said = read_until(running, "NOT RELEASED")
        assert running.wait(60) == 1
    return said


def test_a_folder_that_is_no_clone_is_refused(folder: Path, project: Path) -> None:
    assert "this folder is no clone of the repository" in refusal(folder, project)


def test_a_changelog_of_another_form_is_refused_as_it_is_committed(folder: Path, project: Path) -> None:
    changelog = project / "CHANGELOG.md"
    rightly = changelog.read_text(encoding="utf-8")
    changelog.write_text(rightly.replace("### Added", "### Improved"), encoding="utf-8")
    commit(project)
    changelog.write_text(rightly, encoding="utf-8")
    assert "'Improved' is none of Added" in refusal(folder, project)


def next_step(workshop: Workshop, changelog: str) -> str:
    return release._what_is_next(workshop, read_changelog(changelog), __version__)


def test_it_says_what_an_upload_waits_for(project: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "PROJECT", project)
    commit(project)
    (project / "notes").write_text("not committed")
    unreleased, changed = f"CHANGELOG.md has no heading for {__version__}", "1 changes are not committed, and not in it"
    assert next_step(workshop, "## [Unreleased]\n") == (
        f"not to be uploaded yet: {unreleased}; {changed}; no tag v{__version__} is at this commit"
    )
    git(project, "tag", f"v{__version__}")
    with pytest.raises(CheckFailedError, match=re.escape(f"is at this commit, but {unreleased}; {changed}")):
        next_step(workshop, "## [Unreleased]\n")
    (project / "notes").unlink()
    assert next_step(workshop, f"## [Unreleased]\n\n{HEADING}") == f"to be uploaded with: {release.UPLOAD}"


def test_a_program_that_goes_on_is_ended_once_it_is_well(workshop: Workshop) -> None:
    workshop.run_until("I am well", ["sh", "-c", "echo I am well; sleep 600"])
    assert [one for one in psutil.Process().children(recursive=True) if "I am well" in " ".join(one.cmdline())] == []
    with pytest.raises(ProgramEndedError, match="I am ill"):
        workshop.run_until("I am well", ["sh", "-c", "echo I am ill; exit 3"])


def airflow_that_shows(shown: dict[str, list[dict[str, str]]], path: Path) -> Path:
    cases = "\n".join(f"'{command}'*) echo '{json.dumps(entries)}' ;;" for command, entries in shown.items())
    path.write_text(f'#!/bin/sh\necho "[2026-12-31] a warning"\ncase "$*" in\n{cases}\nesac\n')
    path.chmod(0o755)
    return path


def test_what_airflow_shows_is_discovered(workshop: Workshop, tmp_path: Path) -> None:
    release._check_discovered(workshop, airflow_that_shows(SHOWN, tmp_path / "airflow"), "1.2.3")


@pytest.mark.parametrize("command", SHOWN)
def test_what_airflow_does_not_show_is_not_released(workshop: Workshop, tmp_path: Path, command: str) -> None:
    for entries in ([], [dict.fromkeys(entry, "another") for entry in SHOWN[command]]):
        airflow = airflow_that_shows({**SHOWN, command: entries}, tmp_path / "airflow")
        with pytest.raises(CheckFailedError, match=f"airflow {command} does not show"):
            release._check_discovered(workshop, airflow, "1.2.3")


def test_another_version_is_not_what_was_installed(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="airflow providers list does not show"):
        release._check_discovered(workshop, airflow_that_shows(SHOWN, tmp_path / "airflow"), "1.2.4")


def test_a_program_that_fails_is_told_with_what_it_said(workshop: Workshop) -> None:
    with pytest.raises(ProgramEndedError, match=r"twine --nothing ended with status 2:\nusage: twine"):
        workshop.python("-m", "twine", "--nothing")


def test_a_program_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    with pytest.raises(TimeoutError, match="did not end within 0 s"):
        workshop.run(["sleep", "600"], seconds=0)
    assert [one for one in psutil.Process().children(recursive=True) if one.name() == "sleep"] == []
