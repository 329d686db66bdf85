"""Several programs that make up one thing, and end together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev.processes import Program, completed, end_together, uninterrupted


def foreign_environment(*own: str) -> dict[str, str]:
    """Return this program's environment without what it says of an Airflow.

    :param own: how the names of other variables begin that are left out as well.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", *own))}


def installed_program(name: str) -> str:
    """Return the path of a program of the virtual environment that this runs in."""
    return str(Path(sys.executable).parent / name)


@dataclass
class Programs:
    """Programs that share a folder.

    :param folder: holds everything that they write.
    :param programs: what runs, by name.
    """

    folder: Path
    programs: dict[str, Program] = field(default_factory=dict, kw_only=True)

    @property
    def output(self) -> Path:
        """The folder with the output of each program."""
        return self.folder / "output"

    def run(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str | None = None,
        ends_at: int = signal.SIGTERM,
    ) -> None:
        """Start a program that goes on; see :meth:`~dev.processes.Program.start` for what it is told."""
        log = self.output / f"{name}.log"
        with uninterrupted():
            self.programs[name] = Program.start(name, command, environment, log, user=user, ends_at=ends_at)

    def run_to_end(self, name: str, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        """Run a program that ends by itself.

        :param name: what to call it.
        :param command: the program and its arguments.
        :param environment: its whole environment.
        :param seconds: how long it may take.
        :raises ProgramEndedError: if it ends with another status than 0.
        :raises TimeoutError: if it does not end in time.
        """
        completed(name, command, environment, self.output / f"{name}.log", seconds)

    def start_what_ended(self) -> None:
        """Start again whatever has ended, as a service manager would."""
        for program in list(self.programs.values()):
            if program.process.poll() is not None:
                self.start_again(program)

    def start_again(self, program: Program) -> None:
        """Start a program that has ended once more.

        :param program: one of these.
        """
        self.run(program.name, program.command, program.environment, user=program.user, ends_at=program.ends_at)

    def end(self) -> None:
        """End all programs."""
        end_together(self.programs.values())
