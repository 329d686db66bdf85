"""Time that passes at will: a clock to be set, and an event loop that waits for nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")

END = 5000.0


@dataclass
class Clock:
    """Shows what it was set to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class _Leap(selectors.DefaultSelector):
    """Lets the time to wait pass at once, on its clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nobody would ever go on"
        self._clock.now += timeout
        assert self._clock.now < END, "somebody tries for ever"
        return super().select(0)


class _TimelessLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        self._clock_of_its_own = clock
        super().__init__(_Leap(clock))

    def time(self) -> float:
        return self._clock_of_its_own()


def run(clock: Clock, main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine by a clock, on which the time that anybody sleeps passes at once."""
    with asyncio.Runner(loop_factory=lambda: _TimelessLoop(clock)) as runner:
        return runner.run(main)
