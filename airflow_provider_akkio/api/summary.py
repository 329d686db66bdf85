"""What a training's result says, in the order in which a person reads it.

Akkio publishes the shape of ``stats`` for a category alone, and of ``data_story`` in outlines; what is not understood
is left out, and never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_akkio.api.statistics import ModelMetric, finite, main_metric
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import TrainingResult


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """How well a model predicts one class of a field.

    :param name: the class.
    :param count: rows of that class among those that were kept for the test.
    :param precision: share of the rows predicted as this class that are of it.
    :param recall: share of the rows of this class that were predicted as it.
    :param f1: the harmonic mean of the two.
    :param frequency: share of this class among all rows of the test.
    :param found: rows of this class predicted as it: Akkio's ``true positives``.
    :param missed: rows of this class predicted as another: ``false negatives``.
    :param mistaken: rows of other classes predicted as this one: ``false positives``.
    """

    name: str
    count: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    frequency: float | None
    found: float | None
    missed: float | None
    mistaken: float | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read an object of ``stats``."""
        named = entry.get("class_name", entry.get("class"))
        return cls(
            name="" if named is None else str(named),
            **{name: finite(entry.get(name)) for name in ("count", "precision", "recall", "f1", "frequency")},
            found=finite(entry.get("true positives")),
            missed=finite(entry.get("false negatives")),
            mistaken=finite(entry.get("false positives")),
        )


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """How well a model predicts one field.

    :param name: the field.
    :param outcomes: its classes, in Akkio's order; none for a number.
    :param numbers: for a number, what Akkio says of it, by Akkio's names.
    """

    name: str
    outcomes: tuple[ClassSummary, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()

    @property
    def rows(self) -> int | None:
        """The rows of the test, if each class says how many are its."""
        return _total(outcome.count for outcome in self.outcomes)

    @property
    def right(self) -> int | None:
        """The rows of the test that were predicted right."""
        return _total(outcome.found for outcome in self.outcomes)

    @property
    def most_missed(self) -> ClassSummary | None:
        """The class of which most rows were missed; ``None`` if none was."""
        missed = [outcome for outcome in self.outcomes if outcome.missed]
        return max(missed, key=lambda outcome: outcome.missed or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class Cause:
    """A field that goes with an outcome.

    :param field: its name.
    :param top: the value with which the outcome is most frequent.
    :param bottom: the value with which it is least frequent.
    """

    field: str
    top: str
    bottom: str


@dataclass(frozen=True, slots=True)
class StorySummary:
    """What goes with one outcome of a field, in Akkio's data story.

    :param field: the predicted field.
    :param outcome: the outcome.
    :param top: share of the outcome in the best case; ``None`` if Akkio does not say.
    :param average: share of it among all rows.
    :param bottom: share of it in the worst case.
    :param causes: what it goes with.
    """

    field: str
    outcome: str
    top: float | None
    average: float | None
    bottom: float | None
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A trained model.

    :param model_id: its id.
    :param main_metric: the one number that tells most; ``None`` if there is none.
    :param fields: the predicted fields.
    :param importance: field name and its share of the model's decision, the largest first.
    :param story: the data story.
    """

    model_id: str
    main_metric: ModelMetric | None
    fields: tuple[FieldSummary, ...]
    importance: tuple[tuple[str, float], ...]
    story: tuple[StorySummary, ...]

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Self:
        """Read a result.

        :param parts: by name, as :meth:`~airflow_provider_akkio.api.types.TrainingResult.parts` returns them, and as
            a task's XComs and Akkio's own answer have them; others are passed over.
        """
        stats = parts.get("stats")
        return cls(
            model_id=str(parts["model_id"]),
            main_metric=listed_main_metric(stats),
            fields=tuple(_field(entries) for entries in map(_mappings, _listed(stats)) if entries),
            importance=_importance(parts.get("field_importance")),
            story=tuple(told for field in _mappings(parts.get("data_story")) for told in _story(field)),
        )


def listed_main_metric(stats: Any) -> ModelMetric | None:
    """Return the one number that tells most, unless the statistics are a text, which it would take long to read.

    :param stats: whatever is among the XComs.
    """
    return main_metric(stats) if isinstance(stats, list) else None


def _field(entries: list[Mapping[str, Any]]) -> FieldSummary:
    name = str(entries[0].get("field_name") or "")
    if any("class_name" in entry or "class" in entry for entry in entries):
        return FieldSummary(name, outcomes=tuple(map(ClassSummary.of, entries)))
    found = ((str(key), finite(value)) for entry in entries for key, value in entry.items() if key != "field")
    return FieldSummary(name, numbers=tuple((key, value) for key, value in found if value is not None))


def _importance(value: Any) -> tuple[tuple[str, float], ...]:
    items = value.items() if isinstance(value, Mapping) else ()
    shares = [(str(name), share) for name, found in items if (share := finite(found)) is not None]
    return tuple(sorted(shares, key=lambda item: -item[1]))


def _story(field: Mapping[str, Any]) -> Iterator[StorySummary]:
    for told in _mappings(field.get("outcomes")):
        causes = tuple(
            Cause(str(cause["field"]), str(cause.get("top_value", "")), str(cause.get("bottom_value", "")))
            for cause in _mappings(told.get("causes"))
            if "field" in cause
        )
        yield StorySummary(
            field=str(field.get("name") or ""),
            outcome=str(told.get("outcome", "")),
            top=finite(told.get("top_case")),
            average=finite(told.get("avg_case")),
            bottom=finite(told.get("bottom_case")),
            causes=causes,
        )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in _listed(value) if isinstance(entry, Mapping)]


def _total(counts: Iterable[float | None]) -> int | None:
    known = list(counts)
    if not known or None in known:
        return None
    total = finite(sum(count for count in known if count is not None))
    return None if total is None else round(total)


_MOST_OUTCOMES = 3
_MOST_FIELDS = 3
_BAR = 20
_NAME = 32


def card(model: ModelSummary) -> list[str]:
    """Return the lines of a card, eight at most: the model, what it predicts well, and what it looks at.

    :param model: which model.
    """
    return [f"model {printable(model.model_id)}{_headline(model)}", *_outcomes(model), *_importance_lines(model)]


def log_model(log: Any, result: TrainingResult) -> None:
    """Log a result's card, a record a line: the end of a task's log.

    :param log: a task's or a trigger's logger.
    :param result: what the training made.
    """
    try:
        first, *others = card(ModelSummary.of(result.to_xcoms()))
    except Exception:  # the model is there, and paid for, whatever its statistics are like
        log.warning("Akkio trained model %s; its statistics cannot be shown.", result.model_id, exc_info=True)
        return
    log.info("Akkio trained %s", first)
    for line in others:
        log.info("%s", line)


def framed(lines: list[str]) -> str:
    """Return lines in a frame, for a terminal; open at the right, since only the terminal knows how wide a name is.

    :param lines: what :func:`card` returned.
    """
    edge = "─" * (max(map(len, lines)) + 2)
    return "\n".join([f"╭{edge}", *(f"│ {line}" for line in lines), f"╰{edge}"])


def _headline(model: ModelSummary) -> str:
    if model.main_metric is None:
        return ""
    return f": {model.main_metric.metric} of {_name(model.main_metric.field_name)!r} {model.main_metric.value:.3g}"


def _outcomes(model: ModelSummary) -> Iterator[str]:
    lines = [line for field in model.fields for line in _field_lines(field)]
    if len(lines) <= _MOST_OUTCOMES:
        yield from lines
        return
    yield from lines[: _MOST_OUTCOMES - 1]
    yield f"  … and {len(lines) - _MOST_OUTCOMES + 1} more"


def _field_lines(field: FieldSummary) -> Iterator[str]:
    if field.numbers:
        yield f"  {_name(field.name)}:  " + "  ".join(f"{_name(key)} {value:.4g}" for key, value in field.numbers[:5])
    for outcome in sorted(field.outcomes, key=lambda one: -(one.count or 0.0)):
        yield f"  {_name(field.name)} = {_name(outcome.name)}:  {'  '.join(_numbers(outcome))}"


def _numbers(outcome: ClassSummary) -> Iterator[str]:
    if outcome.count is not None:
        yield f"{outcome.count:.0f} rows"
    for name, value in (("precision", outcome.precision), ("recall", outcome.recall), ("F1", outcome.f1)):
        if value is not None:
            yield f"{name} {value:.2f}"


def _importance_lines(model: ModelSummary) -> Iterator[str]:
    most = [(_name(name), share) for name, share in model.importance[:_MOST_FIELDS] if share > 0]
    if not most:
        return
    yield "most important fields"
    width = max(len(name) for name, _ in most)
    for name, share in most:
        yield f"  {name:{width}}  {'█' * max(1, round(_BAR * (share / most[0][1]))):{_BAR}} {share:6.1%}"


def _name(text: str) -> str:
    clean = printable(text)
    return clean if len(clean) <= _NAME else clean[: _NAME - 1] + "…"
