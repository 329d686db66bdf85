"""Takes the measures that are named, or all, prints them as one table, and writes them to a file."""

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
    """ModelMetric; a goal that is missed is said so, and is no failure."""
    arguments = _arguments()
    say, rows = stopwatch(), list[Row]()
    with interruptible(status=130):
        for name in arguments.measures:
            say(f"{name}: {MEASURES[name].__doc__}")
            for row in _taken(name, QUICK if arguments.quick else FULL):
                say(f"  {row.measure}: {row.result}")
                rows.append(row)
    notes = [str(load.__doc__)] if "load" in arguments.measures else []
    print("", table(rows), *notes, sep="\n\n", flush=True)
    if arguments.output:
        write(arguments.output, rows, notes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="measure", help=", ".join(MEASURES))
    parser.add_argument("--quick", action="store_true", help="measure little, to see that everything works")
    parser.add_argument("--output", type=Path, help="file for the numbers; default benchmarks/results.json, of all")
    arguments = parser.parse_args()
    if unknown := set(arguments.measures) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    if not (arguments.measures or arguments.quick or arguments.output):
        arguments.output = _RESULTS
    arguments.measures = arguments.measures or [
        name for name in MEASURES if not (arguments.quick and name in WHOLE_AIRFLOW)
    ]
    return arguments


def _taken(name: str, scale: Scale) -> Sequence[Row]:
    try:
        return MEASURES[name](scale)
    except (subprocess.SubprocessError, RuntimeError, TimeoutError, OSError) as error:
        return [Row(name, "", "", f"could not be measured: {error}".replace("\n", " ")[:300], is_met=False)]


if __name__ == "__main__":
    main()
