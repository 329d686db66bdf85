"""Uploads and predictions by the operators and, for comparison, by a loop without validation."""

from __future__ import annotations

import csv
import gc
import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
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
"""Rows per request: the operators' defaults."""

_FIELDS = ("number", "day", "city", "remark", "age", "price", "share", "score", "segment", "visits")
_CITIES = ("Lyon", "Graz", "Lima", "Osaka", "Leeds", "Quito", "Turku")
_REMARKS = ("called twice", "no answer, try again", 'said "maybe"', "wants an offer by post", "")

_QUERY = """
SELECT number, date '2026-01-01' + mod(number, 365) AS day, 'city ' || mod(number, 7) AS city,
    'remark ' || md5(number::text) AS remark, 18 + mod(number, 70) AS age, mod(number, 100003) / 100.0 AS price,
    mod(number, 100003) / 100003::float8 AS share, mod(number, 100003) * -1.0625::float8 AS score,
    'segment ' || mod(number, 40) AS segment, now() AS visited
FROM generate_series(1, %(count)s) AS number ORDER BY number
"""


def write_file(path: str, count: int) -> None:
    """Write a CSV or Parquet file with ten fields, half of them numbers.

    :param path: file, whose extension sets the format.
    :param count: number of rows.
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
    """One upload or prediction.

    :param kind: ``upload`` or ``predict``.
    :param source: file with rows.
    :param batch_size: rows per request.
    """

    kind: str
    source: Path
    batch_size: int

    @property
    def output(self) -> Path:
        """The file with the predictions."""
        return self.source.with_name(f"predictions{self.source.suffix}")


class _TaskInstance:
    """The attributes of a task instance that the operators use."""

    dag_id = run_id = task_id = "benchmark"
    map_index, try_number = -1, 1

    def xcom_push(self, key: str, value: Any) -> None:
        """Discard the value."""


def rates(kind: str, source: str, rounds: int, response_seconds: float) -> list[dict[str, float]]:
    """Return the seconds of an operator and of a bare loop for a file, alternately in one process.

    :param kind: ``upload`` or ``predict``.
    :param source: CSV file.
    :param rounds: measurements of each.
    :param response_seconds: delay of each response.
    """
    job = _Job(kind, Path(source), BATCH_ROWS[kind])
    with loopback_akkio(response_seconds=response_seconds) as akkio:
        connect(akkio)
        _seconds(_by_operator, akkio, _small(job))
        return [
            {"provider": _seconds(_by_operator, akkio, job), "bare": _seconds(_by_bare_loop, akkio, job)}
            for _ in range(rounds)
        ]


def peak_growth(kind: str, source: str) -> dict[str, float]:
    """Return the growth of the resident size in bytes while an operator processes a file.

    The measurement starts after a file of a few rows, so that imports and connections do not count.

    :param kind: ``upload`` or ``predict``.
    :param source: file with rows.
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


def query_peak_growth(socket: str, count: int) -> dict[str, float]:
    """Return the growth of the resident size in bytes while an operator uploads the rows of a query.

    :param socket: folder of the socket of PostgreSQL.
    :param count: number of rows.
    """
    fields = {"conn_type": "postgres", "host": socket, "login": "postgres", "schema": "airflow"}
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps(fields)
    with loopback_akkio() as akkio:
        connect(akkio)
        _by_query(20)
        gc.collect()
        before = int(psutil.Process().memory_info().rss)
        _by_query(count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"before": before, "peak": peak, "growth": peak - before}


def within_rate(batches: int, requests_per_second: int) -> dict[str, float]:
    """Return the server's counts and the seconds of an upload.

    :param batches: number of requests with rows.
    :param requests_per_second: rate limit of the connection.
    """
    with TemporaryDirectory(prefix="akkio-rows-") as name, loopback_akkio() as akkio:
        source = Path(name) / "rows.csv"
        write_file(str(source), 10 * batches)
        connect(akkio, requests_per_second)
        seconds = _seconds(_by_operator, akkio, _Job("upload", source, 10))
        counts = akkio.counts()
    return {"requests": counts.requests, "most_in_one_second": counts.most_in_one_second, "seconds": seconds}


def _small(job: _Job) -> _Job:
    """Return the same job with a new file of a few rows."""
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
        AkkioUploadDatasetOperator(source_path=job.source, dataset_name="rows", **common).execute(context)
    else:
        AkkioPredictOperator(
            model_id="M1", source_path=job.source, output_path=job.output, overwrite=True, **common
        ).execute(context)


def _by_query(count: int) -> None:
    from airflow_provider_akkio.transfers.sql_to_akkio import SqlToAkkioDatasetOperator

    context: Any = {"ti": _TaskInstance()}
    SqlToAkkioDatasetOperator(
        task_id="benchmark",
        akkio_conn_id=CONNECTION,
        batch_size=BATCH_ROWS["upload"],
        dataset_name="rows",
        sql_conn_id="warehouse",
        sql=_QUERY,
        parameters={"count": count},
    ).execute(context)


def _by_bare_loop(akkio: Loopback, job: _Job) -> None:
    import requests

    with requests.Session() as session, job.source.open(newline="") as file:
        # Passed with each request: certificates in the environment would override those of the session.
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
        body = {"id": "M1", "data": _as_json(fields, cells), "explain": False}
        predictions = post("models", body)["predictions"]
        if not header:
            header = [*fields, *predictions[0]]
            writer.writerow(header)
        writer.writerows([*row, *new.values()] for row, new in zip(cells, predictions, strict=True))


def _as_json(fields: Sequence[str], cells: Sequence[Sequence[str]]) -> list[dict[str, str | None]]:
    return [{field: cell or None for field, cell in zip(fields, row, strict=True)} for row in cells]


def _post(send: Callable[..., requests.Response], url: str, kind: str, body: dict[str, Any]) -> Any:
    text = json.dumps({"api_key": "the-key", **body}).encode()
    response = send(f"{url}/v1/{kind}", data=text, headers={"Content-Type": "application/json"})
    response.raise_for_status()
    return response.json()
