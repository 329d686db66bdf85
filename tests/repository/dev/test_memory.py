"""The watch over the memory of programs."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from dev.memory import MemoryWatch
from dev.processes import Program


class Broken(Program):
    """A program that cannot be looked at."""

    def members(self) -> list[psutil.Process]:
        raise OSError("too many open files")


def test_the_most_that_a_program_took_is_kept(tmp_path: Path) -> None:
    program = Program.start("program", ["sleep", "600"], os.environ, tmp_path / "log")
    try:
        with MemoryWatch({"program": program}) as watch:
            pass
    finally:
        program.end()
    assert watch.most_processes == {"program": 1}
    assert watch.most_bytes["program"] > 0


@pytest.fixture
def broken(tmp_path: Path) -> Program:
    program = Broken.start("program", ["true"], os.environ, tmp_path / "log")
    program.process.wait()
    return program


def test_a_watch_that_could_not_look_says_so_at_its_end(broken: Program) -> None:
    with pytest.raises(OSError, match="too many open files"), MemoryWatch({"program": broken}):
        pass


def test_a_watch_does_not_hide_what_went_wrong_meanwhile(broken: Program) -> None:
    with pytest.raises(KeyboardInterrupt), MemoryWatch({"program": broken}):
        raise KeyboardInterrupt
