"""What ``make matrix`` installs, and how it counts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from dev import matrix
from dev.distributions import PACKAGE
from dev.matrix import Trial, not_lowest
from dev.processes import Program
from dev.stack import PROJECT
from dev.versions import AIRFLOW, NEWEST, OLDEST, SUPPORTED, USUAL, Outcome, Part, Version, write_outcome
from tests.tally import REST, Tally
from tests.versions import is_for_this_airflow, lacks, needs, not_in, since

OTHERS = ("0.1", "99.0")
RESOLVED = (PROJECT / "requirements-dev.txt").read_text(encoding="utf-8")


def item(name: str, *marks: pytest.MarkDecorator) -> Any:
    """A test with marks, as pytest has it."""
    found = [one.mark for one in marks]
    return SimpleNamespace(nodeid=name, iter_markers=lambda wanted: [one for one in found if one.name == wanted])


def report(name: str, outcome: str, when: str = "call") -> Any:
    """What pytest says of a phase of a test."""
    return SimpleNamespace(
        nodeid=name, when=when, failed=outcome == "failed", skipped=outcome == "skipped", passed=outcome == "passed"
    )


@pytest.fixture
def counts(tmp_path: Path) -> Any:
    """Counts what became of four tests of a part, and one of none."""

    def count(*reports: Any) -> dict[str, Any]:
        tally = Tally(tmp_path / "outcome.json")
        items = [item(name, needs(Part.PAGES)) for name in "abcd"] + [item("e")]
        tally.pytest_collection_finish(SimpleNamespace(items=items))  # type: ignore[arg-type] # stands in for a session
        for one in reports:
            tally.pytest_runtest_logreport(one)
        tally.pytest_sessionfinish()
        return dict(json.loads((tmp_path / "outcome.json").read_text()))

    return count


def test_what_passed_and_what_did_not_are_counted_by_part(counts: Any) -> None:
    told = counts(
        report("a", "passed", "setup"),
        report("a", "passed"),
        report("b", "failed"),
        report("c", "failed", "setup"),
        report("d", "skipped", "setup"),
        report("e", "passed"),
    )
    assert told["passed"] == {"needs PAGES": 1, REST: 1}
    assert told["failed"] == {"needs PAGES": 3}
    assert told["total"] == 2


def test_a_test_that_fails_after_it_has_passed_is_counted_as_failed(counts: Any) -> None:
    assert counts(report("a", "passed"), report("a", "failed", "teardown"))["failed"] == {"needs PAGES": 1}


def test_a_module_that_leaves_itself_out_is_a_failure(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "outcome.json")
    tally.pytest_collectreport(report("module", "skipped"))
    tally.pytest_sessionfinish()
    assert json.loads((tmp_path / "outcome.json").read_text())["failed"] == {REST: 1}


def test_a_test_is_left_out_where_its_part_is_missing_or_there() -> None:
    here, missing = Part.PAGES, SimpleNamespace(is_here=False)
    assert is_for_this_airflow(item("a", needs(here)))
    assert not is_for_this_airflow(item("a", lacks(here)))
    assert not is_for_this_airflow(item("a", needs(missing)))  # type: ignore[arg-type] # no part is missing from this Airflow
    assert is_for_this_airflow(item("a", lacks(missing)))  # type: ignore[arg-type] # likewise, so one stands in for it
    assert [is_for_this_airflow(item("a", since(version))) for version in OTHERS] == [True, False]
    this = f"{AIRFLOW.major}.{AIRFLOW.minor}"
    assert [is_for_this_airflow(item("a", not_in(version))) for version in (*OTHERS, this)] == [True, True, False]


def test_an_environment_that_is_newer_than_the_oldest_is_told() -> None:
    assert [one.split()[0] for one in not_lowest(RESOLVED) if one.startswith("requests ")] == ["requests"]
    bounds = [line.replace(" is ", "==") for line in not_lowest(RESOLVED)]
    assert len(bounds) > 5


@pytest.mark.parametrize("has_git", [True, False])
def test_the_tests_find_no_package_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool) -> None:
    if not has_git:
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    sources, checkout = tmp_path / "sources", tmp_path / "checkout"
    matrix._copy_project(sources)
    assert (sources / PACKAGE / "__init__.py").exists()
    assert not (sources / ".venv").exists()
    matrix._copy_without_package(sources, checkout)
    assert (checkout / "tests" / "conftest.py").exists()
    assert (checkout / "README.md").exists()
    assert not (checkout / PACKAGE).exists()


@pytest.mark.parametrize("beside", sorted({one.beside for one in SUPPORTED}))
def test_each_way_of_choosing_the_versions_is_told_and_is_one_of_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    version = next(one for one in SUPPORTED if one.beside == beside)
    monkeypatch.setattr(matrix, "_constraints", lambda _: None)
    how, options = Trial(version, tmp_path, tmp_path, tmp_path / "wheel")._choice()
    assert how.startswith(beside if beside in (NEWEST, OLDEST) else "newest of 20")
    assert ("--exclude-newer" in options) is (beside != NEWEST)


def test_airflows_constraints_are_taken_where_they_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_constraints", lambda _: "attrs==1.0")
    version = next(one for one in SUPPORTED if one.beside not in (NEWEST, OLDEST))
    how, (option, path) = Trial(version, tmp_path, tmp_path, tmp_path / "wheel")._choice()
    assert (how, option) == ("Airflow's constraints", "--constraint")
    assert Path(path).read_text() == "attrs==1.0"


@pytest.mark.parametrize(
    ("arguments", "tested", "is_kept"),
    [
        ([], USUAL, True),
        ([one.name for one in SUPPORTED], SUPPORTED, True),
        (["3.3.2/3.14"], SUPPORTED[-1:], False),
        (["3.3.2/3.14", "--keep"], SUPPORTED[-1:], True),
    ],
)
def test_a_version_whose_python_may_be_missing_is_tested_only_if_it_is_named(
    arguments: list[str], tested: tuple[Version, ...], is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Mock(return_value=[])
    monkeypatch.setattr(matrix, "_test", seen)
    matrix.main(arguments)
    versions, _, keep = seen.call_args.args
    assert tuple(versions) == tested
    assert (keep is write_outcome) is is_kept
    assert {one.python for one in SUPPORTED} - {one.python for one in USUAL} == {"3.14"}


def test_tests_that_break_off_are_a_fault(tmp_path: Path) -> None:
    program = Program.start("tests", ("echo", "broke off here"), {}, tmp_path / "tests.log")
    running = matrix.Running(SUPPORTED[0], OLDEST, program, tmp_path / "outcome.json", 0.0)
    program.process.wait(60)
    outcome, faults = running.judge()
    assert outcome is None
    assert "the tests broke off" in faults[0]
    assert "broke off here" in faults[1]


def test_counts_of_another_version_are_refused(counts: Any, tmp_path: Path) -> None:
    counts(report("a", "passed"))
    with pytest.raises(ValueError, match=r"the tests of 1\.0/3\.11 ran on Airflow"):
        Outcome.read(Version("1.0", "3.11"), NEWEST, tmp_path / "outcome.json")
