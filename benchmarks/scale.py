"""Sizes of the benchmarks: full, or small to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of all benchmarks; durations are in seconds.

    :param polling: triggers whose CPU time per poll is compared with a bare loop.
    :param rounds: measurements of each of the two.
    :param seconds: duration of each measurement.
    :param waiting: numbers of triggers for memory and growth.
    :param blocking: triggers that start while the event loop is watched.
    :param watched: duration for which the event loop is watched.
    :param idle: duration for which an idle event loop is watched.
    :param finished: finished trainings that are polled within the rate limit.
    :param finished_seconds: duration of that measurement.
    :param simulated: trainings per length and scenario in virtual time.
    :param real: trainings in real time.
    :param real_seconds: duration of each of them.
    :param interpreters: new interpreters that import an operator.
    :param in_flight: numbers of trainings in flight under load.
    :param load_target: the number that has a goal.
    :param load_seconds: minimum virtual duration of the load.
    :param load_ends: approximate minimum number of trainings that end under load.
    :param batch: trainings that are submitted at once.
    :param picture: file of the diagram; ``None`` for no diagram.
    :param page_runs: DAG runs in the database.
    :param page_requests: requests per page.
    :param moved: rows to upload and to predict without a response delay.
    :param moved_slowly: rows to upload and to predict with a response delay.
    :param moved_rounds: measurements of each of these, and of the bare loop.
    :param moved_batches: batches that are uploaded within the rate limit.
    :param moved_memory: numbers of rows for memory.
    """

    polling: int
    rounds: int
    seconds: float
    waiting: tuple[int, ...]
    blocking: int
    watched: float
    idle: float
    finished: int
    finished_seconds: float
    simulated: int
    real: int
    real_seconds: int
    interpreters: int
    in_flight: tuple[int, ...]
    load_target: int
    load_seconds: float
    load_ends: int
    batch: int
    picture: Path | None
    page_runs: int
    page_requests: int
    moved: int
    moved_slowly: int
    moved_rounds: int
    moved_batches: int
    moved_memory: tuple[int, ...]


_PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "delay-under-load.svg"

FULL = Scale(
    polling=300,
    rounds=7,
    seconds=4,
    waiting=(100, 1000, 10000),
    blocking=1000,
    watched=15,
    idle=15,
    finished=1000,
    finished_seconds=60,
    simulated=500,
    real=30,
    real_seconds=10,
    interpreters=7,
    in_flight=(10, 30, 100, 300, 1000, 3000),
    load_target=1000,
    load_seconds=6000,
    load_ends=800,
    batch=1000,
    picture=_PICTURE,
    page_runs=10_000,
    page_requests=50,
    moved=200_000,
    moved_slowly=50_000,
    moved_rounds=5,
    moved_batches=50,
    moved_memory=(10_000, 100_000, 1_000_000),
)
QUICK = Scale(
    polling=30,
    rounds=1,
    seconds=1,
    waiting=(20, 60),
    blocking=30,
    watched=1,
    idle=1,
    finished=10,
    finished_seconds=2,
    simulated=5,
    real=5,
    real_seconds=3,
    interpreters=1,
    in_flight=(10, 30),
    load_target=30,
    load_seconds=1500,
    load_ends=10,
    batch=30,
    picture=None,
    page_runs=30,
    page_requests=5,
    moved=3_000,
    moved_slowly=1_000,
    moved_rounds=1,
    moved_batches=8,
    moved_memory=(1_000, 2_000),
)
