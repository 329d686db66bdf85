"""When to ask for a training's status next, and for how long to try."""

from __future__ import annotations

SHORTEST_INTERVAL = 2.0
LONGEST_INTERVAL = 30.0

READ_PATIENCE = 300.0
"""Seconds for which a question is tried that no deadline of a training bounds."""
SUBMIT_PATIENCE = 3600.0
"""Seconds for which a submission is tried while Akkio asks for fewer requests."""


def next_poll_in(elapsed: float) -> float:
    """Return the seconds until the next poll.

    A quarter of the time that has passed, so that the end is seen at most a quarter late: close together in a short
    training, up to half a minute apart in a long one. It depends on nothing but the time since the submission, and so
    goes on where it was when a trigger moves to another triggerer.

    :param elapsed: seconds since the training was submitted.
    :return: seconds, from 2 to 30.
    """
    return min(max(elapsed / 4, SHORTEST_INTERVAL), LONGEST_INTERVAL)
