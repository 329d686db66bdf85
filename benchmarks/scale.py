"""How much is measured: all of it, or a little to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of all measures.

    :param polling: triggers whose polls' CPU time is compared with a bare loop's.
    :param rounds: how often each of the two is measured.
    :param seconds: how long each time.
    :param waiting: triggers whose memory is measured, and the sizes whose growth is.
    :param blocking: triggers that start at once while the loop is watched.
    :param watched: seconds for which it is watched.
    :param idle: seconds for which an idle loop is watched.
    :param requester: trainings that want their ends within the rate.
    :param asking_seconds: seconds for which they may ask.
    :param simulated: trainings of each length and kind in virtual time.
    :param real: trainings in real time.
    :param real_seconds: how long each of these takes.
    :param interpreters: fresh interpreters that import an operator.
    :param in_flight: numbers of trainings in flight under load.
    :param load_target: the one of them that has a goal.
    :param load_seconds: virtual seconds of the load that count, at least.
    :param load_ends: ends of trainings that count, about, at least.
    :param batch: trainings that are submitted at once.
    :param picture: where the picture of the load goes; ``None`` draws none.
    :param page_runs: runs in the database of which pages are asked for.
    :param page_requests: how often each page is.
    :param moved: rows that are uploaded, and predicted from, as fast as may be.
    :param moved_slowly: likewise, where each answer takes its time.
    :param moved_rounds: how often each of these two, and the bare loop beside it.
    :param moved_batches: batches that are uploaded within the rate.
    :param moved_memory: numbers of rows with which memory is measured.
    """

    polling: int
    rounds: int
    seconds: float
    waiting: tuple[int, ...]
    blocking: int
    watched: float
    idle: float
    requester: int
    asking_seconds: float
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
    requester=1000,
    asking_seconds=60,
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
    requester=10,
    asking_seconds=2,
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
