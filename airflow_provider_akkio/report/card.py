"""A trained model in a few lines of text, for a task's log and a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.api.training import TrainingResult
from airflow_provider_akkio.report.content import FieldReport, ModelReport, OutcomeReport

MOST_LINES = 8
"""Most lines of a card."""

_MOST_OUTCOMES = 3
_MOST_FIELDS = 3
_BAR = 20
_NAME = 32


def card(model: ModelReport) -> list[str]:
    """Return the lines of a card, eight at most: the model, what it predicts well, and what it looks at.

    :param model: which model.
    """
    lines = [f"model {quoted(model.model_id)}{_headline(model)}", *_outcomes(model), *_importance(model)]
    return lines[:MOST_LINES]


def log_model(info: Callable[[str, str], object], result: TrainingResult) -> None:
    """Log a result's card, a record a line: the end of a task's log.

    :param info: takes a message and its argument; a logger's method.
    :param result: what the training made.
    """
    first, *others = card(ModelReport.of(**result.parts()))
    info("Akkio trained %s", first)
    for line in others:
        info("%s", line)


def framed(lines: list[str]) -> str:
    """Return lines in a frame, for a terminal.

    :param lines: what :func:`card` returned.
    """
    width = max(map(len, lines))
    return "\n".join([f"╭{'─' * (width + 2)}╮", *(f"│ {line:{width}} │" for line in lines), f"╰{'─' * (width + 2)}╯"])


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
        yield f"  {name:{width}}  {'█' * max(1, round(_BAR * share / most[0][1])):{_BAR}} {share:6.1%}"


def _name(text: str) -> str:
    clean = quoted(text)
    return clean if len(clean) <= _NAME else clean[: _NAME - 1] + "…"
