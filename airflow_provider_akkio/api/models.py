"""Models: list, predict, also by deployments, and delete.

Source: v1 and deployments in Akkio's API documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from airflow_provider_akkio.api.config import ApiVersion
from airflow_provider_akkio.api.errors import reason_from, rejection_for
from airflow_provider_akkio.api.http import Flow, Method, Request
from airflow_provider_akkio.api.requester import Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.v1 import ROWS_TIMEOUT, V1Api
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
        body = {"id": model_id, "data": rows, "explain": explain}
        request = self._change_request(Method.POST, body, ROWS_TIMEOUT)
        purpose = f"Predictions of model {printable(model_id)!r}"
        return self._send_and_retry(
            request, purpose, lambda response: _parse_predictions(purpose, response.get("predictions"), len(rows))
        )

    def predict_deployed(
        self, deployment: str, rows: Sequence[Mapping[str, Any]], *, transforms_only: bool = False
    ) -> Flow[list[dict[str, Any]]]:
        """Return what a deployment makes of each row, in the same order.

        :param deployment: ``<id>/<version>``.
        :param transforms_only: apply the transforms of the deployment only, without predictions; default no.
        :raises AkkioPredictionMismatchError: if the number of rows in the response differs.
        :raises AkkioNotFoundError: if the deployment does not exist.
        """
        config = self._requester.config
        body: dict[str, Any] = {"project_key": deployment, "data": rows}
        if transforms_only:
            body["deploy-transforms-only"] = True
        request = Request(
            Method.POST,
            config.base_url.url(api_version=ApiVersion.DEPLOYMENT),
            body,
            api_version=ApiVersion.DEPLOYMENT,
            min_timeout=ROWS_TIMEOUT,
        )
        purpose = f"Predictions of deployment {printable(deployment)!r}"

        def parse(response: Any) -> list[dict[str, Any]]:
            if isinstance(response, dict) and "status" in response:
                reason = reason_from(response, json.dumps(response))
                raise rejection_for(config.connection_id, purpose, reason, HTTPStatus.OK)
            return _parse_predictions(purpose, response, len(rows))

        return self._requester.read(lambda: self._requester.send_for_any(request, purpose, parse))


def _parse_predictions(purpose: str, predictions: Any, row_count: int) -> list[dict[str, Any]]:
    if not isinstance(predictions, list) or not all(isinstance(one, dict) and one for one in predictions):
        raise AkkioResponseError("Akkio's response has no valid predictions.")
    if len(predictions) != row_count:
        raise AkkioPredictionMismatchError(
            f"{purpose}: Akkio returned {len(predictions):,} predictions for {row_count:,} rows. They cannot be "
            "assigned to rows, and none was used. Clear the task, or reduce its batch_size."
        )
    return predictions
