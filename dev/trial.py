"""``make stack``: 200 trainings at once on the distributed stack, of which a worker and a triggerer are killed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests

from dev.airflow_api import TaskView
from dev.distributed import DistributedStack, running_distributed_stack
from dev.gate import CountingGate
from dev.listing import table
from dev.memory import MemoryWatch
from dev.processes import Program, ProgramEndedError, free_ports
from dev.terminal import interruptible, stopwatch

BY_WORKERS, TRAININGS = "by_workers", 200
BY_TRIGGERERS, WITHOUT_WORKERS = "by_triggerers", 20
SANDBOX_KEY_SETTING = "AKKIO_SANDBOX_KEY"
_DAGS = Path(__file__).parent / "dags"
_LOOK_SECONDS = 3.0
_TELL_SECONDS = 15.0
_PHASE_SECONDS = 1500.0
_TASK_SECONDS = re.compile(r"execute_workload\[[-\w]+\] succeeded in ([\d.]+)s")
_TASK_RECEIVED = re.compile(r"execute_workload\[[-\w]+\] received")
_MIB = 1024 * 1024

Answer = TypeVar("Answer")

PHASES = ("phase", "time")
MEMORY = ("part", "processes", "peak of memory (PSS)")
WORKERS = ("run", "trainings", "worker processes per training", "worker time per training")
PROMISES = ("promise", "found", "kept")
"""The headers of the tables that are printed."""


def run_promises(dag_id: str, count: int) -> tuple[str, ...]:
    """Return what is promised of each run.

    :param dag_id: its DAG.
    :param count: how many trainings it has.
    """
    return (
        f"{dag_id}: {count} tasks succeed",
        f"{dag_id}: {count} submissions",
        f"{dag_id}: {count} different models",
        f"{dag_id}: XComs have Akkio's models",
    )


KILLING_PROMISES = (
    f"{TRAININGS} are waited for at the same time",
    "the killed triggerer held waiting trainings",
    "the killed worker's tasks succeed on a later try",
)
NO_WORKER_PROMISE = f"{BY_TRIGGERERS}: no worker process"
LIMIT_PROMISE = "no request over the account's limit"
ALL_PROMISES = (
    *run_promises(BY_WORKERS, TRAININGS),
    *KILLING_PROMISES,
    *run_promises(BY_TRIGGERERS, WITHOUT_WORKERS),
    NO_WORKER_PROMISE,
    LIMIT_PROMISE,
)
"""What is promised, in the order in which it is printed."""


@dataclass(frozen=True)
class Promise:
    """Something that has to hold.

    :param what: the promise.
    :param found: what was seen.
    :param is_kept: whether that is it.
    """

    what: str
    found: str
    is_kept: bool


@dataclass(frozen=True)
class WorkerTime:
    """What workers were held for.

    :param processes: how many worker processes came to their end.
    :param seconds: for how long they held a place of a worker, together.
    :param received: how many tasks the workers took from the queue, whatever became of them.
    """

    processes: int
    seconds: float
    received: int


@dataclass
class Trial:
    """One run of a DAG on the stack.

    :param stack: where.
    :param gate: between the stack and the sandbox.
    :param say: told what is going on.
    :param dag_id: which DAG.
    :param count: how many trainings it has.
    """

    stack: DistributedStack
    gate: CountingGate
    say: Callable[[str], None]
    dag_id: str
    count: int
    phases: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._submitted_before = len(self.gate.submitted)
        self._lines_before = {name: len(self._log(name)) for name in self.stack.names("worker")}
        self.run_id = self.stack.api.trigger(self.dag_id)
        self._told_at = time.monotonic()

    @property
    def submitted(self) -> list[str]:
        """The ids of the trainings that Akkio has accepted."""
        return self.gate.submitted[self._submitted_before :]

    def tasks(self) -> list[TaskView]:
        """Return all of its tasks, once the API server is not too busy to say.

        :raises TimeoutError: if it says nothing for a minute.
        """
        return self._answered(lambda: self.stack.api.tasks(self.dag_id, self.run_id))

    def xcom(self, task: TaskView, key: str) -> Any:
        """Return what one of its tasks left.

        :param task: the task.
        :param key: of the XCom.
        :raises TimeoutError: if the API server says nothing for a minute.
        """
        return self._answered(lambda: self.stack.api.xcom(self.dag_id, self.run_id, task.task_id, key, task.map_index))

    def wait(self, what: str, condition: Callable[[list[TaskView]], bool], spared: Sequence[str] = ()) -> None:
        """Wait for something that its tasks tell, and say now and then how it stands.

        :param what: what is waited for.
        :param condition: told the tasks.
        :param spared: the programs that may be down meanwhile.
        :raises TimeoutError: if it does not come true in time.
        """
        ends_at = time.monotonic() + _PHASE_SECONDS
        while not condition(tasks := self.tasks()):
            for name, program in self.stack.programs.items():
                if name not in spared:
                    program.check()
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{what} did not happen within {_PHASE_SECONDS:.0f} s: {_standing(tasks)}")
            if time.monotonic() > self._told_at + _TELL_SECONDS:
                self._told_at = time.monotonic()
                self.say(f"  {len(self.submitted)} submitted; {_standing(tasks)}")
            time.sleep(_LOOK_SECONDS)

    def _answered(self, ask: Callable[[], Answer]) -> Answer:
        return answered(ask, self.stack.programs["api-server"])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note how long a part of it takes."""
        began = time.monotonic()
        yield
        self.phases[name] = time.monotonic() - began

    def worker_time(self) -> WorkerTime:
        """Return what its tasks held the workers for, as Celery says it of those that came to their end.

        Of what a killed worker had, it says nothing.
        """
        found: list[float] = []
        received = 0
        for name in self.stack.names("worker"):
            lines = "\n".join(self._log(name)[self._lines_before[name] :])
            found += map(float, _TASK_SECONDS.findall(lines))
            received += len(_TASK_RECEIVED.findall(lines))
        return WorkerTime(len(found), sum(found), received)

    def _log(self, name: str) -> list[str]:
        return self.stack.programs[name].log.read_text(errors="replace").splitlines()


def answered(ask: Callable[[], Answer], server: Program, seconds: float = 60.0) -> Answer:
    """Return what a server answers, once it is not too busy.

    :param ask: asks it.
    :param server: its program.
    :param seconds: for how long it is asked again.
    :raises ProgramEndedError: if it has ended.
    :raises TimeoutError: if it does not answer; from what it did instead.
    """
    ends_at = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (requests.RequestException, RuntimeError) as error:
            server.check()
            if time.monotonic() > ends_at:
                raise TimeoutError(f"no answer within {seconds:.0f} s: {error}") from error
            time.sleep(1)


def main() -> None:
    """Run the trainings, print what came of them, and fail if a promise does not hold."""
    say = stopwatch()
    began = time.monotonic()
    with interruptible(status=130):
        try:
            promises = _run(say)
        except (ProgramEndedError, TimeoutError) as error:
            raise SystemExit(f"{error}") from error
    say(f"nothing is left running, and no folder behind; {time.monotonic() - began:.0f} s in all")
    if broken := [promise.what for promise in promises if not promise.is_kept]:
        raise SystemExit(f"BROKEN: {'; '.join(broken)}")


def _run(say: Callable[[str], None]) -> list[Promise]:
    began = time.monotonic()
    with ExitStack() as cleanup:
        [sandbox_port] = free_ports(1)
        sandbox = f"http://127.0.0.1:{sandbox_port}"
        gate = cleanup.enter_context(CountingGate(sandbox))
        stack = cleanup.enter_context(
            running_distributed_stack(dags=_DAGS, sandbox_port=sandbox_port, akkio=gate.address, say=say)
        )
        memory = cleanup.enter_context(MemoryWatch(stack.programs))
        started = time.monotonic() - began
        by_workers = Trial(stack, gate, say, BY_WORKERS, TRAININGS)
        killed = _train_while_parts_die(by_workers)
        say("looking at the models")
        promises = [*_promises(by_workers, sandbox), *killed]
        held_by_workers = by_workers.worker_time()  # by now the processes of its last tasks have ended, too
        say(f"{WITHOUT_WORKERS} more trainings, with start_from_trigger=True")
        by_triggerers = Trial(stack, gate, say, BY_TRIGGERERS, WITHOUT_WORKERS)
        with by_triggerers.phase(f"{WITHOUT_WORKERS} trainings without a worker"):
            by_triggerers.wait("the end of the run", _all_ended)
        promises += _promises(by_triggerers, sandbox)
        held_by_triggerers = by_triggerers.worker_time()
        promises += [no_worker_promise(held_by_workers, held_by_triggerers), _limit_promise(gate)]
        phases = {"start of the stack": started, **by_workers.phases, **by_triggerers.phases}
        worker_times = ((by_workers, held_by_workers), (by_triggerers, held_by_triggerers))
        _show(phases, memory, worker_times, promises)
        say("stopping everything")
    return promises


def _train_while_parts_die(trial: Trial) -> list[Promise]:
    """See all trainings through, and return what became of the parts that were killed."""
    trial.gate.is_held = True
    trial.say(f"{trial.count} trainings are asked for, in mapped tasks; none ends before all are under way")
    with trial.phase(f"{trial.count} submissions, a triggerer killed"):
        trial.wait(
            "a quarter of the submissions", lambda tasks: len(trial.submitted) >= trial.count / 4 and _held(tasks)
        )
        triggers = _kill_triggerer(trial, "triggerer-1")
        trial.wait("the wait of all trainings", lambda tasks: _count(tasks, "deferred", "failed") == trial.count)
    tasks = trial.tasks()
    waiting = _count(tasks, "deferred")
    trial.say(f"{waiting} are waited for at the same time; {_standing(tasks)}")
    trial.gate.is_held = False
    with trial.phase("their ends, a worker killed"):
        lost = _kill_worker(trial, "worker-1")
        trial.wait("the end of the run", _all_ended)
    mended = succeeded_later(lost, trial.tasks())
    return promised(
        KILLING_PROMISES,
        (str(waiting), waiting == trial.count),
        (str(triggers), triggers > 0),
        (f"{mended} of {len(lost)}", 0 < mended == len(lost)),
    )


def _kill_triggerer(trial: Trial, name: str) -> int:
    """Kill a triggerer, start it again once another has taken over, and return how many triggers it held."""
    stack = trial.stack
    killed = stack.programs[name]
    held = sum(task.triggerer == name for task in trial.tasks())
    killed.kill()
    trial.say(f"SIGKILL of {name}, which held {held} waiting trainings")
    trial.wait(
        "the move of its triggers",
        lambda tasks: bool(tasks) and all(one.triggerer != name for one in tasks),
        spared=[name],
    )
    trial.say(f"the other triggerer has them; starting {name} again")
    stack.start_again(killed)
    return held


def _kill_worker(trial: Trial, name: str) -> list[TaskView]:
    """Kill a worker that has tasks, start it again once Airflow knows, and return the tasks that were lost with it."""
    stack = trial.stack
    killed = stack.programs[name]
    while True:
        trial.wait(f"a task in {name}", lambda tasks: bool(_running_on(name, tasks)))
        # What it had when it was last looked at may have ended since.
        killed.freeze()
        if not trial.gate.under_way and _running_on(name, trial.tasks()):
            break
        killed.thaw()
    killed.kill()
    # An end that it had told at last is in Airflow by now; what still runs there does so no more.
    lost = _running_on(name, trial.tasks())
    trial.say(f"SIGKILL of {name}, which had a task in {len(lost)} of its processes; no submission was under way")

    def are_known(tasks: list[TaskView]) -> bool:
        return bool(tasks) and not set(lost) & set(_running_on(name, tasks))

    trial.wait("the end of its tasks in Airflow", are_known, spared=[name])
    trial.say(f"Airflow has noticed; starting {name} again")
    stack.start_again(killed)
    return lost


def succeeded_later(lost: Sequence[TaskView], tasks: Sequence[TaskView]) -> int:
    """Return how many tasks have succeeded on a later try than the one that was lost.

    :param lost: them, as they were when they were lost.
    :param tasks: all tasks of the run at its end.
    """
    at_the_end = {task.name: task for task in tasks}
    ends = [(task, at_the_end[task.name]) for task in lost]
    return sum(end.state == "success" and end.try_number > task.try_number for task, end in ends)


def promised(names: Sequence[str], *outcomes: tuple[str, bool]) -> list[Promise]:
    """Return promises by their names.

    :param names: what is promised.
    :param outcomes: of each, what was seen and whether that is it.
    """
    return [Promise(what, *outcome) for what, outcome in zip(names, outcomes, strict=True)]


def _promises(trial: Trial, sandbox: str) -> list[Promise]:
    tasks = trial.tasks()
    succeeded = _count(tasks, "success")
    left = {trial.xcom(task, "akkio_task_id"): trial.xcom(task, "return_value") for task in tasks}
    key = trial.stack.parts["sandbox"].settings[SANDBOX_KEY_SETTING]
    akkios = {one: _model_at_akkio(sandbox, key, one) for one in trial.submitted}
    count, models = trial.count, set(left.values())
    return promised(
        run_promises(trial.dag_id, count),
        (str(succeeded), succeeded == count == len(tasks)),
        (str(len(trial.submitted)), len(trial.submitted) == count),
        (str(len(models)), len(models) == count),
        (str(sum(akkios.get(one) == left[one] for one in left)), left == akkios),
    )


def _model_at_akkio(sandbox: str, key: str, akkio_task_id: str) -> str | None:
    answer = requests.get(
        f"{sandbox}/api/v1/models/train/{akkio_task_id}/result", headers={"X-API-Key": key}, timeout=30
    )
    return str(answer.json()["model_id"]) if answer.ok else None


def no_worker_promise(by_workers: WorkerTime, by_triggerers: WorkerTime) -> Promise:
    """Return what the workers' log says of the run that needs none.

    :param by_workers: what it says of the run that needs them: nothing seen there means that the log is not understood.
    :param by_triggerers: what it says of the other.
    """
    found = f"{by_triggerers.received}, after {by_workers.received} of {BY_WORKERS}"
    return Promise(NO_WORKER_PROMISE, found, by_triggerers.received == 0 and by_workers.received >= TRAININGS)


def _limit_promise(gate: CountingGate) -> Promise:
    found = f"{gate.refused} of {gate.arrivals.total}; at most {gate.arrivals.most_in_one_second} within one second"
    return Promise(LIMIT_PROMISE, found, gate.refused == 0)


def _show(
    phases: dict[str, float],
    memory: MemoryWatch,
    worker_times: Sequence[tuple[Trial, WorkerTime]],
    promises: Sequence[Promise],
) -> None:
    time_rows = [(name, f"{seconds:.0f} s") for name, seconds in phases.items()]
    memory_rows = [
        (name, str(memory.most_processes[name]), f"{most / _MIB:,.0f} MiB") for name, most in memory.most_bytes.items()
    ]
    worker_rows = []
    for trial, spent in worker_times:
        each = (f"{spent.processes / trial.count:.2f}", f"{spent.seconds / trial.count:.2f} s")
        worker_rows.append((trial.dag_id, str(trial.count), *each))
    promise_rows = [(promise.what, promise.found, "yes" if promise.is_kept else "NO") for promise in promises]
    for text in (
        table(PHASES, time_rows),
        table(MEMORY, memory_rows),
        table(WORKERS, worker_rows),
        table(PROMISES, promise_rows),
    ):
        print(f"\n{text}", flush=True)
    print(flush=True)


def _all_ended(tasks: list[TaskView]) -> bool:
    return bool(tasks) and all(task.state in ("success", "failed", "upstream_failed") for task in tasks)


def _held(tasks: list[TaskView]) -> bool:
    return any(task.triggerer == "triggerer-1" for task in tasks)


def _running_on(worker: str, tasks: list[TaskView]) -> list[TaskView]:
    return [task for task in tasks if task.state == "running" and task.hostname == worker]


def _count(tasks: list[TaskView], *states: str) -> int:
    return sum(task.state in states for task in tasks)


def _standing(tasks: list[TaskView]) -> str:
    """Return how many tasks there are in each state, and with each triggerer."""
    counts = Counter(task.triggerer or task.state or "not scheduled" for task in tasks)
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


if __name__ == "__main__":
    main()
