"""Run benchmarks, print their results as one table and write them to a file."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.measures import MEASURES, WHOLE_AIRFLOW
from benchmarks.report import Row, table, write
from benchmarks.scale import FULL, QUICK, Scale
from dev.terminal import interruptible, stopwatch

_RESULTS = Path(__file__).resolve().parent / "results.json"


def main() -> None:
    """Run the benchmarks on the command line; a missed goal is reported and is not a failure."""
    arguments = _arguments()
    say, rows = stopwatch(), list[Row]()
    with interruptible(status=130):
        for name in arguments.measures:
            say(f"{name}: {MEASURES[name].__doc__}")
            for row in _run(name, QUICK if arguments.quick else FULL):
                say(f"  {row.measure}: {row.result}")
                rows.append(row)
    notes = [str(load.__doc__)] if "load" in arguments.measures else []
    print("", table(rows), *notes, sep="\n\n", flush=True)
    if arguments.output:
        write(arguments.output, rows, notes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"of {', '.join(MEASURES)}; default all")
    parser.add_argument("--quick", action="store_true", help="use small sizes, to see that every benchmark works")
    parser.add_argument(
        "--output", type=Path, help="file for the results; default benchmarks/results.json if all benchmarks run"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.measures) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if not (arguments.measures or arguments.quick or arguments.output):
        arguments.output = _RESULTS
    arguments.measures = arguments.measures or [
        name for name in MEASURES if not (arguments.quick and name in WHOLE_AIRFLOW)
    ]
    return arguments


def _run(name: str, scale: Scale) -> Sequence[Row]:
    try:
        return MEASURES[name](scale)
    except (subprocess.SubprocessError, RuntimeError, TimeoutError, OSError) as error:
        return [Row(name, "", "", f"could not be measured: {error}".replace("\n", " ")[:300], is_met=False)]


if __name__ == "__main__":
    main()
