"""When to ask for a training's status next."""

from __future__ import annotations

SHORTEST_INTERVAL = 2.0
LONGEST_INTERVAL = 30.0


def next_poll_in(elapsed: float) -> float:
    """Return the seconds until the next poll.

    A quarter of the time that has passed, so that the end is seen at most a quarter late: close together in a short
    training, up to half a minute apart in a long one. It depends on nothing but the time since the submission, and so
    goes on where it was when a trigger moves to another triggerer.

    :param elapsed: seconds since the training was submitted.
    :return: seconds, from 2 to 30.
    """
    return min(max(elapsed / 4, SHORTEST_INTERVAL), LONGEST_INTERVAL)
