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

    :param programs: the programs, by name; what is put there later is watched, too.
    """

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self.most_bytes: dict[str, int] = {}
        self.most_processes: dict[str, int] = {}
        self._programs = programs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            for name, program in list(self._programs.items()):
                sizes = [_bytes_of(member) for member in program.members()]
                self.most_bytes[name] = max(self.most_bytes.get(name, 0), sum(sizes))
                self.most_processes[name] = max(self.most_processes.get(name, 0), len(sizes))


def _bytes_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
