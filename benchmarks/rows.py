"""The measures of rows: how many a second go up, how many come back with predictions, and in how much memory."""

from __future__ import annotations

from statistics import median

from benchmarks import moving
from benchmarks.fresh import in_fresh_interpreter
from benchmarks.report import Row
from benchmarks.scale import Scale

_ANSWER_SECONDS = 0.05
_LIMIT = 5
_MIB = 1024 * 1024
_MOST_MIB = 64
_CALLS = {"upload": "AkkioUploadDatasetOperator.execute", "predict": "AkkioPredictOperator.execute"}


def uploading(scale: Scale) -> list[Row]:
    """ModelMetric how fast rows are uploaded beside a bare loop, how far the limit is kept, and the memory it takes."""
    return [*_speed(scale, "upload"), _limit(scale), *_memory(scale, "upload")]


def predicting(scale: Scale) -> list[Row]:
    """ModelMetric how fast rows get predictions beside a bare loop, and the memory it takes."""
    return [*_speed(scale, "predict"), *_memory(scale, "predict")]


def _speed(scale: Scale, kind: str) -> list[Row]:
    return [
        _speed_row(scale, kind, scale.moved, 0.0),
        _speed_row(scale, kind, scale.moved_slowly, _ANSWER_SECONDS),
    ]


def _speed_row(scale: Scale, kind: str, count: int, answer_seconds: float) -> Row:
    """Return how fast an operator is beside a loop that is told the fields' types, and checks nothing."""
    with moving.folder() as folder:
        source = str(folder / "rows.csv")
        in_fresh_interpreter(moving.write_file, path=source, count=count)
        rounds = in_fresh_interpreter(
            moving.rates, kind=kind, source=source, rounds=scale.moved_rounds, answer_seconds=answer_seconds
        )
    share = median(one["bare"] / one["provider"] for one in rounds)
    provider, bare = (count / median(one[side] for one in rounds) for side in ("provider", "bare"))
    latency = f"answers after {1000 * answer_seconds:.0f} ms" if answer_seconds else "answers at once"
    how = (
        f"{_CALLS[kind]}, {count:,} rows of 10 fields in CSV over TLS, {latency}; by a bare loop on one requests "
        f"session that sends the same unchecked, in turns; median of {scale.moved_rounds}"
    )
    result = f"{share:.1%} ({provider:,.0f} rows/s, bare {bare:,.0f})"
    name = f"{kind}, rows per second" + (f" with {1000 * answer_seconds:.0f} ms" if answer_seconds else "")
    return Row(name, how, ">= 90% of the bare loop", result, share >= 0.9, {"share": share, "rounds": rounds})


def _limit(scale: Scale) -> Row:
    """Return how many requests of an upload arrive within any second."""
    found = in_fresh_interpreter(moving.within_rate, batches=scale.moved_batches, requests_per_second=_LIMIT)
    most = found["most_in_one_second"]
    how = f"{scale.moved_batches} batches, requests_per_second {_LIMIT}; times of arrival"
    result = f"at most {most} within 1 s, {found['requests']} in {found['seconds']:.1f} s"
    return Row("upload, requests per second", how, f"<= {_LIMIT}", result, most <= _LIMIT, found)


def _memory(scale: Scale, kind: str) -> list[Row]:
    return [_memory_row(scale, kind, ".csv", "CSV"), _memory_row(scale, kind, ".parquet", "Parquet")]


def _memory_row(scale: Scale, kind: str, ending: str, format_name: str) -> Row:
    found = {count: _peak_growth(kind, ending, count) / _MIB for count in scale.moved_memory}
    fewer, most = list(found.values())[-2:]
    goal = f"<= {_MOST_MIB} MiB, and no more than 1.2 times or 8 MiB above that of a tenth of the rows"
    result = ", ".join(f"{count:,} rows: {mib:.0f} MiB" for count, mib in found.items())
    is_met = most <= _MOST_MIB and most <= max(1.2 * fewer, fewer + 8)
    how = f"{_CALLS[kind]}, {format_name}; highest resident size above that after 20 rows"
    return Row(
        f"{kind}, memory, {format_name}", how, goal, result, is_met, {str(key): one for key, one in found.items()}
    )


def _peak_growth(kind: str, ending: str, count: int) -> float:
    with moving.folder() as folder:
        source = str(folder / f"rows{ending}")
        in_fresh_interpreter(moving.write_file, path=source, count=count)
        return float(in_fresh_interpreter(moving.peak_growth, kind=kind, source=source)["growth"])
