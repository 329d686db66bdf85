"""All benchmarks by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from statistics import median
from typing import Any

from benchmarks import blocking, cpu, delay, imports, load, memory, pages, rate, rows, workers
from benchmarks.fresh import in_fresh_interpreter
from benchmarks.picture import draw
from benchmarks.report import Row
from benchmarks.scale import Scale

_POLLS_PER_SECOND = 500
_KIB = 1024
_GROWTH = 1.2
"""Tolerated growth per trigger with ten times as many triggers: the noise of a small machine."""


def poll_cost(scale: Scale) -> list[Row]:
    """Measure the CPU time per poll as a multiple of a bare loop on one shared session."""
    rounds = in_fresh_interpreter(
        cpu.measured_in_turns, count=scale.polling, poll_interval=0.5, seconds=scale.seconds, rounds=scale.rounds
    )
    ratio = median(times["provider"] / times["bare"] for times in rounds)
    provider, bare = (median(times[side] for times in rounds) for side in ("provider", "bare"))
    how = f"{scale.polling} triggers over TLS, by a bare loop on one aiohttp session; median of {scale.rounds}"
    result = f"{ratio:.2f} times ({provider:.0f} µs, bare {bare:.0f} µs)"
    return [Row("CPU per poll", how, "<= 1.3 times", result, ratio <= 1.3, {"ratio": ratio, "rounds": rounds})]


@cache
def _many_triggers(scale: Scale) -> Mapping[str, Any]:
    found: Mapping[str, Any] = in_fresh_interpreter(
        blocking.many_triggers, count=scale.blocking, poll_interval=2, seconds=scale.watched
    )
    return found


def connections(scale: Scale) -> list[Row]:
    """Count the connections that many triggers open."""
    found = _many_triggers(scale)
    total, most = found["connections"], found["most_connections"]
    result = f"{most} at once, {total} in total"
    return [Row("connections", f"{scale.blocking} triggers over TLS", "<= 8", result, total <= 8, found)]


def longest_block(scale: Scale) -> list[Row]:
    """Measure the longest block of the event loop while many triggers start and poll."""
    found = _many_triggers(scale)
    idle = in_fresh_interpreter(blocking.idle_block, seconds=scale.idle)
    longest = max(found[part] for part in ("load", "start", "after"))
    how = (
        f"{scale.blocking} triggers, a watchdog every 5 ms, without garbage collection of imported objects; "
        f"an idle loop on this machine: {idle:.0f} ms"
    )
    result = (
        f"{longest:.0f} ms (loading the trigger {found['load']:.0f}, start {found['start']:.0f}, "
        f"then {found['after']:.0f})"
    )
    return [Row("longest block", how, "<= 50 ms", result, longest <= 50, {**found, "idle": idle})]


@cache
def _bytes_per_trigger(count: int) -> float:
    return float(in_fresh_interpreter(memory.bytes_per_trigger, count=count))


def waiting_memory(scale: Scale) -> list[Row]:
    """Measure the resident memory per trigger."""
    rows = []
    for count in scale.waiting[-2:]:
        kib = _bytes_per_trigger(count) / _KIB
        how = f"growth of the resident size with {count} sleeping triggers"
        rows.append(Row("memory per trigger", how, "<= 15 KiB", f"{kib:.1f} KiB", kib <= 15, {"kib": kib}))
    return rows


def request_rate(scale: Scale) -> list[Row]:
    """Count the requests per second of many trainings on one account, when they arrive."""
    found = in_fresh_interpreter(rate.many_finished, count=scale.finished, seconds=scale.finished_seconds)
    most, rejected = found["most_in_one_second"], found["refused"]
    how = f"{scale.finished} trainings that have all ended, {scale.finished_seconds:.0f} s; times of arrival"
    result = f"at most {most} within 1 s, {rejected} rejected, {found['requests']} in total"
    return [Row("requests per second", how, "<= 5, none rejected", result, most <= 5 and not rejected, found)]


def detection_delay(scale: Scale) -> list[Row]:
    """Measure the seconds from the end of a training until its result is available."""
    found = in_fresh_interpreter(delay.simulated, count=scale.simulated)
    rows = [_delay_row(scale, scenario, found[scenario.name]) for scenario in delay.SCENARIOS]
    seconds = scale.real_seconds
    late = in_fresh_interpreter(delay.real, duration=seconds, count=scale.real)
    virtual = in_fresh_interpreter(delay.simulated, count=scale.simulated, response_seconds=0.002, lengths=[seconds])
    expected = virtual["no estimate"][str(seconds)]["mean"]
    how = f"{scale.real} real triggers, clock and sockets, {seconds} s each, no estimate"
    result = f"{late:.2f} s (in virtual time {expected:.2f} s)"
    return [*rows, Row("delay, in real time", how, "as in virtual time", result, None, {"real": late})]


def _delay_row(scale: Scale, scenario: delay.Scenario, found: Mapping[str, Mapping[str, float]]) -> Row:
    result = ", ".join(
        f"{seconds} s: {one['mean']:.2f} s ({one['mean'] / int(seconds):.1%}), {one['polls']} polls"
        for seconds, one in found.items()
    )
    how = f"{scale.simulated} trainings of each length in virtual time"
    if scenario.max_delay is None or scenario.max_polls is None:
        return Row(f"delay, {scenario.name}", how, "", result, None, found)
    is_met = all(
        one["mean"] <= max(1.0, scenario.max_delay * int(seconds)) and one["polls"] <= scenario.max_polls
        for seconds, one in found.items()
    )
    goal = f"mean <= {scenario.max_delay:.0%} or 1 s, <= {scenario.max_polls} polls"
    return Row(f"delay, {scenario.name}", how, goal, result, is_met, found)


def delay_under_load(scale: Scale) -> list[Row]:
    """Measure the mean delay of trainings without an estimate that share the rate limit, and the lower bound."""
    steady = {
        count: in_fresh_interpreter(load.steady, count=count, seconds=_load_seconds(scale, count))
        for count in scale.in_flight
    }
    if scale.picture is not None:
        draw(scale.picture, steady)
    batch = in_fresh_interpreter(load.batch, count=scale.batch)
    target = scale.load_target
    return [
        _load_row("delay under load, steady", f"{target} trainings at all times, memoryless ends", steady[target]),
        _load_row("delay under load, batch", f"{scale.batch} at once, ends uniform over 1,800 s", batch),
        Row(
            "delay by load",
            "trainings in flight: mean delay (best possible)",
            "",
            ", ".join(f"{count}: {one['mean']:.1f} s ({one['bound']:.1f})" for count, one in steady.items()),
            None,
            {str(count): one for count, one in steady.items()},
        ),
    ]


def _load_seconds(scale: Scale, count: int) -> float:
    """Return the virtual duration, which is longer for few trainings so that enough of them end."""
    return max(scale.load_seconds, scale.load_ends * load.MEAN_SECONDS / count)


def _load_row(measure: str, how: str, found: Mapping[str, float]) -> Row:
    ratio = found["mean"] / found["bound"]
    result = f"{ratio:.2f} times ({found['mean']:.1f} s, at best {found['bound']:.1f} s)"
    return Row(
        measure, f"{how}; 5 requests per second, virtual time", "<= 1.3 times the best", result, ratio <= 1.3, found
    )


def operator_import(scale: Scale) -> list[Row]:
    """Measure the import of the operators after ``airflow.sdk``."""
    own = _import_row(scale, "import of the operator", "airflow_provider_akkio.operators.akkio", 15.0)
    return [own, _import_row(scale, "import of BashOperator", "airflow.providers.standard.operators.bash", None)]


def _import_row(scale: Scale, measure: str, module: str, goal: float | None) -> Row:
    in_fresh_interpreter(imports.first_import, module=module)  # compiles the modules
    found = [in_fresh_interpreter(imports.first_import, module=module) for _ in range(scale.interpreters)]
    milliseconds = median(one["milliseconds"] for one in found)
    heavy = sorted({name for one in found for name in one["heavy"]})
    result = f"{milliseconds:.1f} ms, loads {', '.join(heavy) or 'no HTTP library, ORM or trigger'}"
    how = f"after airflow.sdk; median of {scale.interpreters} fresh interpreters"
    is_met = None if goal is None else milliseconds <= goal and not heavy
    return Row(measure, how, "" if goal is None else f"<= {goal:.0f} ms", result, is_met, {"ms": milliseconds})


def growth(scale: Scale) -> list[Row]:
    """Measure how CPU time per poll and memory per trigger change with the number of triggers."""
    polls = {count: _microseconds(scale, count) for count in scale.waiting}
    kib = {count: _bytes_per_trigger(count) / _KIB for count in scale.waiting}
    return [
        _growth_row("growth of CPU per poll", f"about {_POLLS_PER_SECOND} polls per second", polls, "µs"),
        _growth_row("growth of memory per trigger", "resident size", kib, "KiB"),
    ]


def _microseconds(scale: Scale, count: int) -> float:
    interval = count / _POLLS_PER_SECOND
    return float(
        in_fresh_interpreter(cpu.measured_alone, count=count, poll_interval=interval, seconds=3 * scale.seconds)
    )


def _growth_row(measure: str, how: str, found: Mapping[int, float], unit: str) -> Row:
    fewer, most = list(found.values())[-2:]
    result = ", ".join(f"{count}: {one:.1f} {unit}" for count, one in found.items())
    goal = f"linear: no more than {_GROWTH:g} times with ten times as many triggers"
    numbers = {str(count): one for count, one in found.items()}
    return Row(measure, how, goal, result, most <= _GROWTH * fewer, numbers)


def worker_processes(_: Scale) -> list[Row]:
    """Count the worker processes per training in a real Airflow."""
    count = workers.processes_per_training()
    how = "AkkioTrainOperator(), starts in its log in a whole Airflow"
    return [Row(f"workers, {workers.TASK_ID}", how, "2", f"{count} worker processes", count == 2, {"count": count})]


def page_times(scale: Scale) -> list[Row]:
    """Measure the response times of the pages in Airflow's API server."""
    found = pages.seconds_by_page(scale.page_runs, scale.page_requests)
    how = (
        f"{pages.CLASSES} classes, {pages.FIELDS} fields, {scale.page_runs:,} runs in a PostgreSQL; "
        f"over HTTP on one machine, median of {scale.page_requests}"
    )
    limits = {"tab": ("<= 150 ms, <= 200 KB", 0.15, 200 * _KIB), "list": ("", math.inf, math.inf)}
    return [
        Row(
            f"page, {name}",
            how,
            limits[name][0],
            f"{1000 * one['median']:.0f} ms, at most {1000 * one['longest']:.0f}; {one['bytes'] / _KIB:.0f} KB",
            (one["median"] <= limits[name][1] and one["bytes"] <= limits[name][2]) if limits[name][0] else None,
            one,
        )
        for name, one in found.items()
    ]


MEASURES: Mapping[str, Callable[[Scale], list[Row]]] = {
    "cpu": poll_cost,
    "connections": connections,
    "block": longest_block,
    "memory": waiting_memory,
    "rate": request_rate,
    "delay": detection_delay,
    "load": delay_under_load,
    "import": operator_import,
    "growth": growth,
    "workers": worker_processes,
    "pages": page_times,
    "upload": rows.uploading,
    "query": rows.querying,
    "predict": rows.predicting,
}
WHOLE_AIRFLOW = frozenset({"workers", "pages"})
"""Benchmarks that start a real Airflow; a quick run includes them only by name."""
