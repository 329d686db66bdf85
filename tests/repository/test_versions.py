"""What ``docs/versions.md`` says is what ``make matrix`` found, and covers what is promised."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from dev.stack import PROJECT
from dev.versions import PAGE, SUPPORTED, Outcome, Part, read_outcomes, tables, with_tables

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def outcomes() -> list[Outcome]:
    """What the last run found."""
    return read_outcomes()


def test_the_tables_are_what_was_found(outcomes: list[Outcome]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, outcomes) == page


def test_what_was_found_is_of_supported_versions_and_all_was_well(outcomes: list[Outcome]) -> None:
    tested = [one.version for one in outcomes]
    assert tested == [version for version in SUPPORTED if version in tested] != []
    assert [fault for one in outcomes for fault in one.faults()] == []


def test_a_part_is_there_in_the_newest_version_and_missing_from_those_before_its_first(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        for part in Part:
            is_there = Version(outcome.version.airflow) >= part.since
            assert outcome.standing(part) == ("yes" if is_there else "no")


def test_a_version_without_an_outcome_is_told_to_be_untested(outcomes: list[Outcome]) -> None:
    lines = tables(outcomes[-1:]).splitlines()
    assert len([line for line in lines if "not tested" in line]) == len(SUPPORTED) - 1


def test_what_the_metadata_promises_is_tested() -> None:
    [airflow] = [one for one in map(Requirement, METADATA["dependencies"]) if one.name == "apache-airflow"]
    [lowest] = [Version(one.version) for one in airflow.specifier if one.operator == ">="]
    assert min(Version(one.airflow) for one in SUPPORTED).release[:2] == lowest.release[:2]
    named = {one.rpartition(" ")[2] for one in METADATA["classifiers"] if "Python :: 3." in one}
    assert named == {one.python for one in SUPPORTED}
    assert METADATA["requires-python"] == f">={min(SUPPORTED, key=lambda one: Version(one.python)).python}"


def test_a_failure_and_a_part_without_a_test_are_faults(outcomes: list[Outcome]) -> None:
    newest = outcomes[-1]
    assert "3 tests failed or were skipped" in replace(newest, failed={"the rest": 3}).faults()[0]
    assert replace(newest, passed={}).faults() == [f"{newest.version.name}: no test of {part.name}." for part in Part]
