"""What the programs of this folder share towards the person who started them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dev.processes import ENDINGS


@contextmanager
def interruptible(status: int) -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end what runs inside as Ctrl-C does: each cleans up, undisturbed.

    :param status: exit status of a program that was ended so.
    """

    def interrupt(*_: object) -> None:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        print("\nstopping everything", flush=True)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDINGS}
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", flush=True)
        sys.exit(status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopwatch() -> Callable[[str], None]:
    """Return a function that prints a message behind the seconds since now."""
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {message}", flush=True)

    return say
