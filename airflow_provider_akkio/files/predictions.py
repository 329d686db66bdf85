"""The values that Akkio predicts, as the formats can hold them."""

from __future__ import annotations

import json
import math
from typing import Any


def json_of(value: Any) -> str:
    """Return a value in JSON, with null for the numbers that JSON does not have.

    :param value: scalars, lists and objects.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False)


def flat(value: Any) -> str | int | float | None:
    """Return a value that fits in one cell: a text, a number or nothing; all else as JSON.

    :param value: a prediction.
    """
    if value is None or isinstance(value, str):
        return value
    if is_number(value):
        number: int | float | None = None if isinstance(value, float) and not math.isfinite(value) else value
        return number
    return json_of(value)


def is_number(value: Any) -> bool:
    """Return whether a value is a number; truth values are none.

    :param value: a prediction.
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
