"""Benchmarks of uploads and predictions: rows per second, requests per second and memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import moving
from benchmarks.fresh import in_fresh_interpreter
from benchmarks.report import Row
from benchmarks.scale import Scale
from dev.database import embedded_database

_RESPONSE_SECONDS = 0.05
_LIMIT = 5
_MIB = 1024 * 1024
_MAX_MIB = 64
_CALLS = {"upload": "AkkioUploadDatasetOperator.execute", "predict": "AkkioPredictOperator.execute"}


def uploading(scale: Scale) -> list[Row]:
    """Measure the rows per second, requests per second and memory of an upload."""
    return [*_speed(scale, "upload"), _limit(scale), *_memory(scale, "upload")]


def predicting(scale: Scale) -> list[Row]:
    """Measure the rows per second and memory of predictions."""
    return [*_speed(scale, "predict"), *_memory(scale, "predict")]


def querying(scale: Scale) -> list[Row]:
    """Measure the memory of an upload from PostgreSQL."""
    with TemporaryDirectory(prefix="akkio-database-") as folder, embedded_database(Path(folder) / "data") as database:
        grown = {
            count: in_fresh_interpreter(moving.query_peak_growth, socket=database.socket_folder, count=count)
            for count in scale.moved_memory
        }
    mib = {count: found["growth"] / _MIB for count, found in grown.items()}
    how = "SqlToAkkioDatasetOperator.execute, PostgreSQL; peak of the resident size above that after 20 rows"
    return [_flatness_row("upload, memory, PostgreSQL", how, mib)]


def _speed(scale: Scale, kind: str) -> list[Row]:
    return [
        _speed_row(scale, kind, scale.moved, 0.0),
        _speed_row(scale, kind, scale.moved_slowly, _RESPONSE_SECONDS),
    ]


def _speed_row(scale: Scale, kind: str, count: int, response_seconds: float) -> Row:
    """Compare an operator with a loop that validates nothing."""
    with TemporaryDirectory(prefix="akkio-rows-") as folder:
        source = f"{folder}/rows.csv"
        in_fresh_interpreter(moving.write_file, path=source, count=count)
        rounds = in_fresh_interpreter(
            moving.rates, kind=kind, source=source, rounds=scale.moved_rounds, response_seconds=response_seconds
        )
    share = median(one["bare"] / one["provider"] for one in rounds)
    provider, bare = (count / median(one[side] for one in rounds) for side in ("provider", "bare"))
    latency = f"responses after {1000 * response_seconds:.0f} ms" if response_seconds else "immediate responses"
    how = (
        f"{_CALLS[kind]}, {count:,} rows of 10 fields in CSV over TLS, {latency}; compared with a loop "
        f"without validation on one requests session, alternately; median of {scale.moved_rounds}"
    )
    result = f"{share:.1%} ({provider:,.0f} rows/s, bare {bare:,.0f})"
    name = f"{kind}, rows per second" + (f" with {1000 * response_seconds:.0f} ms" if response_seconds else "")
    return Row(name, how, ">= 90% of the bare loop", result, share >= 0.9, {"share": share, "rounds": rounds})


def _limit(scale: Scale) -> Row:
    """Count the requests per second of an upload."""
    found = in_fresh_interpreter(moving.within_rate, batches=scale.moved_batches, requests_per_second=_LIMIT)
    most = found["most_in_one_second"]
    how = f"{scale.moved_batches} batches, requests_per_second {_LIMIT}; times of arrival"
    result = f"at most {most} within 1 s, {found['requests']} in {found['seconds']:.1f} s"
    return Row("upload, requests per second", how, f"<= {_LIMIT}", result, most <= _LIMIT, found)


def _memory(scale: Scale, kind: str) -> list[Row]:
    return [_memory_row(scale, kind, ".csv", "CSV"), _memory_row(scale, kind, ".parquet", "Parquet")]


def _memory_row(scale: Scale, kind: str, suffix: str, format_name: str) -> Row:
    mib = {count: _peak_growth(kind, suffix, count) / _MIB for count in scale.moved_memory}
    how = f"{_CALLS[kind]}, {format_name}; peak of the resident size above that after 20 rows"
    return _flatness_row(f"{kind}, memory, {format_name}", how, mib)


def _flatness_row(measure: str, how: str, mib: Mapping[int, float]) -> Row:
    """Return whether the memory does not grow with the number of rows."""
    fewer, most = list(mib.values())[-2:]
    goal = f"<= {_MAX_MIB} MiB, and at most 1.2 times or 8 MiB more than with a tenth of the rows"
    result = ", ".join(f"{count:,} rows: {growth:.0f} MiB" for count, growth in mib.items())
    is_met = most <= _MAX_MIB and most <= max(1.2 * fewer, fewer + 8)
    return Row(measure, how, goal, result, is_met, {str(count): growth for count, growth in mib.items()})


def _peak_growth(kind: str, suffix: str, count: int) -> float:
    with TemporaryDirectory(prefix="akkio-rows-") as folder:
        source = f"{folder}/rows{suffix}"
        in_fresh_interpreter(moving.write_file, path=source, count=count)
        return float(in_fresh_interpreter(moving.peak_growth, kind=kind, source=source)["growth"])
