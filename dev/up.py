"""``make up``: run Airflow with its web UI, the example DAGs and the sandbox until Ctrl-C."""

from __future__ import annotations

import time

from dev.processes import ProgramExitedError
from dev.stack import SANDBOX_KEY, running_stack
from dev.terminal import interruptible, stopwatch

PORTS = (8080, 8765)


def main() -> None:
    """Run until Ctrl-C or until a program exits."""
    say = stopwatch()
    with interruptible(status=0), running_stack(say=say, preferred_ports=PORTS) as stack:
        say(f"Airflow    {stack.api.url}   (no login; it listens on the loopback interface only)")
        say(f"sandbox    {stack.akkio}   (key {SANDBOX_KEY}; used by the connection akkio_default)")
        say("DAG files  example_dags/; changes appear within 30 seconds")
        say(f"output     {stack.output}/")
        say("press Ctrl-C to stop everything")
        try:
            while True:
                for program in stack.programs.values():
                    program.check()
                time.sleep(1)
        except ProgramExitedError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
