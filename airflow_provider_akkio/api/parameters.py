"""What to train: the parameters of a training, read from literals and from what templates leave behind.

Source: Akkio's Training page and its OpenAPI document (``/api/v1/api.yaml``). Where they disagree, both are accepted.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, NoReturn

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import Duration
from airflow_provider_akkio.exceptions import AkkioParameterError

_MISSING = "the text 'None' is what a template leaves when the value it asks for is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What to train; always valid, since a wrong value raises :class:`AkkioParameterError` on construction.

    The values may be what a rendered template leaves behind: ``"60"`` for 60, ``"True"`` for ``True``,
    ``"['a', 'b']"`` for a list.

    :param dataset_id: id of the dataset to train on.
    :param predict_fields: name or names of the fields to predict, case sensitive; ``None`` leaves the choice to Akkio.
    :param ignore_fields: name or names of the fields to leave out of the model; default none.
    :param duration: seconds that Akkio spends on the training, one of :class:`Duration`; default 10.
    :param extra_attention: help the model with rare cases; default no.
    :param force: train (and bill) a new model even if one with these very parameters exists; default no.
    """

    dataset_id: str
    predict_fields: Any = None
    ignore_fields: Any = ()
    duration: Any = Duration.FASTEST
    extra_attention: Any = False
    force: Any = False

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, parse_parameter(field.name, getattr(self, field.name)))
        check_disjoint(self.predict_fields, self.ignore_fields)

    def to_json(self) -> dict[str, Any]:
        """Return the body of ``POST /models/train/new``; fields that were not given are left out."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in (None, ())
        }


def parse_parameter(name: str, value: Any) -> Any:
    """Return one parameter of :class:`TrainRequest` in its own type.

    :param name: the parameter's name.
    :param value: a literal, or what a template left behind.
    :raises AkkioParameterError: if no training could be asked for with it.
    """
    return _PARSERS[name](name, value)


def check_disjoint(predict_fields: Iterable[str] | None, ignore_fields: Iterable[str]) -> None:
    """Raise :class:`AkkioParameterError` if a field is to be both predicted and ignored."""
    if both := sorted(set(predict_fields or ()) & set(ignore_fields)):
        raise AkkioParameterError(f"predict_fields and ignore_fields both name {both}; a field can be in one of them.")


def _refuse(name: str, value: Any, expected: str) -> NoReturn:
    raise AkkioParameterError(f"{name} must be {expected}, not {printable(repr(value))}.")


def _identifier(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.strip().isprintable():
        _refuse(name, value, "an id, as text")
    if value.strip() == "None":
        _refuse(name, value, f"an id ({_MISSING})")
    return value.strip()


def _field_names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        if value.strip() == "None":
            _refuse(name, value, f"a field name or a list of field names ({_MISSING})")
        listed = _list_in_text(value.strip())
        value = [value] if listed is None else listed
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        _refuse(name, value, "a field name or a list of field names")
    names = tuple(value)
    for one in names:
        if not isinstance(one, str) or not one.strip():
            _refuse(name, one, "made of field names, each a text that is not blank")
    if len(set(names)) < len(names):
        _refuse(name, list(names), "made of different field names")
    return names


def _list_in_text(text: str) -> Sequence[str] | None:
    """Return the list that a template rendered as text, such as ``"['a', 'b']"``; ``None`` if it is not one."""
    if (text[:1], text[-1:]) not in (("[", "]"), ("(", ")")):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value) else None


def _predict_fields(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return _field_names(name, value) or _refuse(name, value, "None or at least one field name")


def _ignore_fields(name: str, value: Any) -> tuple[str, ...]:
    return () if value is None else _field_names(name, value)


def _duration(name: str, value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number not in list(Duration):
        _refuse(name, value, f"one of {', '.join(str(int(one)) for one in Duration)} (seconds)")
    return int(number)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value if isinstance(value, bool) else _refuse(name, value, "True or False")


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "dataset_id": _identifier,
    "predict_fields": _predict_fields,
    "ignore_fields": _ignore_fields,
    "duration": _duration,
    "extra_attention": _flag,
    "force": _flag,
}


def parse_flag(name: str, value: Any) -> bool:
    """Return a yes or no that a DAG author gave.

    :param name: the parameter's name.
    :param value: a literal, or what a template left behind.
    :raises AkkioParameterError: if it is neither.
    """
    return _flag(name, value)


def parse_id(name: str, value: Any) -> str:
    """Return an id that a DAG author gave.

    :param name: the parameter's name, such as ``akkio_task_id``.
    :param value: a literal, or what a template left behind.
    :raises AkkioParameterError: if it is no text, or none that can be an id.
    """
    return _identifier(name, value)


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
