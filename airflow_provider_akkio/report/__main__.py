"""``python -m airflow_provider_akkio.report result.json > page.html``: the page of a model, where no Airflow runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_akkio.report.card import card, framed
from airflow_provider_akkio.report.content import ModelReport
from airflow_provider_akkio.report.page import standalone_page


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page of the model that a file describes.

    :param arguments: of the command line; default those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_akkio.report", description="Show a trained model as a web page, or as text."
    )
    parser.add_argument(
        "result", type=Path, help="a training's result as JSON: Akkio's answer, or a task's XComs by key"
    )
    parser.add_argument("--text", action="store_true", help="eight lines of text rather than a page")
    given = parser.parse_args(arguments)
    try:
        model = ModelReport.of(_result(given.result))
    except OSError as error:
        parser.error(f"{given.result} cannot be read: {error.strerror}.")
    except (ValueError, RecursionError) as error:
        parser.error(f"{given.result} holds no result of a training: {error}")
    shown = framed(card(model)) if given.text else standalone_page(model)
    sys.stdout.buffer.write(f"{shown}\n".encode(errors="replace"))


def _result(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text(encoding="utf-8-sig"))
    match result:
        case {"model_id": str()}:
            return dict(result)
    raise ValueError("it has no model_id, or none that is a text.")


if __name__ == "__main__":
    main()
