"""What befalls a training by itself: all of it is tried out side by side, each training at a gate of its own.

Akkio fails for a minute; a worker dies around the submission; a person clears the task.
"""

from __future__ import annotations

from itertools import product
from threading import Timer

import pytest

from airflow_provider_akkio.exceptions import AkkioSubmissionUnknownError
from tests.chaos.conftest import Case, Chaos
from tests.chaos.gate import KILLED_IN_BETWEEN, MINUTE, OUTAGES, REFUSING, THROTTLING, Fault

UNKNOWN = AkkioSubmissionUnknownError.__name__
Cases = dict[tuple[object, ...], Case]
FIELDS = ("alcohol", "malic_acid", "ash", "magnesium", "flavanoids", "hue", "proline", "total_phenols")
WAITS = pytest.mark.parametrize("wait", ["deferrable", "blocking"])
TRIGGERED = pytest.mark.parametrize("wait", ["deferrable", "ended", "started"])
FAULTS = pytest.mark.parametrize("fault", OUTAGES, ids=lambda fault: fault.name)


@pytest.fixture(scope="module")
def cases(chaos: Chaos) -> Cases:
    """Every case, started before the first one is waited for: the outages pass side by side."""
    started: Cases = {}
    for fault, wait in product(OUTAGES, ("deferrable", "blocking")):
        gate = next(chaos.gates)
        gate.break_down(fault, "status", "result")
        started["polls", fault, wait] = chaos.start(f"a minute: {fault.name}", wait, gate=gate)
    for (number, fault), force in product(enumerate((*OUTAGES, KILLED_IN_BETWEEN)), (True, False)):
        gate = next(chaos.gates)
        if fault is REFUSING:
            gate.refuse()
        else:
            gate.break_down(fault, "new")
        name = f"submission, a minute: {fault.name}" if fault.seconds else f"submission: {fault.name}"
        # Without force, a training is told apart by its parameters alone.
        ignored = [] if force else [FIELDS[number]]
        started["submission", fault, force] = chaos.start(name, gate=gate, force=force, ignore_fields=ignored)
    for victim, wait in product(("task", "worker"), ("deferrable", "blocking")):
        name = f"SIGKILL of the {victim} after the submission"
        started["killed", victim, wait] = chaos.start(name, wait, dies=victim)
    for wait in ("deferrable", "ended", "started"):
        started["cleared", "waits", wait] = chaos.start("cleared when it waits", wait, gate=chaos.held_gate())
        started["cleared", "has finished", wait] = chaos.start("cleared when it has finished", wait)
    for force in (True, False):
        refused = started["submission", REFUSING, force]
        refused.wait_until_running()
        Timer(MINUTE, refused.gate.listen_again).start()
    return started


@TRIGGERED
def test_clearing_a_task_that_waits_goes_on_with_its_training(cases: Cases, wait: str) -> None:
    case = cases["cleared", "waits", wait]
    case.wait_until_waiting()
    case.clear()
    case.gate.is_held = False
    case.succeeds()
    assert (len(case.gate.accepted), case.tries) == (1, 2)


@TRIGGERED
def test_clearing_a_task_that_has_finished_trains_again(cases: Cases, wait: str) -> None:
    case = cases["cleared", "has finished", wait]
    assert case.ends() == "success"
    case.clear()
    case.succeeds(trainings=2)
    assert (len(case.gate.accepted), case.tries) == (2, 2)


@FAULTS
@WAITS
def test_a_minute_without_akkio_ends_no_wait(cases: Cases, fault: Fault, wait: str) -> None:
    case = cases["polls", fault, wait]
    case.succeeds()
    assert (len(case.gate.accepted), case.tries) == (1, 1)
    assert case.gate.faulty_requests > 0


@FAULTS
def test_a_minute_without_akkio_is_no_reason_to_pay_twice(cases: Cases, fault: Fault) -> None:
    case = cases["submission", fault, True]
    if fault in (REFUSING, THROTTLING):
        case.succeeds()
    else:
        case.fails_with(UNKNOWN)
        assert case.tries == 1
    assert len(case.gate.accepted) == 1
    assert case.gate.faulty_requests > 0 or (fault is REFUSING and case.tries > 1)


@FAULTS
def test_submitting_again_trains_once_where_akkio_takes_it_for_the_same(cases: Cases, fault: Fault) -> None:
    case = cases["submission", fault, False]
    case.succeeds()
    assert case.gate.faulty_requests > 0 or (fault is REFUSING and case.tries > 1)


@pytest.mark.parametrize("victim", ["task", "worker"])
@WAITS
def test_the_next_try_goes_on_with_the_training_of_a_killed_one(cases: Cases, victim: str, wait: str) -> None:
    case = cases["killed", victim, wait]
    case.succeeds()
    assert (len(case.gate.accepted), case.tries) == (1, 2)


def test_a_try_that_was_killed_before_akkios_answer_is_not_paid_twice(cases: Cases) -> None:
    case = cases["submission", KILLED_IN_BETWEEN, True]
    case.fails_with(UNKNOWN)
    assert (len(case.gate.accepted), case.tries) == (1, 2)


def test_a_try_that_was_killed_before_akkios_answer_trains_once(cases: Cases) -> None:
    case = cases["submission", KILLED_IN_BETWEEN, False]
    case.succeeds()
    assert (len(case.gate.accepted), case.tries) == (2, 2)
