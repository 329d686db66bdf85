"""``make stack``: run 200 trainings at once on the distributed stack and kill a triggerer and a worker meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests

from dev.airflow_api import TaskView
from dev.distributed import DistributedStack, running_distributed_stack
from dev.gate import Gate
from dev.processes import ProgramExitedError, deferred_signals, free_ports
from dev.terminal import interruptible, stopwatch, table

DAG_ID, TRAININGS = "trainings", 200
_DAGS = Path(__file__).parent / "dags"
_POLL_SECONDS = 3.0
_REPORT_SECONDS = 15.0
_PHASE_SECONDS = 1500.0
_FINISHED = ("success", "failed", "upstream_failed")


class Check(NamedTuple):
    """A requirement, what was found, and whether that satisfies the requirement."""

    requirement: str
    found: str
    passed: bool


@dataclass
class LoadTest:
    """One run of the DAG."""

    stack: DistributedStack
    gate: Gate
    say: Callable[[str], None]

    def run(self) -> list[Check]:
        """Run all trainings, kill a triggerer and a worker, and return the results."""
        api, gate = self.stack.api, self.gate
        run_id = api.trigger(DAG_ID)
        gate.holds_results = True
        self.say(f"submitting {TRAININGS} trainings; none finishes before all are deferred")
        moved = self._kill_triggerer(run_id, "triggerer-1")
        tasks = self._wait(run_id, "deferral", lambda tasks: _count(tasks, "deferred", "failed") == TRAININGS)
        deferred = _count(tasks, "deferred")
        gate.holds_results = False
        self.say(f"{deferred} trainings are deferred; returning their results")
        lost = self._kill_worker(run_id, "worker-1")
        tasks = self._wait(run_id, "end of all tasks", lambda tasks: _count(tasks, *_FINISHED) == len(tasks))
        final = {task.name: task for task in tasks}
        retried = [
            task
            for task in lost
            if final[task.name].state == "success" and final[task.name].try_number > task.try_number
        ]
        self.say("reading XComs")
        xcoms = [
            [api.xcom(DAG_ID, run_id, task.task_id, key, task.map_index) for key in ("akkio_task_id", "model_id")]
            for task in tasks
        ]
        trainings, models = {training for training, _ in xcoms}, {model for _, model in xcoms}
        succeeded = _count(tasks, "success")
        rate = f"{gate.rejected} of {gate.counter.total} rejected, at most {gate.counter.max_per_second} per second"
        return [
            Check(f"{TRAININGS} trainings are deferred at once", str(deferred), deferred == TRAININGS),
            Check("the killed triggerer had triggers", str(moved), moved > 0),
            Check("the killed worker's tasks succeed on a retry", f"{len(retried)} of {len(lost)}", retried == lost),
            Check(f"{TRAININGS} tasks succeed", str(succeeded), succeeded == TRAININGS == len(tasks)),
            Check(f"{TRAININGS} submissions", str(len(gate.submitted)), len(gate.submitted) == TRAININGS),
            Check("XComs name the submitted trainings", str(len(trainings)), trainings == set(gate.submitted)),
            Check(f"{TRAININGS} different models", str(len(models)), len(models) == TRAININGS),
            Check("no request exceeds the rate limit", rate, gate.rejected == 0),
        ]

    def _kill_triggerer(self, run_id: str, name: str) -> int:
        """Kill a triggerer, restart it once the other has its triggers, and return their number."""

        def has_triggers(tasks: Sequence[TaskView]) -> bool:
            return len(self.gate.submitted) >= TRAININGS / 4 and any(task.triggerer == name for task in tasks)

        tasks = self._wait(run_id, "a quarter of the submissions", has_triggers)
        count = sum(task.triggerer == name for task in tasks)
        self.stack.programs[name].kill()
        self.say(f"killed {name}, which had {count} triggers")
        self._wait(run_id, "move of triggers", lambda tasks: all(task.triggerer != name for task in tasks), name)
        self._restart(name)
        return count

    def _kill_worker(self, run_id: str, name: str) -> list[TaskView]:
        """Kill a worker during a task, restart it once Airflow has noticed, and return the tasks it was running."""
        while True:
            self._wait(run_id, f"a task on {name}", lambda tasks: bool(_running_on(name, tasks)))
            self.stack.programs[name].kill()
            # A task may have succeeded just before the kill.
            lost = _running_on(name, self._wait(run_id, "response", bool, name))
            self.say(f"killed {name} during {len(lost)} tasks")
            self._wait(run_id, "failure of tasks", lambda tasks: not _running_on(name, tasks), name)
            self._restart(name)
            if lost:
                return lost

    def _restart(self, name: str) -> None:
        self.say(f"restarting {name}")
        with deferred_signals():
            self.stack.programs[name].start()

    def _wait(
        self, run_id: str, what: str, condition: Callable[[Sequence[TaskView]], bool], killed: str | None = None
    ) -> list[TaskView]:
        """Wait for a condition on the tasks, while all programs except the killed one are running; return the tasks."""
        deadline, reported_at = time.monotonic() + _PHASE_SECONDS, time.monotonic()
        while not ((tasks := self._tasks(run_id)) and condition(tasks)):
            for name, program in self.stack.programs.items():
                if name != killed:
                    program.check()
            counts = Counter(task.triggerer or task.state or "not scheduled" for task in tasks)
            summary = ", ".join(f"{count} {where}" for where, count in sorted(counts.items()))
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {what} within {_PHASE_SECONDS:.0f} s: {summary}")
            if time.monotonic() > reported_at + _REPORT_SECONDS:
                reported_at = time.monotonic()
                self.say(f"  {len(self.gate.submitted)} submitted; {summary}")
            time.sleep(_POLL_SECONDS)
        return tasks

    def _tasks(self, run_id: str) -> list[TaskView]:
        """Return the tasks, or an empty list if the API server is too busy to respond."""
        with suppress(requests.RequestException, RuntimeError):
            return self.stack.api.tasks(DAG_ID, run_id)
        return []


def main() -> None:
    """Run the load test, print its results and fail if a check has failed."""
    say = stopwatch()
    with interruptible(status=130):
        try:
            checks = _run(say)
        except (ProgramExitedError, TimeoutError) as error:
            raise SystemExit(str(error)) from error
    say("all programs have been stopped and all temporary files deleted")
    if failed := [check.requirement for check in checks if not check.passed]:
        raise SystemExit(f"FAILED: {'; '.join(failed)}")


def _run(say: Callable[[str], None]) -> list[Check]:
    with ExitStack() as cleanup:
        [sandbox_port] = free_ports(1)
        gate = cleanup.enter_context(Gate(f"http://127.0.0.1:{sandbox_port}"))
        stack = cleanup.enter_context(
            running_distributed_stack(dags=_DAGS, sandbox_port=sandbox_port, akkio=gate.address, say=say)
        )
        checks = LoadTest(stack, gate, say).run()
        rows = [(check.requirement, check.found, "yes" if check.passed else "NO") for check in checks]
        print(f"\n{table(('check', 'found', 'passed'), rows)}\n", flush=True)
        say("stopping everything")
    return checks


def _running_on(worker: str, tasks: Sequence[TaskView]) -> list[TaskView]:
    return [task for task in tasks if task.state == "running" and task.hostname == worker]


def _count(tasks: Sequence[TaskView], *states: str) -> int:
    return sum(task.state in states for task in tasks)


if __name__ == "__main__":
    main()
