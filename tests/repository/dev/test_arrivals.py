"""The counting of requests, and the gate that keeps to the account's limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from dev.arrivals import Arrivals
from dev.gate import CountingGate
from tests.scripted import Reply, ScriptedAkkio, accepted, status

LIMIT = 3


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_requests_of_the_last_second_are_counted() -> None:
    clock = Clock()
    arrivals = Arrivals(clock)
    assert [arrivals.count(), arrivals.count()] == [1, 2]
    clock.now += 0.999
    assert arrivals.count() == 3
    clock.now += 0.001
    assert arrivals.count() == 2
    assert (arrivals.total, arrivals.most_in_one_second) == (4, 3)


@pytest.fixture
def gate(akkio: ScriptedAkkio) -> Iterator[CountingGate]:
    """A gate before the scripted Akkio, whose clock stands still."""
    akkio.script("new", accepted("T1"), accepted("T2"))
    akkio.script("status", status("SUCCEEDED", location="/there"))
    with CountingGate(akkio.url, LIMIT) as gate:
        gate.arrivals = Arrivals(Clock())
        yield gate


def submit(gate: CountingGate) -> int:
    url = f"http://{gate.address}/api/v1/models/train/new"
    return requests.post(url, json={"dataset_id": "D1"}, headers={"X-API-Key": "the-key"}, timeout=10).status_code


def test_a_gate_hands_on_what_is_within_the_limit_and_refuses_the_rest(
    gate: CountingGate, akkio: ScriptedAkkio
) -> None:
    assert [submit(gate) for _ in range(LIMIT + 2)] == [201] * LIMIT + [429] * 2
    assert (gate.refused, gate.arrivals.total, gate.under_way) == (2, LIMIT + 2, 0)
    assert gate.submitted == ["T1", "T2", "T2"]
    assert [(one.body, one.headers["X-API-Key"]) for one in akkio.received] == [
        ({"dataset_id": "D1"}, "the-key")
    ] * LIMIT


def test_a_submission_that_akkio_refuses_does_not_count(gate: CountingGate, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(422, {"detail": "no such dataset"}))
    assert submit(gate) == 422
    assert gate.submitted == []


def test_a_held_gate_lets_no_training_end(gate: CountingGate) -> None:
    url = f"http://{gate.address}/api/v1/models/train/T1/status"
    gate.is_held = True
    assert requests.get(url, timeout=10).json()["status"] == "IN_PROGRESS"
    gate.is_held = False
    assert requests.get(url, timeout=10).json() == status("SUCCEEDED", location="/there").body
