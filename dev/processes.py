"""Start, watch and stop programs together with every process that they start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 3.0


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Deliver stop signals only after the block, so that no program starts without being registered for cleanup."""
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda caught, _: received.append(caught)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in received:
            signal.raise_signal(caught)


def environment_without(*prefixes: str) -> dict[str, str]:
    """Return this process's environment without the variables that start with one of the prefixes."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def installed_program(name: str) -> str:
    """Return the path of a program in the current virtual environment."""
    return str(Path(sys.executable).parent / name)


class ProgramExitedError(RuntimeError):
    """A program exited too early or with a status other than 0."""


@dataclass(eq=False)
class Program:
    """A program in its own session.

    Its processes may create their own process groups (Airflow's tasks) or sessions (PostgreSQL).

    :param log: file to which the output is appended.
    :param folder: working directory; default the current one.
    :param stop_signal: signal that asks the program to stop.
    :param grace: seconds that its first process has to stop before it is killed.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path | None = None
    stop_signal: int = signal.SIGTERM
    grace: float = GRACE_SECONDS
    process: subprocess.Popen[bytes] = field(init=False, repr=False)
    _known: set[psutil.Process] = field(default_factory=set, init=False, repr=False)

    def start(self) -> Self:
        """Start the program, or start it again after it has exited."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._known.clear()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def members(self) -> list[psutil.Process]:
        """Return the live processes of the program's session and all their descendants."""
        all_processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
        found = {pid for pid in all_processes if _session_of(pid) == self.process.pid}
        while children := {pid for pid, one in all_processes.items() if one.info["ppid"] in found} - found:
            found |= children
        # A process in another session has no ancestor here any more once the first process has exited.
        self._known.update(all_processes[pid] for pid in found)
        return [process for process in tuple(self._known) if is_alive(process)]

    def output(self) -> str:
        """Return everything that the program has printed."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """Return the last lines that the program has printed."""
        return "\n".join(self.output().splitlines()[-25:])

    def check(self) -> None:
        """Raise :class:`ProgramExitedError`, with the last output, if the program has exited."""
        if (status := self.process.poll()) is not None:
            raise ProgramExitedError(f"{self.name} exited with status {status}:\n{self.tail()}")

    def stop(self) -> None:
        """Stop all processes: send the stop signal, and SIGKILL after the grace period."""
        stop_all([self])

    def request_stop(self) -> None:
        """Send the stop signal to the program's process group."""
        self.members()  # remembers processes in other sessions while their parents are alive
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, self.stop_signal)

    def wait_for_stop(self) -> None:
        """Wait for all processes; kill those that are alive after the grace period."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.grace)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.members() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to all processes, as if the machine went away, and wait for the first one."""
        while members := self.members():
            for process in members:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.poll()
        self.process.wait()


def stop_all(programs: Collection[Program]) -> None:
    """Stop programs in parallel: send every stop signal before waiting for the first program."""
    for program in programs:
        program.request_stop()
    for program in programs:
        program.wait_for_stop()


@dataclass
class Programs:
    """Programs that share a folder and stop together.

    :param folder: folder for everything that they write.
    :param programs: running programs by name.
    """

    folder: Path
    programs: dict[str, Program] = field(default_factory=dict, kw_only=True)

    @property
    def output(self) -> Path:
        """The folder with one log file per program."""
        return self.folder / "output"

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a program in the background."""
        with deferred_signals():
            self.programs[name] = Program(name, command, environment, self.output / f"{name}.log").start()

    def restart_exited(self) -> None:
        """Restart every program that has exited, as a service manager would."""
        for program in list(self.programs.values()):
            if program.process.poll() is not None:
                with deferred_signals():
                    program.start()

    def stop(self) -> None:
        """Stop all programs."""
        stop_all(self.programs.values())


def run_to_completion(program: Program, seconds: float) -> str:
    """Run a program, stop everything that it started, and return its output.

    :param program: program that is not running yet.
    :raises ProgramExitedError: if its exit status is not 0; the message has the last output.
    :raises TimeoutError: if it is still running at the time limit.
    """
    with ExitStack() as cleanup:
        with deferred_signals():
            program.start()
            cleanup.callback(program.stop)
        try:
            status = program.process.wait(seconds)
        except subprocess.TimeoutExpired:
            message = f"{program.name} is still running after {seconds:.0f} s:\n{program.tail()}"
            raise TimeoutError(message) from None
        if status != 0:
            program.check()
    return program.output()


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_ports(count: int, preferred: Sequence[int] = ()) -> list[int]:
    """Return different free ports of the loopback interface."""
    with ExitStack() as held:
        return [held.enter_context(_listener(port)).getsockname()[1] for port in (*preferred, *[0] * count)[:count]]


def wait_until(condition: Callable[[], bool], what: str, seconds: float, watched: Sequence[Program] = ()) -> None:
    """Wait for a condition.

    :raises ProgramExitedError: if one of the watched programs exits.
    :raises TimeoutError: at the time limit; the message has the last output of the watched programs.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        for program in watched:
            program.check()
        if time.monotonic() > deadline:
            outputs = [f"Last output of {program.name}:\n{program.tail()}" for program in watched]
            raise TimeoutError("\n".join((f"{what} did not happen within {seconds:.0f} s", *outputs)))
        time.sleep(0.2)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))
