"""How a task's parameters are read when a DAG is parsed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow_provider_akkio.exceptions import AkkioParameterError

LONGEST = 366 * 86400.0
"""Longest wait, in seconds, that a parameter may ask for."""

MOST_ROWS = 10_000
"""Most rows that a request may have; a larger request than Akkio takes helps nobody."""


@contextmanager
def naming(task_id: str) -> Iterator[None]:
    """Name the task in what is said of its parameters: a DAG file may have many."""
    try:
        yield
    except AkkioParameterError as error:
        raise AkkioParameterError(f"Task {task_id!r}: {error}") from None


def is_literal(value: Any) -> bool:
    """Return whether a parameter's value is known when the DAG is parsed: neither a template nor an ``XComArg``."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Sequence):
        return all(is_literal(one) for one in value)
    return not hasattr(value, "resolve")


def number(name: str, value: Any) -> float:
    """Return a number, also where a template has made a text of it.

    :param name: the parameter's name.
    :param value: a literal, or what a template left behind.
    :raises AkkioParameterError: if it is none.
    """
    try:
        parsed = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        parsed = math.nan
    if not math.isfinite(parsed):
        raise AkkioParameterError(f"{name} must be a number, not {value!r}.")
    return parsed


def count(name: str, value: Any) -> int:
    """Return how many rows a parameter asks for.

    :param name: the parameter's name.
    :param value: a literal, or what a template left behind.
    :raises AkkioParameterError: if it is no whole number from 1 to :data:`MOST_ROWS`.
    """
    parsed = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(parsed, bool) or not isinstance(parsed, int) or not 1 <= parsed <= MOST_ROWS:
        raise AkkioParameterError(f"{name} must be a whole number from 1 to {MOST_ROWS:,}, not {value!r}.")
    return parsed


def listed(callbacks: Any) -> list[Any]:
    """Return callbacks as Airflow 3 keeps them; Airflow 2 keeps a single one, or none, as it was given."""
    if callbacks is None or isinstance(callbacks, Sequence):
        return list(callbacks or ())
    return [callbacks]


def seconds(name: str, value: Any) -> float:
    """Return a length of time in seconds.

    :param name: the parameter's name.
    :param value: seconds or a timedelta.
    :raises AkkioParameterError: if it is not above zero, or longer than a year.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= LONGEST:
        raise AkkioParameterError(
            f"{name} must be a number of seconds or a timedelta, above 0 and at most a year, not {value!r}."
        )
    return float(number)
