"""Programs that run beside this one, and end with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a program to end."""
GRACE = 3.0
"""Seconds that a program that is asked to end has for it, and then those that it started."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold the signals that end this program back until the block has ended.

    Whatever is started must also be noted, so that it is ended; between the two, no exception may come.
    """
    held_back: list[int] = []
    handlers = {number: signal.signal(number, lambda caught, _: held_back.append(caught)) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in held_back:
            signal.raise_signal(caught)


class ProgramEndedError(RuntimeError):
    """A program that should go on has ended."""


@dataclass
class Program:
    """A program in a session of its own, so that whatever it starts ends with it.

    The processes that it starts may have groups of their own, as Airflow's tasks do, or sessions, as PostgreSQL's do.

    :param name: what to call it in messages.
    :param command: the program and its arguments.
    :param environment: its whole environment.
    :param log: where its output goes.
    :param process: its first process.
    :param user: who it runs as; ``None`` for who runs this.
    :param ends_at: the signal that asks it to end.
    :param grace: seconds that its first process has to end by itself.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]
    user: str | None = None
    ends_at: int = signal.SIGTERM
    grace: float = GRACE
    _known: set[psutil.Process] = field(default_factory=set, repr=False)

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        folder: Path | None = None,
        user: str | None = None,
        ends_at: int = signal.SIGTERM,
        grace: float = GRACE,
    ) -> Self:
        """Start a program.

        :param name: what to call it in messages.
        :param command: the program and its arguments.
        :param environment: its whole environment.
        :param log: file to append its output to.
        :param folder: where it starts; default this program's own.
        :param user: who is to run it, which needs root; default who runs this.
        :param ends_at: the signal that asks it to end; default SIGTERM.
        :param grace: seconds that its first process has to end by itself; default three.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
        return cls(name, command, environment, log, process, user, ends_at, grace)

    def members(self) -> list[psutil.Process]:
        """Return all of its processes that are alive: those of its session, and whoever they have started."""
        all_processes = {one.pid: one for one in psutil.process_iter(["ppid"])}
        found = {pid for pid in all_processes if _session_of(pid) == self.process.pid}
        while children := {pid for pid, one in all_processes.items() if one.info["ppid"] in found} - found:
            found |= children
        # A process in a session of its own is nobody's child once the program's first process is gone.
        self._known.update(all_processes[pid] for pid in found)
        return [one for one in tuple(self._known) if is_alive(one)]

    def check(self) -> None:
        """Raise :class:`ProgramEndedError`, with the end of its log, if the program has ended."""
        if (code := self.process.poll()) is not None:
            raise ProgramEndedError(f"{self.name} ended with status {code}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def ask_to_end(self) -> None:
        """Send the first process and its group the signal that asks it to end."""
        self.members()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, self.ends_at)

    def end(self) -> None:
        """End all of it: gently, and by force after its grace."""
        self.ask_to_end()
        self.see_end()

    def see_end(self) -> None:
        """Wait until all of it has ended, by force after its grace."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.grace)
        ends_at = time.monotonic() + GRACE
        while self.members() and time.monotonic() < ends_at:
            time.sleep(0.05)
        self.kill()

    def freeze(self) -> None:
        """Stop all of its processes where they are."""
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                member.suspend()

    def thaw(self) -> None:
        """Let all of its processes go on."""
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                member.resume()

    def kill(self) -> None:
        """Send all of its processes SIGKILL, as if its machine went away, and wait for the first."""
        while members := self.members():
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            self.process.poll()
        self.process.wait()


def end_together(programs: Collection[Program]) -> None:
    """End some programs: all are asked, once, before any is waited for.

    :param programs: them.
    """
    for program in programs:
        program.ask_to_end()
    for program in programs:
        program.see_end()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process still does something: a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def completed(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float) -> str:
    """Run a program to its end, and return its output; whatever it started ends with it.

    :param name: what to call it in messages.
    :param command: the program and its arguments.
    :param environment: its whole environment.
    :param log: file to append its output to.
    :param seconds: how long it may take.
    :raises ProgramEndedError: if its status is not 0; the message has the end of its output.
    :raises TimeoutError: if the time runs out.
    """
    with ExitStack() as cleanup:
        with uninterrupted():
            program = Program.start(name, command, environment, log)
            cleanup.callback(program.end)
        try:
            status = program.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{name} did not end within {seconds:.0f} s:\n{program.tail()}") from None
        if status != 0:
            program.check()
    return log.read_text(errors="replace")


def free_ports(count: int, preferred: Sequence[int] = ()) -> list[int]:
    """Return ports of the loopback interface on which nothing listens.

    :param count: how many; they differ from each other.
    :param preferred: the first ones, where they are free.
    """
    with ExitStack() as held:
        return [held.enter_context(_listener(port)).getsockname()[1] for port in (*preferred, *[0] * count)[:count]]


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def wait_until(condition: Callable[[], bool], what: str, seconds: float, watched: Sequence[Program] = ()) -> None:
    """Wait for a condition.

    :param condition: asked several times a second.
    :param what: what is waited for, for the message.
    :param seconds: how long at most.
    :param watched: programs without which the condition cannot come true.
    :raises ProgramEndedError: if one of them ends.
    :raises TimeoutError: if the time runs out; the message has the end of what each of them printed.
    """
    ends_at = time.monotonic() + seconds
    while not condition():
        for program in watched:
            program.check()
        if time.monotonic() > ends_at:
            printed = [f"{program.name} printed last:\n{program.tail()}" for program in watched]
            raise TimeoutError("\n".join((f"{what} did not happen within {seconds:.0f} s", *printed)))
        time.sleep(0.2)
