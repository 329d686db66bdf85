"""How far a long task has come, in its log."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_BETWEEN = 30.0


class ProgressLog:
    """Says from time to time how many rows are done.

    :param say: a log's method, which is told.
    :param what: what is done with them, such as ``"Rows in dataset D1"``.
    :param total: how many there are.
    """

    def __init__(self, say: Callable[..., None], what: str, total: int) -> None:
        self._say = say
        self._what = what
        self._total = total
        self._said_at = time.monotonic()

    def reached(self, rows: int) -> None:
        """Take how many rows are done; every half minute it is said."""
        if time.monotonic() - self._said_at >= SECONDS_BETWEEN:
            self._said_at = time.monotonic()
            self._say("%s: %s of %s.", self._what, f"{rows:,}", f"{self._total:,}")
