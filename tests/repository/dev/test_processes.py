"""Programs end with all that they have started."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from dev.processes import Program, wait_until

STARTS_OTHERS = """
import os, signal, sys, time
def leave(how):
    if os.fork() == 0:
        how()
        if "stubborn" in sys.argv:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(600)
leave(os.setpgrp)
leave(os.setsid)
leave(lambda: None)
time.sleep(600)
"""


def started(folder: Path, *arguments: str) -> tuple[Program, list[psutil.Process]]:
    log = folder / "program.log"
    program = Program.start("program", [sys.executable, "-c", STARTS_OTHERS, *arguments], os.environ, log)
    wait_until(lambda: len(log.read_text().split()) == 3, "three more processes", 30, [program])
    return program, [psutil.Process(int(pid)) for pid in log.read_text().split()]


def are_gone(processes: list[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("ending", [Program.kill, Program.end])
@pytest.mark.parametrize("arguments", [(), ("stubborn",)])
def test_a_program_ends_with_its_children_in_other_groups_and_sessions(
    ending: object, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    program, children = started(tmp_path, *arguments)
    assert {one.pid for one in program.members()} == {program.process.pid, *(one.pid for one in children)}
    assert callable(ending)
    ending(program)
    wait_until(lambda: are_gone(children), "the end of the children", 10)
    assert program.members() == []


def test_a_program_that_is_frozen_does_nothing_until_it_is_thawed(tmp_path: Path) -> None:
    program, children = started(tmp_path)
    everything = [psutil.Process(program.process.pid), *children]
    program.freeze()
    wait_until(lambda: {one.status() for one in everything} == {psutil.STATUS_STOPPED}, "the stop", 10)
    program.thaw()
    wait_until(lambda: psutil.STATUS_STOPPED not in {one.status() for one in everything}, "the going on", 10)
    program.freeze()
    program.kill()
    wait_until(lambda: are_gone(everything), "the end", 10)


def test_a_program_is_asked_to_end_by_its_own_signal(tmp_path: Path) -> None:
    program = Program.start("program", ["sleep", "600"], os.environ, tmp_path / "log", ends_at=signal.SIGINT)
    program.end()
    assert program.process.returncode == -signal.SIGINT
