"""What the programs of this folder share towards the person who started them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that either cleans up; a second one does not disturb that."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started has been ended", flush=True)
        sys.exit(130)


def stopwatch() -> Callable[[str], None]:
    """Return a function that prints a message behind the seconds since now."""
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {message}", flush=True)

    return say
