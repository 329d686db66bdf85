"""``make up``: Airflow with its web page, the example DAGs and the sandbox, until Ctrl-C."""

from __future__ import annotations

import time

from dev.processes import ProgramEndedError
from dev.stack import SANDBOX_KEY, running_stack
from dev.terminal import interruptible, stopwatch

AIRFLOW_PORT = 8080
SANDBOX_PORT = 8765


def main() -> None:
    """Serve until Ctrl-C, or until a part ends by itself."""
    say = stopwatch()
    with interruptible(status=0), running_stack(say=say, preferred_ports=(AIRFLOW_PORT, SANDBOX_PORT)) as stack:
        say(f"Airflow    {stack.api.url}   (no login: it listens on this machine alone)")
        say(f"sandbox    {stack.akkio}   (key {SANDBOX_KEY}; the connection akkio_default leads there)")
        say("DAG files  example_dags/; a change shows within half a minute")
        say(f"output     {stack.output}/")
        say("Ctrl-C stops everything")
        try:
            while True:
                for program in stack.programs.values():
                    program.check()
                time.sleep(1)
        except ProgramEndedError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
