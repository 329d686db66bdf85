"""Programs end with all that they have started."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from dev.processes import Program, end_together, is_alive, wait_until

STARTS_OTHERS = """
import os, signal, sys
def leave(how):
    if os.fork() == 0:
        how()
        if "stubborn" in sys.argv:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, f"{os.getpid()}\\n".encode())  # at once: where Python does not buffer, print writes twice
        signal.pause()
leave(os.setpgrp)
leave(os.setsid)
leave(lambda: None)
signal.pause()
"""


class Start(Protocol):
    """Starts a program, and returns it with its three children, in a group, a session, and neither, of their own."""

    def __call__(self, *arguments: str) -> tuple[Program, list[psutil.Process]]: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    log = tmp_path / "program.log"
    with ExitStack() as cleanup:

        def start_it(*arguments: str) -> tuple[Program, list[psutil.Process]]:
            program = Program.start("program", [sys.executable, "-c", STARTS_OTHERS, *arguments], os.environ, log)
            cleanup.callback(program.kill)
            wait_until(lambda: len(log.read_text().split()) == 3, "three more processes", 60, [program])
            return program, [psutil.Process(int(pid)) for pid in log.read_text().split()]

        yield start_it


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(map(is_alive, processes))


@pytest.mark.parametrize("ending", [Program.kill, Program.end])
@pytest.mark.parametrize("arguments", [(), ("stubborn",)])
def test_a_program_ends_with_its_children_in_other_groups_and_sessions(
    ending: object, arguments: tuple[str, ...], start: Start
) -> None:
    program, children = start(*arguments)
    assert {one.pid for one in program.members()} == {program.process.pid, *(one.pid for one in children)}
    assert callable(ending)
    ending(program)
    wait_until(lambda: are_gone(children), "the end of the children", 60)
    assert program.members() == []


def test_a_program_that_is_frozen_does_nothing_until_it_is_thawed(start: Start) -> None:
    program, children = start()
    everything = [psutil.Process(program.process.pid), *children]
    program.freeze()
    wait_until(lambda: {one.status() for one in everything} == {psutil.STATUS_STOPPED}, "the stop", 60)
    program.thaw()
    wait_until(lambda: psutil.STATUS_STOPPED not in {one.status() for one in everything}, "the going on", 60)
    program.freeze()
    program.kill()
    wait_until(lambda: are_gone(everything), "the end", 60)


def test_a_program_is_asked_to_end_by_its_own_signal(tmp_path: Path) -> None:
    program = Program.start("program", ["sleep", "600"], os.environ, tmp_path / "log", ends_at=signal.SIGINT)
    program.end()
    assert program.process.returncode == -signal.SIGINT


def test_a_program_that_ends_with_others_is_asked_once_and_has_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    source = "trap 'echo asked; sleep 1; echo done; exit 0' INT; echo ready; while :; do sleep 0.1; done"
    slow = Program.start("slow", ["sh", "-c", source], os.environ, log, ends_at=signal.SIGINT, grace=30)
    wait_until(lambda: "ready" in log.read_text(), "the trap", 60, [slow])
    end_together([slow])
    assert log.read_text().split() == ["ready", "asked", "done"]


def test_a_condition_that_does_not_come_true_is_told_with_what_the_program_printed(start: Start) -> None:
    program, children = start()
    with pytest.raises(
        TimeoutError, match=rf"a miracle did not happen within 0 s\nprogram printed last:\n(.*\n)*{children[0].pid}"
    ):
        wait_until(lambda: False, "a miracle", 0, [program])
