"""Faults of single trainings: Akkio is unavailable for a minute, a worker is killed, or the task is cleared.

All cases start before the first one is checked, so that their faults overlap.
"""

from __future__ import annotations

from itertools import product

import pytest

from airflow_provider_akkio.exceptions import AkkioSubmissionUnknownError
from tests.chaos.conftest import Case, Chaos
from tests.chaos.gate import ERROR, KILLING, MINUTE, OUTAGES, REFUSING, THROTTLING, Fault
from tests.scripted import last_part

Cases = dict[tuple[object, ...], Case]

WAITS = ("deferrable", "blocking")
RESULT_OUTAGES = (REFUSING, ERROR)
IGNORED_FIELDS = ("alcohol", "malic_acid", "ash", "magnesium", "flavanoids", "hue", "proline", "total_phenols")
"""Each submission without ``force`` ignores another field: Akkio returns the same model for the same parameters."""

each_wait = pytest.mark.parametrize("wait", WAITS)
each_outage = pytest.mark.parametrize("fault", OUTAGES, ids=lambda fault: fault.name)


@pytest.fixture(scope="module")
def cases(chaos: Chaos) -> Cases:
    """All cases, started."""
    started: Cases = {}
    for fault, wait in product(OUTAGES, WAITS):
        gate = next(chaos.gates)
        gate.break_down(fault, "status", "result")
        started["polls", fault, wait] = chaos.start(f"one minute of {fault.name}", wait, gate=gate)
    for fault, wait in product(RESULT_OUTAGES, WAITS):
        gate = next(chaos.gates)
        gate.break_down(fault, "result")
        started["result", fault, wait] = chaos.start(f"result, one minute of {fault.name}", wait, gate=gate)
    for (number, fault), force in product(enumerate((*OUTAGES, KILLING)), (True, False)):
        gate = next(chaos.gates)
        if fault is REFUSING:
            gate.refuse()
        else:
            gate.break_down(fault, "new")
        name = f"{fault.name} before Akkio responds" if fault is KILLING else f"submission, one minute of {fault.name}"
        ignored = [] if force else [IGNORED_FIELDS[number]]
        started["submission", fault, force] = chaos.start(name, gate=gate, force=force, ignore_fields=ignored)
    for victim, wait in product(("task", "worker"), WAITS):
        name = f"SIGKILL of the {victim} after the submission"
        started["killed", victim, wait] = chaos.start(name, wait, victim=victim)
    for wait in WAITS:
        started["cleared", "polling", wait] = chaos.start("task cleared while it waits", wait, gate=chaos.held_gate())
        started["cleared", "finished", wait] = chaos.start("task cleared after its success", wait)
    for force in (True, False):
        case = started["submission", REFUSING, force]
        case.wait_until_started()
        case.gate.recover_after(MINUTE)
    return started


@each_wait
def test_task_cleared_while_it_waits_reattaches(cases: Cases, wait: str) -> None:
    case = cases["cleared", "polling", wait]
    case.wait_until_polling()
    case.clear()
    case.gate.is_held = False
    case.check_success()
    assert (len(case.gate.accepted), case.attempts) == (1, 2)


@each_wait
def test_task_cleared_after_its_success_trains_again(cases: Cases, wait: str) -> None:
    case = cases["cleared", "finished", wait]
    assert case.wait_until_finished() == "success"
    case.clear()
    case.check_success(trainings=2)
    assert (len(case.gate.accepted), case.attempts) == (2, 2)


@each_outage
@each_wait
def test_outage_does_not_end_the_wait(cases: Cases, fault: Fault, wait: str) -> None:
    case = cases["polls", fault, wait]
    case.check_success()
    assert (len(case.gate.accepted), case.attempts) == (1, 1)
    assert case.gate.faulty_requests > 0


@pytest.mark.parametrize("fault", RESULT_OUTAGES, ids=lambda fault: fault.name)
@each_wait
def test_unavailable_result_is_fetched_later(cases: Cases, fault: Fault, wait: str) -> None:
    case = cases["result", fault, wait]
    case.check_success()
    assert (len(case.gate.accepted), case.attempts) == (1, 1)
    assert case.gate.faulty_requests > 0
    endpoints = [last_part(request.path) for request in case.gate.received]
    assert "status" not in endpoints[endpoints.index("result") :]  # it is known that the training has succeeded


@each_outage
def test_forced_submission_is_never_repeated_after_an_unknown_outcome(cases: Cases, fault: Fault) -> None:
    case = cases["submission", fault, True]
    if fault in (REFUSING, THROTTLING):
        case.check_success()
    else:
        case.check_failure(AkkioSubmissionUnknownError)
        assert case.attempts == 1
    assert len(case.gate.accepted) == 1
    assert was_affected(case, fault)


@each_outage
def test_submission_without_force_is_repeated_and_trains_once(cases: Cases, fault: Fault) -> None:
    case = cases["submission", fault, False]
    case.check_success()
    assert was_affected(case, fault)


def was_affected(case: Case, fault: Fault) -> bool:
    """Return whether the fault met the submission; refused connections reach no gate, so only attempts show them."""
    return case.gate.faulty_requests > 0 or (fault is REFUSING and case.attempts > 1)


@pytest.mark.parametrize("victim", ["task", "worker"])
@each_wait
def test_retry_of_a_killed_task_reattaches(cases: Cases, victim: str, wait: str) -> None:
    case = cases["killed", victim, wait]
    case.check_success()
    assert (len(case.gate.accepted), case.attempts) == (1, 2)


def test_retry_of_a_task_killed_during_a_forced_submission_does_not_submit(cases: Cases) -> None:
    case = cases["submission", KILLING, True]
    case.check_failure(AkkioSubmissionUnknownError)
    assert (len(case.gate.accepted), case.attempts) == (1, 2)


def test_retry_of_a_task_killed_during_a_submission_without_force_trains_once(cases: Cases) -> None:
    case = cases["submission", KILLING, False]
    case.check_success()
    assert (len(case.gate.accepted), case.attempts) == (2, 2)
