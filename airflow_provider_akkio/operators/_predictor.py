"""What predicts: a model or a deployment. The operators that predict share the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.api.parameters import (
    is_literal,
    naming_task,
    parse_deployment,
    parse_flag,
    parse_optional_text,
    validate_literals,
)
from airflow_provider_akkio.exceptions import AkkioParameterError

if TYPE_CHECKING:
    from airflow_provider_akkio.api.http import Flow
    from airflow_provider_akkio.api.tasks import AkkioApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """Either a model or a deployment. The operators document the parameters."""

    model_id: str | None
    deployment: str | None
    explain: bool
    transforms_only: bool

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return what an operator predicts with.

        :param values: parameter name to value, with the names of the fields; such as ``vars(operator)``.
        :raises AkkioParameterError: if a value is invalid, or the values exclude each other.
        """
        predictor = cls(**{name: parse(name, values[name]) for name, parse in _PARSERS.items()})
        if (predictor.model_id is None) == (predictor.deployment is None):
            raise AkkioParameterError("Set either model_id or deployment.")
        if predictor.explain and predictor.deployment is not None:
            raise AkkioParameterError("explain requires model_id: a deployment does not explain its predictions.")
        if predictor.transforms_only and predictor.deployment is None:
            raise AkkioParameterError("transforms_only requires deployment.")
        return predictor

    def __str__(self) -> str:
        return f"model {self.model_id}" if self.deployment is None else f"deployment {self.deployment}"

    def predict(self, api: AkkioApi, rows: list[dict[str, str | None]]) -> Flow[list[dict[str, Any]]]:
        """Return one prediction per row, in the same order."""
        if self.deployment is not None:
            return api.models.predict_deployed(self.deployment, rows, transforms_only=self.transforms_only)
        return api.models.predict(self.model_id or "", rows, explain=self.explain)


def validate_predictor(task_id: str, values: Mapping[str, Any]) -> None:
    """Validate the parameters of a :class:`Predictor`, as far as they are known when the DAG file is parsed.

    :param task_id: ID of the Airflow task.
    :param values: parameter name to value, such as ``vars(operator)``.
    :raises AkkioParameterError: if a value is invalid, or the values exclude each other.
    """
    validate_literals(task_id, values, _PARSERS)
    if all(is_literal(values[name]) for name in _PARSERS):
        with naming_task(task_id):
            Predictor.parse(values)


def _parse_optional_deployment(name: str, value: Any) -> str | None:
    text = parse_optional_text(name, value)
    return None if text is None else parse_deployment(name, text)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "model_id": parse_optional_text,
    "deployment": _parse_optional_deployment,
    "explain": parse_flag,
    "transforms_only": parse_flag,
}
