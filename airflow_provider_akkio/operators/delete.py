"""Delete what is no longer needed at Akkio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_akkio.api.parameters import is_literal, naming_task, parse_id
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION, AkkioHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AkkioDeleteModelOperator(BaseOperator):
    """Delete a model; one that is gone already is success.

    :param model_id: its id.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :raises AkkioParameterError: if the id is none.
    """

    template_fields: Sequence[str] = ("model_id", "akkio_conn_id")

    def __init__(self, *, model_id: str, akkio_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_id = model_id
        self.akkio_conn_id = akkio_conn_id
        _check(self, "model_id")

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow hands it over by name
        """Delete it."""
        was_there = AkkioHook(self.akkio_conn_id).delete_model(parse_id("model_id", self.model_id))
        self.log.info("Model %s %s.", self.model_id, "is deleted" if was_there else "was gone already")


class AkkioDeleteDatasetOperator(BaseOperator):
    """Delete a dataset; one that is gone already is success.

    :param dataset_id: its id.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :raises AkkioParameterError: if the id is none.
    """

    template_fields: Sequence[str] = ("dataset_id", "akkio_conn_id")

    def __init__(self, *, dataset_id: str, akkio_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.akkio_conn_id = akkio_conn_id
        _check(self, "dataset_id")

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow hands it over by name
        """Delete it."""
        was_there = AkkioHook(self.akkio_conn_id).delete_dataset(parse_id("dataset_id", self.dataset_id))
        self.log.info("Dataset %s %s.", self.dataset_id, "is deleted" if was_there else "was gone already")


def _check(task: BaseOperator, name: str) -> None:
    with naming_task(task.task_id):
        for one in (name, "akkio_conn_id"):
            if is_literal(value := getattr(task, one)):
                parse_id(one, value)
