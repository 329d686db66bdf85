"""Log the modules of the provider that an Airflow process imports; Python loads this module at startup."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_IMPORT_LOG = os.environ.get("AKKIO_TESTS_IMPORT_LOG")


class _ImportLogger:
    """A finder that finds nothing and is called first."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "airflow_provider_akkio":
            component = sys.argv[1] if len(sys.argv) > 1 else "none"
            with Path(str(_IMPORT_LOG)).open("a", encoding="utf-8") as log:
                log.write(f"{component} {name}\n")


if _IMPORT_LOG:
    sys.meta_path.insert(0, _ImportLogger())  # type: ignore[arg-type] # a finder needs only this method
