"""All benchmarks that need no real Airflow work with small sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measures import MEASURES, WHOLE_AIRFLOW
from benchmarks.report import HEADER
from dev.stack import PROJECT

RESULTS = PROJECT / "benchmarks" / "results.json"


def test_quick_benchmarks_write_results_and_print_table(tmp_path: Path) -> None:
    before = RESULTS.read_bytes() if RESULTS.exists() else None
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=1800)

    written = json.loads(output.read_text())
    assert len(written["rows"]) > len(MEASURES) - len(WHOLE_AIRFLOW)
    for row in written["rows"]:
        assert "could not be measured" not in row["result"]
        assert row["numbers"]
        assert any(character.isdigit() for character in row["result"])
        assert f"| {row['measure']} | {row['how']} | {row['goal']} | {row['result']} |" in done.stdout
    assert f"| {' | '.join(HEADER)} |" in done.stdout
    assert {"date", "python", "cpus", "aiohttp", "apache-airflow"} <= set(written["machine"])
    assert (RESULTS.read_bytes() if RESULTS.exists() else None) == before
