"""Programs that run beside this one, and end with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_GRACE = 3.0


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a program to end."""


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
    """A program in a process group of its own, so that whatever it starts ends with it.

    :param name: what to call it in messages.
    :param command: the program and its arguments.
    :param environment: its whole environment.
    :param log: where its output goes.
    :param process: its first process.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path | None = None
    ) -> Self:
        """Start a program.

        :param name: what to call it in messages.
        :param command: the program and its arguments.
        :param environment: its whole environment.
        :param log: file to append its output to.
        :param folder: where it starts; default this program's own.
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
            )
        return cls(name, command, environment, log, process)

    def check(self) -> None:
        """Raise :class:`ProgramEndedError`, with the end of its log, if the program has ended."""
        if (code := self.process.poll()) is not None:
            raise ProgramEndedError(f"{self.name} ended with status {code}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def ask_to_end(self) -> None:
        """Send the whole group SIGTERM."""
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """End the whole group: gently, and by force after three seconds."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        ends_at = time.monotonic() + _GRACE
        while self._is_alive() and time.monotonic() < ends_at:
            time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        """Send the whole group SIGKILL, and wait for its first process."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _is_alive(self) -> bool:
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


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
    :raises TimeoutError: if the time runs out.
    """
    ends_at = time.monotonic() + seconds
    while not condition():
        for program in watched:
            program.check()
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.2)
