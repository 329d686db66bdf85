"""A trained model in a few lines of text, for a task's log and a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.api.training import TrainingResult
from airflow_provider_akkio.report.content import FieldReport, ModelReport, OutcomeReport

_MOST_OUTCOMES = 3
_MOST_FIELDS = 3
_BAR = 20
_NAME = 32


def card(model: ModelReport) -> list[str]:
    """Return the lines of a card, eight at most: the model, what it predicts well, and what it looks at.

    :param model: which model.
    """
    return [f"model {quoted(model.model_id)}{_headline(model)}", *_outcomes(model), *_importance(model)]


def log_model(log: Any, result: TrainingResult) -> None:
    """Log a result's card, a record a line: the end of a task's log.

    :param log: a task's or a trigger's logger.
    :param result: what the training made.
    """
    try:
        first, *others = card(ModelReport.of(result.parts()))
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


def _headline(model: ModelReport) -> str:
    if model.headline is None:
        return ""
    return f": {model.headline.metric} of {_name(model.headline.field_name)!r} {model.headline.value:.3g}"


def _outcomes(model: ModelReport) -> Iterator[str]:
    lines = [line for field in model.fields for line in _field_lines(field)]
    if len(lines) <= _MOST_OUTCOMES:
        yield from lines
        return
    yield from lines[: _MOST_OUTCOMES - 1]
    yield f"  … and {len(lines) - _MOST_OUTCOMES + 1} more"


def _field_lines(field: FieldReport) -> Iterator[str]:
    if field.numbers:
        yield f"  {_name(field.name)}:  " + "  ".join(f"{_name(key)} {value:.4g}" for key, value in field.numbers[:5])
    for outcome in sorted(field.outcomes, key=lambda one: -(one.count or 0.0)):
        yield f"  {_name(field.name)} = {_name(outcome.name)}:  {'  '.join(_numbers(outcome))}"


def _numbers(outcome: OutcomeReport) -> Iterator[str]:
    if outcome.count is not None:
        yield f"{outcome.count:.0f} rows"
    for name, value in (("precision", outcome.precision), ("recall", outcome.recall), ("F1", outcome.f1)):
        if value is not None:
            yield f"{name} {value:.2f}"


def _importance(model: ModelReport) -> Iterator[str]:
    most = [(_name(name), share) for name, share in model.importance[:_MOST_FIELDS] if share > 0]
    if not most:
        return
    yield "most important fields"
    width = max(len(name) for name, _ in most)
    for name, share in most:
        yield f"  {name:{width}}  {'█' * max(1, round(_BAR * (share / most[0][1]))):{_BAR}} {share:6.1%}"


def _name(text: str) -> str:
    clean = quoted(text)
    return clean if len(clean) <= _NAME else clean[: _NAME - 1] + "…"
