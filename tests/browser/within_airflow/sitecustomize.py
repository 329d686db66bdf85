"""Notes which modules of the provider each process of Airflow imports; Python loads this at the start of each."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_NOTES = os.environ.get("AKKIO_TESTS_IMPORTS")


class _Notes:
    """A finder of modules that finds none, asked before all others."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "airflow_provider_akkio":
            component = sys.argv[1] if len(sys.argv) > 1 else "none"
            with Path(str(_NOTES)).open("a", encoding="utf-8") as notes:
                notes.write(f"{component} {name}\n")


if _NOTES:
    sys.meta_path.insert(0, _Notes())  # type: ignore[arg-type] # a finder needs no more than this
