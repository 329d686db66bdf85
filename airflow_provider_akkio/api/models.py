"""Models: listed, asked for predictions, and deleted.

Source: the legacy part of Akkio's API documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_akkio.api.http import Flow, Method
from airflow_provider_akkio.api.requester import Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.v1 import V1Api
from airflow_provider_akkio.exceptions import AkkioPredictionMismatchError, AkkioResponseError


class ModelApi(V1Api):
    """The conversations about an account's models.

    :param requester: puts the questions.
    """

    def __init__(self, requester: Requester) -> None:
        super().__init__(requester, "model")

    def predict(
        self, model_id: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False
    ) -> Flow[list[dict[str, Any]]]:
        """Return a model's predictions, one for each row and in their order.

        :param model_id: its id.
        :param rows: what to predict from, field name to value.
        :param explain: let Akkio add what led to each prediction; default no.
        :return: per row what Akkio says: the predicted value by its field's name, and each class's probability.
        :raises AkkioPredictionMismatchError: if they are not as many as the rows.
        :raises AkkioNotFoundError: if there is no such model.
        :raises AkkioUnavailableError: if no answer came for five minutes.
        """
        request = self._send(Method.POST, {"id": model_id, "data": rows, "explain": explain})
        purpose = f"Predictions of model {printable(model_id)!r}"

        def predictions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
            found = body.get("predictions")
            if not isinstance(found, list) or not all(isinstance(one, dict) and one for one in found):
                raise AkkioResponseError("Akkio's answer has no 'predictions' that say anything.")
            if len(found) != len(rows):
                raise AkkioPredictionMismatchError(
                    f"{purpose}: Akkio answered {len(rows):,} rows with {len(found):,} predictions. Which belongs to "
                    "which row cannot be known, so none is used."
                )
            return found

        return self._read(request, purpose, predictions)
