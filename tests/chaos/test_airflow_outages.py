"""Trainings that end while a component of Airflow is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from dev.processes import wait_until
from tests.chaos.conftest import Case, Chaos

OUTAGE_SECONDS = 12.0
"""Duration of an outage: it exceeds the health check threshold of Airflow."""


def check_outage(chaos: Chaos, fault: str, cause_outage: Callable[[], None]) -> None:
    """Let trainings end during an outage; check that each succeeds with one submission."""
    cases = chaos.start_polling(fault)
    release(cases)
    cause_outage()
    check_single_submissions(cases)


def release(cases: list[Case]) -> None:
    """Let trainings end."""
    for case in cases:
        case.gate.is_held = False


def check_single_submissions(cases: list[Case]) -> None:
    for case in cases:
        case.check_success()
        assert len(case.gate.accepted) == 1


def test_killed_triggerer_loses_no_training(chaos: Chaos) -> None:
    cases = chaos.start_polling("SIGKILL of the triggerer")
    chaos.stack.programs["triggerer"].kill()
    chaos.stack.start("triggerer")
    release(cases)
    check_single_submissions(cases)


def test_second_triggerer_takes_over_the_trainings_of_a_killed_one(chaos: Chaos) -> None:
    cases = chaos.start_polling("SIGKILL of one of two triggerers")
    programs = chaos.stack.programs
    chaos.stack.start("triggerer", "second-triggerer")
    second = programs["second-triggerer"]
    wait_until(lambda: "Starting the triggerer" in second.output(), "start of a second triggerer", 300, [second])
    programs.pop("triggerer").kill()
    release(cases)
    check_single_submissions(cases)
    programs.pop("second-triggerer").stop()
    chaos.stack.start("triggerer")


@pytest.mark.parametrize(("component", "name"), [("scheduler", "scheduler"), ("api-server", "API server")])
def test_restarted_component_loses_no_training(chaos: Chaos, component: str, name: str) -> None:
    def restart() -> None:
        chaos.stack.programs[component].stop()
        time.sleep(OUTAGE_SECONDS)
        chaos.stack.start(component)
        chaos.stack.wait_until_healthy()

    check_outage(chaos, f"{name} unavailable", restart)


def test_restarted_database_loses_no_training(chaos: Chaos) -> None:
    def restart() -> None:
        chaos.stack.database.stop()
        time.sleep(OUTAGE_SECONDS)
        chaos.stack.database.start()
        # A scheduler may hang after the loss of its database; in production, a liveness probe restarts it.
        chaos.stack.programs["scheduler"].kill()
        chaos.stack.start("scheduler")

    check_outage(chaos, "database unavailable", restart)
