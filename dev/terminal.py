"""Output and interrupts of the command-line tools."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dev.processes import STOP_SIGNALS


@contextmanager
def interruptible(status: int) -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C: clean up once, ignoring further signals, then exit."""

    def interrupt(*_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        print("\nstopping everything", flush=True)
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; all started programs have been stopped", flush=True)
        sys.exit(status)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def stopwatch() -> Callable[[str], None]:
    """Return a function that prints a message after the seconds since this call."""
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {message}", flush=True)

    return say


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
