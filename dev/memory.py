"""How much memory programs take."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Self

import psutil

from dev.processes import Program

_INTERVAL = 5.0


class MemoryWatch:
    """Looks every five seconds how much memory programs take, and keeps the most.

    It is their proportional set size: what several processes share counts once, a part for each of them.

    What it could not look at makes the ``with`` block fail at its end: without a look, the most is not known.

    :param programs: the programs, by name; what is put there later is watched, too.
    """

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self.most_bytes: dict[str, int] = {}
        self.most_processes: dict[str, int] = {}
        self._programs = programs
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _watch(self) -> None:
        try:
            self._look()
            while not self._ended.wait(_INTERVAL):
                self._look()
        except Exception as failure:  # noqa: BLE001 - nobody sees what is raised in a thread
            self._failure = failure

    def _look(self) -> None:
        for name, program in list(self._programs.items()):
            sizes = [_bytes_of(member) for member in program.members()]
            self.most_bytes[name] = max(self.most_bytes.get(name, 0), sum(sizes))
            self.most_processes[name] = max(self.most_processes.get(name, 0), len(sizes))


def _bytes_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
