"""Validate the parameters of operators and sensors, given as literals or rendered from templates.

Each ``parse_…`` function takes the name and the value of a parameter, returns the value in its final type, and raises
:class:`AkkioParameterError` with the name if the value is invalid.

Source: Akkio's Training page and its OpenAPI document (``/api/v1/api.yaml``). Where they disagree, both are accepted.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import AkkioTaskKind, Duration, FieldType
from airflow_provider_akkio.exceptions import AkkioParameterError

MAX_SECONDS = 366 * 86400.0

MAX_BATCH_SIZE = 10_000
"""Maximum number of rows in one request."""

_RENDERED_NONE = "; a template renders a missing value as the text 'None'"


def parse_id(name: str, value: Any) -> str:
    """Parse an ID or a name: text that is not blank, printable, and not ``None`` rendered as text.

    With ``render_template_as_native_obj``, Airflow renders the ID ``12345`` as an integer.
    """
    text = str(value).strip() if _is_text(value) else ""
    if not text or not text.isprintable() or text == "None":
        _reject(name, value, "non-empty text on one line" + (_RENDERED_NONE if text == "None" else ""))
    return text


def parse_optional_text(name: str, value: Any) -> str | None:
    """Parse an ID or a name as :func:`parse_id` does; a missing value may also be rendered as ``""`` or ``"None"``."""
    return None if _is_missing(value) else parse_id(name, value)


def parse_deployment(name: str, value: Any) -> str:
    """Parse the name of a deployment, ``<id>/<version>``."""
    text = parse_id(name, value)
    deployed_id, _, version = text.partition("/")
    if not deployed_id or not version or "/" in version:
        _reject(name, value, "an ID and a version, such as 'IjxkjuPLomB1fVLYzWNm/1'")
    return text


def parse_flag(name: str, value: Any) -> bool:
    """Parse a boolean, or its text."""
    text = value.strip().lower() if isinstance(value, str) else value
    if text in ("true", "false"):
        return bool(text == "true")
    return value if isinstance(value, bool) else _reject(name, value, "True or False")


def parse_number(name: str, value: Any) -> float:
    """Parse a finite number, or its text."""
    number = _number(value)
    return number if math.isfinite(number) else _reject(name, value, "a number")


def parse_row_count(name: str, value: Any) -> int:
    """Parse an integer from 1 to :data:`MAX_BATCH_SIZE`, or its text."""
    number = _number(value)
    if not 1 <= number <= MAX_BATCH_SIZE or not number.is_integer():
        _reject(name, value, f"an integer from 1 to {MAX_BATCH_SIZE:,}")
    return int(number)


def parse_field_types(name: str, value: Any) -> dict[str, FieldType]:
    """Parse a mapping of field names to Akkio's field types; ``number`` is another name of ``float``.

    A missing value may also be rendered as ``""`` or ``"None"``.
    """
    if _is_missing(value):
        return {}
    if not isinstance(value, Mapping):
        _reject(name, value, "a mapping of field names to types")
    types: dict[str, FieldType] = {}
    for field_name, type_ in value.items():
        if not _is_text(field_name):
            _reject(name, value, "a mapping of field names to types")
        try:
            types[str(field_name)] = FieldType(type_)
        except ValueError:
            raise AkkioParameterError(
                f"{name}: the type of field {printable(repr(field_name))} must be one of {', '.join(FieldType)}, "
                f"not {printable(repr(type_))}."
            ) from None
    return types


def parse_seconds(name: str, value: Any) -> float:
    """Parse seconds or a timedelta, above 0 and at most a year; return seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        _reject(name, value, "seconds or a timedelta, above 0 and at most a year")
    return float(seconds)


def _parse_duration(name: str, value: Any) -> int:
    number = _number(value)
    if number not in list(Duration):
        _reject(name, value, f"one of {', '.join(str(int(duration)) for duration in Duration)} (seconds)")
    return int(number)


def _parse_predict_fields(name: str, value: Any) -> tuple[str, ...] | None:
    if _is_missing(value):
        return None
    return _parse_field_names(name, value) or _reject(name, value, "None or at least one field name")


def _parse_ignore_fields(name: str, value: Any) -> tuple[str, ...]:
    return () if _is_missing(value) else _parse_field_names(name, value)


def _parse_field_names(name: str, value: Any) -> tuple[str, ...]:
    expected = "a field name or a list of different field names"
    names = _parse_texts(name, value, expected)
    if not all(one.strip() for one in names) or len(set(names)) < len(names):
        _reject(name, value, expected)
    return names


def parse_optional_texts(name: str, value: Any) -> tuple[str, ...] | None:
    """Parse a text or a list of texts; a missing value may also be rendered as ``""`` or ``"None"``."""
    return None if _is_missing(value) else _parse_texts(name, value, "a text or a list of texts")


def _parse_texts(name: str, value: Any, expected: str) -> tuple[str, ...]:
    texts = value
    if _is_text(value):
        rendered = _parse_rendered_list(str(value).strip())
        texts = [value] if rendered is None else rendered
    if not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray) or not all(map(_is_text, texts)):
        _reject(name, value, expected)
    return tuple(map(str, texts))


def _parse_rendered_list(text: str) -> Sequence[str] | None:
    """Return the list that a template rendered as text, such as ``"['a', 'b']"``; ``None`` if the text is a name."""
    if (text[:1], text[-1:]) not in (("[", "]"), ("(", ")")):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value) else None


def _is_text(value: Any) -> bool:
    """Return whether a value is text, or an integer as which Airflow rendered a text of digits."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def _number(value: Any) -> float:
    """Return a number, or NaN if the value is neither a number nor the text of one."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _reject(name: str, value: Any, expected: str) -> NoReturn:
    raise AkkioParameterError(f"{name} must be {expected}, not {printable(repr(value))}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What to train. The constructor validates, and accepts values rendered from templates, such as ``"True"``.

    :param predict_fields: name or names of the fields to predict, case sensitive; default chosen by Akkio.
    :param ignore_fields: name or names of the fields to leave out of the model; default none.
    :param duration: seconds that Akkio spends on the training, one of :class:`Duration`; default 10.
    :param extra_attention: improve predictions of rare cases; default no.
    :param force: train (and bill) a new model even if one with the same parameters exists; default no.
    """

    kind: ClassVar[AkkioTaskKind] = AkkioTaskKind.TRAINING

    dataset_id: str = field(metadata={"parse": parse_id})
    predict_fields: Any = field(default=None, metadata={"parse": _parse_predict_fields})
    ignore_fields: Any = field(default=(), metadata={"parse": _parse_ignore_fields})
    duration: Any = field(default=Duration.FASTEST, metadata={"parse": _parse_duration})
    extra_attention: Any = field(default=False, metadata={"parse": parse_flag})
    force: Any = field(default=False, metadata={"parse": parse_flag})

    def __post_init__(self) -> None:
        for parameter in fields(self):
            object.__setattr__(self, parameter.name, parse_parameter(parameter.name, getattr(self, parameter.name)))
        check_disjoint(self.predict_fields, self.ignore_fields)

    def to_json(self) -> dict[str, Any]:
        """Return the body of ``POST /models/train/new``, without fields that have no value."""
        values = {parameter.name: getattr(self, parameter.name) for parameter in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value not in (None, ())
        }


TRAIN_PARAMETERS = tuple(parameter.name for parameter in fields(TrainRequest))
"""The names of all parameters of a :class:`TrainRequest`."""

_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    parameter.name: parameter.metadata["parse"] for parameter in fields(TrainRequest)
}


def parse_parameter(name: str, value: Any) -> Any:
    """Parse one parameter of a :class:`TrainRequest`."""
    return _PARSERS[name](name, value)


def check_disjoint(predict_fields: Iterable[str] | None, ignore_fields: Iterable[str]) -> None:
    """Raise :class:`AkkioParameterError` if a field is both predicted and ignored."""
    if both := sorted(set(predict_fields or ()) & set(ignore_fields)):
        raise AkkioParameterError(f"predict_fields and ignore_fields both contain {both}. Remove them from one.")


def is_literal(value: Any) -> bool:
    """Return whether a value is final when the DAG is parsed: neither a template nor an ``XComArg``."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Sequence | Mapping):
        return all(is_literal(item) for item in (value.values() if isinstance(value, Mapping) else value))
    return not hasattr(value, "resolve") or hasattr(value, "joinpath")  # a path has both


def validate_literals(
    task_id: str, values: Mapping[str, Any], parsers: Mapping[str, Callable[[str, Any], Any]]
) -> None:
    """Validate the parameters whose values are known when Airflow parses the DAG file.

    :param task_id: ID of the Airflow task.
    :param values: parameter name to value, with at least the names of ``parsers``; such as ``vars(operator)``.
    :param parsers: parameter name to the function that parses its value.
    :raises AkkioParameterError: if a value is invalid; the message names the task.
    """
    with naming_task(task_id):
        for name, parse in parsers.items():
            if is_literal(values[name]):
                parse(name, values[name])


@contextmanager
def naming_task(task_id: str) -> Iterator[None]:
    """Add the Airflow task ID to errors about its parameters."""
    try:
        yield
    except AkkioParameterError as error:
        raise AkkioParameterError(f"Task {task_id!r}: {error}") from None
