"""When to ask for a training's status next, and for how long to try."""

from __future__ import annotations

from airflow_provider_akkio.api.types import Duration

SHORTEST_INTERVAL = 1.0
FIRST_POLL = 2.0
"""Seconds after the submission at which Akkio is asked first: it may have the model already, and gives its estimate."""

READ_TIMEOUT = 300.0
"""Seconds for which a question is tried that no deadline of a training bounds."""
SUBMIT_TIMEOUT = 3600.0
"""Seconds for which a submission is tried while Akkio asks for fewer requests."""

_OPENS, _CLOSES, _STEP = 0.88, 1.28, 0.08
"""The window around the expected end, and the steps through it, as shares of the time expected."""
_LATE = 0.1
"""What an interval is of the time that has passed, once the expected end has: the end is seen 5 % late on average."""
_DENSEST, _SPARSEST = 0.05, 0.14
"""The same, at least and at most, where nothing tells when the end is to come."""
_LONGEST_BELIEVED = 4.0 * Duration.PRODUCTION
_THIRD = 0.355
"""Where a training ends, and a little more, that takes a third of its estimate."""


def seconds_until_next_poll(
    elapsed: float,
    *,
    duration: float | None = None,
    estimate: float | None = None,
    is_waiting: bool = False,
    seconds_per_round: float = 0.0,
) -> float:
    """Return the seconds until the next poll.

    It follows from what is known, and so goes on where it was when a trigger moves to another triggerer:

    - Until two seconds have passed, nothing: then Akkio says whether it has the model already, and what it estimates.
    - While Akkio has not begun, nothing can end: half of the time passed, up to a minute.
    - Akkio's estimate, else the duration that was asked for, tells the expected end. An estimate that is within 20 %
      is met by five or six questions around it, 8 % of it apart.
    - Before, hardly anything can have happened. An estimate may be three times too long: one question at a third of it,
      or where the duration says. A duration alone, or an estimate of more than two hours, may be far too long: a
      question each time the time has doubled. No such question comes within a round of the account's
      trainings.
    - After, the expectation was wrong: the interval grows in proportion to the time passed.
    - With nothing to go by, equal turns are best: one round of the account's trainings, within 5 % and 14 % of the time
      passed.

    :param elapsed: seconds since the training can have begun; below zero where another machine's clock is ahead.
    :param duration: seconds that Akkio was asked to spend on it.
    :param estimate: seconds that Akkio expects it to take.
    :param is_waiting: whether Akkio has not begun with it.
    :param seconds_per_round: seconds in which the account could ask once for each training that it waits for.
    :return: seconds, from 1 up.
    """
    if elapsed < FIRST_POLL:
        return min(max(FIRST_POLL - elapsed, SHORTEST_INTERVAL), FIRST_POLL)
    if is_waiting:
        return min(elapsed / 2, 60.0)
    expected = estimate or duration
    if expected is None:
        interval = min(max(seconds_per_round, _DENSEST * elapsed), _SPARSEST * elapsed)
    elif elapsed >= _CLOSES * expected:
        interval = _LATE * elapsed
    elif elapsed >= (_OPENS - _STEP / 2) * expected:
        interval = _STEP * expected
    else:
        opens = _OPENS * expected
        early = max(_early_question(elapsed, duration, estimate), elapsed + seconds_per_round)
        interval = (early if elapsed < early < opens else opens) - elapsed
    return max(interval, SHORTEST_INTERVAL)


def _early_question(elapsed: float, duration: float | None, estimate: float | None) -> float:
    """Return when to ask before the window opens, in case that what is expected is far too long."""
    if estimate is None or estimate > _LONGEST_BELIEVED:
        return 2 * elapsed
    if duration is not None and estimate / 4 <= duration < 0.7 * estimate:
        return 1.05 * duration
    return _THIRD * estimate
