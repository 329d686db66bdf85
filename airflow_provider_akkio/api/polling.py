"""When to poll a training."""

from __future__ import annotations

from airflow_provider_akkio.api.types import Duration

MIN_INTERVAL = 1.0
FIRST_POLL = 2.0
"""Seconds between the submission and the first poll. Akkio may have the model already, and sends its estimate."""

_WINDOW_START, _WINDOW_END, _WINDOW_STEP = 0.88, 1.28, 0.08
"""The window around the expected end, and the interval inside it, as fractions of the expected duration."""

_OVERDUE = 0.1
"""After the window: the interval as a fraction of the elapsed time. The end is then noticed 5 % late on average."""

_MIN_SHARE, _MAX_SHARE = 0.05, 0.14
"""Without an expected end: bounds of the interval, as fractions of the elapsed time."""

_MAX_CREDIBLE_ESTIMATE = 4.0 * Duration.PRODUCTION
_EARLY_POLL = 0.355
"""When to check for an estimate that is three times too long, as a fraction of the estimate: just after a third."""


def seconds_until_next_poll(
    elapsed: float,
    *,
    duration: float | None = None,
    estimate: float | None = None,
    is_waiting: bool = False,
    seconds_per_round: float = 0.0,
) -> float:
    """Return the seconds until the next poll.

    The function has no state: a trigger that moves to another triggerer continues the same schedule.

    1. *First poll:* two seconds after the submission. Akkio may already have the model, and sends its estimate.
    2. *Waiting:* Akkio has not started the training, so it cannot end soon. The interval is half of the elapsed time,
       at most a minute.
    3. *Before the window:* the expected end is Akkio's estimate, else the duration. Polls are useless until shortly
       before it, except one early poll in case the expectation is too long. An estimate may be three times too long:
       the early poll comes after a third of it, or at the duration if that is close. A duration without an estimate,
       or an estimate of more than two hours, may be far too long: poll whenever the elapsed time has doubled. All
       trainings of an account share its rate limit, so an early poll waits for at least one round of them.
    4. *In the window,* 88 % to 128 % of the expected duration: every 8 % of it. If the estimate is right within 20 %,
       that takes at most six polls.
    5. *After the window* the expectation was wrong: the interval is a tenth of the elapsed time.
    6. *Without an estimate or a duration:* one round of the account's trainings, at least 5 % and at most 14 % of the
       elapsed time.

    :param elapsed: seconds since the training was submitted or, once it runs, since it was last seen waiting; negative
        if the clock of the submitting machine is ahead.
    :param duration: seconds that Akkio was told to spend on the training; default unknown.
    :param estimate: seconds that Akkio expects the training to take; default unknown.
    :param is_waiting: whether Akkio has not started the training; default no.
    :param seconds_per_round: seconds in which the rate limit allows one poll for each training of the account; default
        0, no limit.
    :return: at least 1 second.
    """
    if elapsed < FIRST_POLL:
        return min(max(FIRST_POLL - elapsed, MIN_INTERVAL), FIRST_POLL)
    if is_waiting:
        return min(elapsed / 2, 60.0)
    expected = estimate or duration
    if expected is None:
        interval = min(max(seconds_per_round, _MIN_SHARE * elapsed), _MAX_SHARE * elapsed)
    elif elapsed >= _WINDOW_END * expected:
        interval = _OVERDUE * elapsed
    elif elapsed >= (_WINDOW_START - _WINDOW_STEP / 2) * expected:
        interval = _WINDOW_STEP * expected
    else:
        window_start = _WINDOW_START * expected
        early = max(_early_poll(elapsed, duration, estimate), elapsed + seconds_per_round)
        interval = (early if elapsed < early < window_start else window_start) - elapsed
    return max(interval, MIN_INTERVAL)


def _early_poll(elapsed: float, duration: float | None, estimate: float | None) -> float:
    if estimate is None or estimate > _MAX_CREDIBLE_ESTIMATE:
        return 2 * elapsed
    if duration is not None and estimate / 4 <= duration < 0.7 * estimate:
        return 1.05 * duration
    return _EARLY_POLL * estimate
