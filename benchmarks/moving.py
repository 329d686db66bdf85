"""Rows on their way to Akkio and predictions on their way back: by the operators, and by a bare loop beside them."""

from __future__ import annotations

import csv
import gc
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

import psutil

from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import CONNECTION, connect

if TYPE_CHECKING:
    import requests

_Post = Callable[[str, dict[str, Any]], Any]

BATCH_ROWS = {"upload": 1000, "predict": 500}
"""Rows of a request: the operators' defaults."""

_FIELDS = ("number", "day", "city", "remark", "age", "price", "share", "score", "segment", "visits")
_CONVERTERS: tuple[Callable[[str], Any], ...] = (int, str, str, str, int, float, float, float, str, int)
_CITIES = ("Lyon", "Graz", "Lima", "Osaka", "Leeds", "Quito", "Turku")
_REMARKS = ("called twice", "no answer, try again", 'said "maybe"', "wants an offer by post", "")


def write_file(path: str, count: int) -> None:
    """Write a file with ten fields, of which half are numbers; its ending says whether it is CSV or Parquet.

    :param path: the file.
    :param count: how many rows.
    """
    if path.endswith(".parquet"):
        _write_parquet(path, count)
        return
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_FIELDS)
        writer.writerows(_rows(0, count))


def _write_parquet(path: str, count: int) -> None:
    import pyarrow
    import pyarrow.parquet

    writer = None
    for first in range(0, count, 50_000):
        columns = zip(*_rows(first, min(count, first + 50_000)), strict=True)
        table = pyarrow.table(dict(zip(_FIELDS, map(list, columns), strict=True)))
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _rows(first: int, end: int) -> Iterator[tuple[Any, ...]]:
    for number in range(first, end):
        mixed = number * 7919 % 100_003
        yield (
            number,
            f"2026-{mixed % 12 + 1:02}-{mixed % 28 + 1:02}",
            _CITIES[mixed % 7],
            _REMARKS[mixed % 5],
            18 + mixed % 70,
            mixed / 100,
            mixed / 100_003,
            -mixed * 1.0625,
            f"segment {mixed % 40}",
            mixed % 365,
        )


@dataclass(frozen=True, slots=True)
class _Job:
    """One task to do with a file of rows.

    :param kind: ``upload`` or ``predict``.
    :param source: the file.
    :param batch_size: rows of a request.
    """

    kind: str
    source: Path
    batch_size: int

    @property
    def output(self) -> Path:
        """Where predictions go."""
        return self.source.with_name(f"predictions{self.source.suffix}")


class _TaskInstance:
    """What an operator needs of the instance of its task."""

    dag_id = run_id = task_id = "benchmark"
    map_index, try_number = -1, 1

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep nothing."""


def rates(kind: str, source: str, rounds: int, answer_seconds: float) -> list[dict[str, float]]:
    """Return the seconds that an operator takes for a file, and those of a bare loop, in turns in one process.

    :param kind: ``upload`` or ``predict``.
    :param source: the file, which is CSV.
    :param rounds: how often to measure each.
    :param answer_seconds: how long each answer takes.
    """
    job = _Job(kind, Path(source), BATCH_ROWS[kind])
    with loopback_akkio(answer_seconds=answer_seconds) as akkio:
        connect(akkio)
        _seconds(_by_operator, akkio, _small(job))
        return [
            {"provider": _seconds(_by_operator, akkio, job), "bare": _seconds(_by_bare_loop, akkio, job)}
            for _ in range(rounds)
        ]


def peak_growth(kind: str, source: str) -> dict[str, float]:
    """Return by how many bytes the resident size rises at most while an operator takes all rows of a file.

    It is counted from the size after a file of a few rows, so that nothing is loaded or connected any more.

    :param kind: ``upload`` or ``predict``.
    :param source: the file.
    """
    job = _Job(kind, Path(source), BATCH_ROWS[kind])
    with loopback_akkio() as akkio:
        connect(akkio)
        _by_operator(akkio, _small(job))
        gc.collect()
        before = int(psutil.Process().memory_info().rss)
        _by_operator(akkio, job)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"before": before, "peak": peak, "growth": peak - before}


def within_rate(batches: int, requests_per_second: int) -> dict[str, float]:
    """Return what a server counted of an upload, and how long it took.

    :param batches: requests with rows.
    :param requests_per_second: the connection's limit.
    """
    with TemporaryDirectory(prefix="akkio-rows-") as name, loopback_akkio() as akkio:
        source = Path(name) / "rows.csv"
        write_file(str(source), 10 * batches)
        connect(akkio, requests_per_second)
        seconds = _seconds(_by_operator, akkio, _Job("upload", source, 10))
        counts = akkio.counts()
    return {"requests": counts.requests, "most_in_one_second": counts.most_in_one_second, "seconds": seconds}


def _small(job: _Job) -> _Job:
    """Return the same with a file of a few rows, which is written beside the other."""
    source = job.source.with_name(f"small{job.source.suffix}")
    write_file(str(source), 20)
    return _Job(job.kind, source, job.batch_size)


def _seconds(side: Callable[[Loopback, _Job], None], akkio: Loopback, job: _Job) -> float:
    gc.collect()
    started = time.perf_counter()
    side(akkio, job)
    return time.perf_counter() - started


def _by_operator(_: Loopback, job: _Job) -> None:
    from airflow_provider_akkio.operators.datasets import AkkioUploadDatasetOperator
    from airflow_provider_akkio.operators.models import AkkioPredictOperator

    common: dict[str, Any] = {"task_id": "benchmark", "akkio_conn_id": CONNECTION, "batch_size": job.batch_size}
    context: Any = {"ti": _TaskInstance()}
    if job.kind == "upload":
        AkkioUploadDatasetOperator(source=job.source, dataset_name="rows", **common).execute(context)
    else:
        predict = AkkioPredictOperator(model_id="M1", source=job.source, output=job.output, overwrite=True, **common)
        predict.execute(context)


def _by_bare_loop(akkio: Loopback, job: _Job) -> None:
    import requests

    with requests.Session() as session, job.source.open(newline="") as file:
        # Given with each request: the environment may name other certificates, and would win against the session's.
        post = partial(_post, partial(session.post, verify=str(akkio.authority), timeout=60), akkio.url)
        if job.kind == "upload":
            _upload(post, file, job.batch_size)
        else:
            with job.output.open("w", newline="") as output:
                _predict(post, file, output, job.batch_size)


def _upload(post: _Post, file: TextIO, batch_size: int) -> None:
    dataset_id = post("datasets", {"name": "rows"})["dataset_id"]
    reader = csv.reader(file)
    fields = next(reader)
    while cells := list(islice(reader, batch_size)):
        post("datasets", {"id": dataset_id, "rows": _as_json(fields, cells)})


def _predict(post: _Post, file: TextIO, output: TextIO, batch_size: int) -> None:
    reader, writer, header = csv.reader(file), csv.writer(output), list[str]()
    fields = next(reader)
    while cells := list(islice(reader, batch_size)):
        wanted = {"id": "M1", "data": _as_json(fields, cells), "explain": False}
        predictions = post("models", wanted)["predictions"]
        if not header:
            header = [*fields, *predictions[0]]
            writer.writerow(header)
        writer.writerows([*row, *one.values()] for row, one in zip(cells, predictions, strict=True))


def _as_json(fields: Sequence[str], cells: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return rows as a loop makes them that is told which fields are numbers, where the operators find that out."""
    return [
        {field: convert(cell) if cell else None for field, convert, cell in zip(fields, _CONVERTERS, row, strict=True)}
        for row in cells
    ]


def _post(send: Callable[..., requests.Response], url: str, kind: str, body: dict[str, Any]) -> Any:
    text = json.dumps({"api_key": "the-key", **body}).encode()
    answer = send(f"{url}/v1/{kind}", data=text, headers={"Content-Type": "application/json"})
    answer.raise_for_status()
    return answer.json()


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for files of rows, which is gone after the ``with`` block."""
    with TemporaryDirectory(prefix="akkio-rows-") as name:
        yield Path(name)
