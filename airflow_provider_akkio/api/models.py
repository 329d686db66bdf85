"""Models: list, predict and delete. Source: v1 in Akkio's API documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_akkio.api.http import Flow, Method
from airflow_provider_akkio.api.requester import Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.v1 import V1Api
from airflow_provider_akkio.exceptions import AkkioPredictionMismatchError, AkkioResponseError


class ModelApi(V1Api):
    """The operations on an account's models."""

    def __init__(self, requester: Requester) -> None:
        super().__init__(requester, "model")

    def predict(
        self, model_id: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False
    ) -> Flow[list[dict[str, Any]]]:
        """Return one prediction per row, in the same order.

        :param explain: add the reasons for each prediction; default no.
        :return: per row the predicted value under the field's name, and the probability of each class.
        :raises AkkioPredictionMismatchError: if the number of predictions differs from the number of rows.
        :raises AkkioNotFoundError: if the model does not exist.
        """
        request = self._change_request(Method.POST, {"id": model_id, "data": rows, "explain": explain})
        purpose = f"Predictions of model {printable(model_id)!r}"

        def parse(body: Mapping[str, Any]) -> list[dict[str, Any]]:
            predictions = body.get("predictions")
            if not isinstance(predictions, list) or not all(isinstance(one, dict) and one for one in predictions):
                raise AkkioResponseError("Akkio's response has no valid 'predictions'.")
            if len(predictions) != len(rows):
                raise AkkioPredictionMismatchError(
                    f"{purpose}: Akkio returned {len(predictions):,} predictions for {len(rows):,} rows. They cannot "
                    "be assigned to rows, and none was used. Clear the task, or reduce its batch_size."
                )
            return predictions

        return self._send_and_retry(request, purpose, parse)
