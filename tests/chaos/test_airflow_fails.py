"""A part of Airflow fails while a training is waited for, and the training ends while that part is away."""

from __future__ import annotations

import time

import pytest

from airflow_provider_akkio.exceptions import AkkioSubmissionUnknownError
from dev.processes import wait_until
from dev.stack import Stack
from tests.chaos.conftest import Case, Chaos
from tests.chaos.gate import KILLED_IN_BETWEEN

AWAY = 12.0
"""Seconds for which a part is away: longer than it takes Airflow to notice."""


def all_succeed_with_one_submission(cases: list[Case]) -> None:
    """See that each of these trainings was submitted once, and that its result arrived."""
    for case in cases:
        case.succeeds()
        assert len(case.gate.accepted) == 1


def let_end(cases: list[Case]) -> None:
    """Let trainings end from now on."""
    for case in cases:
        case.gate.is_held = False


def be_away(stack: Stack, component: str) -> None:
    """Stop a part of Airflow, and start it again."""
    stack.programs[component].stop()
    time.sleep(AWAY)
    stack.start(component)
    stack.wait_until_healthy()


def test_the_triggerer_is_killed(chaos: Chaos) -> None:
    cases = chaos.start_each("SIGKILL of the triggerer")
    chaos.stack.programs["triggerer"].kill()
    chaos.stack.start("triggerer")
    let_end(cases)
    all_succeed_with_one_submission(cases)


def test_one_of_two_triggerers_is_killed(chaos: Chaos) -> None:
    cases = chaos.start_each("SIGKILL of one of two triggerers")
    chaos.stack.start("triggerer", "second-triggerer")
    second = chaos.stack.programs["second-triggerer"]
    wait_until(lambda: "Starting the triggerer" in second.log.read_text(), "a second triggerer", 60, [second])
    chaos.stack.programs.pop("triggerer").kill()
    let_end(cases)
    all_succeed_with_one_submission(cases)
    second.stop()
    chaos.stack.programs.pop("second-triggerer")
    chaos.stack.start("triggerer")


def test_the_scheduler_is_stopped_and_started(chaos: Chaos) -> None:
    cases = chaos.start_each("the scheduler is away")
    let_end(cases)
    be_away(chaos.stack, "scheduler")
    all_succeed_with_one_submission(cases)


def test_the_api_server_is_stopped_and_started(chaos: Chaos) -> None:
    cases = chaos.start_each("the API server is away")
    let_end(cases)
    be_away(chaos.stack, "api-server")
    all_succeed_with_one_submission(cases)


def test_the_database_is_stopped_and_started(chaos: Chaos) -> None:
    cases = chaos.start_each("the database is away")
    let_end(cases)
    chaos.stack.database.stop()
    time.sleep(AWAY)
    chaos.stack.database.start()
    # A scheduler that lost its database may hang while it ends; a liveness probe would have it restarted.
    chaos.stack.programs["scheduler"].kill()
    chaos.stack.start("scheduler")
    all_succeed_with_one_submission(cases)


@pytest.mark.parametrize("force", [True, False])
def test_the_triggerer_is_killed_while_it_submits(chaos: Chaos, force: bool) -> None:
    gate = next(chaos.gates)
    gate.break_down(KILLED_IN_BETWEEN, "new")
    # Without force, a training is told apart by its parameters alone.
    ignored = [] if force else ["ash", "hue"]
    name = "SIGKILL of the triggerer before Akkio answers"
    case = chaos.start(name, "started", gate=gate, force=force, ignore_fields=ignored)
    if force:
        case.fails_with(AkkioSubmissionUnknownError.__name__)
    else:
        case.succeeds()
    assert (len(gate.accepted), case.tries) == (1 if force else 2, 1)
