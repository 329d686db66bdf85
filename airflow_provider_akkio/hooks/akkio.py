"""The hook: an Airflow connection of the type ``akkio``, and the calls that it allows."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_akkio.api.cells import rows_to_text
from airflow_provider_akkio.api.parameters import parse_deployment, parse_field_types, parse_id
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioForbiddenError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_akkio.api.chats import Chat, ChatRequest
    from airflow_provider_akkio.api.config import ClientConfig
    from airflow_provider_akkio.api.datasets import Dataset
    from airflow_provider_akkio.api.http import Flow, Outcome
    from airflow_provider_akkio.api.parameters import TrainRequest
    from airflow_provider_akkio.api.requester import MetricName
    from airflow_provider_akkio.api.tasks import AkkioApi, OnStatus
    from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskState, TrainingResult
    from airflow_provider_akkio.api.v1 import NamedResource
    from airflow_provider_akkio.client.asynchronous import AsynchronousClient
    from airflow_provider_akkio.client.blocking import BlockingClient

DEFAULT_CONNECTION_ID = "akkio_default"

_ASYNCHRONOUS_CLIENT = "airflow_provider_akkio.client.asynchronous"
_MAX_CLIENTS_OPENING = 8
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class AkkioHook(BaseHook):
    """Calls Akkio with the API key of an Airflow connection.

    The connection's password is the API key. Its host is Akkio's base URL (default ``https://api.akkio.com``). Its
    extra may contain:

    - ``timeout``: seconds that one request may take (default 30). A request with rows, and the inference of field
      types, may take 120 seconds even if ``timeout`` is shorter;
    - ``verify``: ``true`` (default), ``false`` to accept any certificate, or the path of a CA bundle;
    - ``requests_per_second``: maximum requests per second of this process (default 5, which is Akkio's limit for the
      whole account).

    Methods about trainings and chats have an asynchronous form with the prefix ``a``. For all other calls, use
    :meth:`arun`.

    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    """

    conn_name_attr = "akkio_conn_id"
    default_conn_name = DEFAULT_CONNECTION_ID
    conn_type = "akkio"
    hook_name = "Akkio"

    def __init__(self, akkio_conn_id: str = DEFAULT_CONNECTION_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.akkio_conn_id = akkio_conn_id
        self.client_config: ClientConfig | None = None
        """The settings that were read last, for OpenLineage, which must not read the connection."""

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels and placeholders of the connection form, for Airflow 2."""
        from airflow_provider_akkio.hooks.connection_form import hook_behaviour

        return hook_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the additional fields of the connection form, for Airflow 2."""
        from airflow_provider_akkio.hooks.connection_form import hook_widgets

        return hook_widgets()

    def get_conn(self) -> requests.Session:
        """Return a session that sends the API key to the connection's base URL only.

        :raises AkkioConfigurationError: if the connection is invalid.
        """
        from airflow_provider_akkio.client.blocking import open_session

        return open_session(self.get_client_config())

    def test_connection(self) -> tuple[bool, str]:
        """Check whether Akkio is reachable and accepts the API key. Nothing is started.

        :return: whether it does, and a message for the user.
        """
        try:
            self.run(lambda api: api.test_connection())
        except AkkioUnauthorizedError as error:
            return False, f"Wrong API key. {error}"
        except AkkioForbiddenError as error:
            return False, f"The API key lacks permission. {error}"
        except AkkioUnavailableError as error:
            return False, f"Akkio is unreachable. {error}"
        except (AkkioError, AirflowNotFoundException) as error:
            return False, str(error)
        return True, "Akkio is reachable and accepts the API key."

    def submit_training(self, request: TrainRequest) -> AkkioTask:
        """Submit a training.

        A failed request is retried up to five times if no training can have started, or if ``force=False`` makes a
        second submission harmless. While Akkio responds with HTTP 429, it is retried for up to an hour.

        :param request: what to train.
        :return: the accepted training.
        :raises AkkioRequestRejectedError: if Akkio rejects the request (HTTP 401, 403, 404, 422).
        :raises AkkioSubmissionUnknownError: if ``force`` is set and a training may or may not have started.
        :raises AkkioUnavailableError: if Akkio is unavailable.
        """
        return self.run(lambda api: api.submit(request))

    async def asubmit_training(self, request: TrainRequest) -> AkkioTask:
        """Submit a training; see :meth:`submit_training`."""
        return await self.arun(lambda api: api.submit(request))

    def get_training_status(self, akkio_task_id: str) -> AkkioTaskState:
        """Return the state of a training; while Akkio is unavailable, retry for five minutes.

        :param akkio_task_id: ID of the training.
        :raises AkkioNotFoundError: if Akkio does not know the training (any more).
        :raises AkkioUnavailableError: if Akkio is unavailable.
        """
        return self.run(lambda api: api.status(parse_id("akkio_task_id", akkio_task_id)))

    async def aget_training_status(self, akkio_task_id: str) -> AkkioTaskState:
        """Return the state of a training; see :meth:`get_training_status`."""
        return await self.arun(lambda api: api.status(parse_id("akkio_task_id", akkio_task_id)))

    def get_training_result(
        self, akkio_task_id: str, location: str | None = None, deadline: float | None = None
    ) -> TrainingResult:
        """Return the model of a training that succeeded.

        :param akkio_task_id: ID of the training.
        :param location: where the result is, according to Akkio's status; default the documented URL, which is also
            used if there is no result at the location, or the location is outside the API root.
        :param deadline: until when to retry while Akkio is unavailable, in seconds since the epoch; default in five
            minutes.
        :raises AkkioNotFoundError: if there is no result.
        :raises AkkioUnavailableError: if Akkio is unavailable.
        """
        return self.run(lambda api: api.result(parse_id("akkio_task_id", akkio_task_id), location, deadline))

    async def aget_training_result(
        self, akkio_task_id: str, location: str | None = None, deadline: float | None = None
    ) -> TrainingResult:
        """Return the model of a training; see :meth:`get_training_result`."""
        return await self.arun(lambda api: api.result(parse_id("akkio_task_id", akkio_task_id), location, deadline))

    def poll_until_done(
        self,
        task: AkkioTask,
        *,
        timeout: float = MAX_TRAINING_SECONDS,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> AkkioTaskState:
        """Poll a training or chat until it has succeeded.

        :param task: the training or chat, as :meth:`submit_training` or :meth:`submit_chat` returned it.
        :param timeout: seconds to wait, counted from the submission; default a day.
        :param poll_interval: seconds between two polls; default the polling schedule of
            :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll`.
        :param on_status: receives the response of each poll; default nothing does.
        :return: the final state, from which :meth:`get_training_result` or :meth:`get_chat` takes the location.
        :raises AkkioTrainingFailedError: if Akkio reports that the training failed.
        :raises AkkioTrainingTimeoutError: if the training is not done in time.
        :raises AkkioChatFailedError: if Akkio reports that the chat failed.
        :raises AkkioChatTimeoutError: if the chat is not done in time.
        :raises AkkioNotFoundError: if Akkio does not know the training or chat (any more).
        """
        deadline = task.submitted_at + timeout
        return self.run(lambda api: api.poll_until_done(task, deadline, poll_interval, on_status))

    async def apoll_until_done(
        self,
        task: AkkioTask,
        *,
        timeout: float = MAX_TRAINING_SECONDS,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> AkkioTaskState:
        """Poll a training or chat until it has succeeded; see :meth:`poll_until_done`."""
        deadline = task.submitted_at + timeout
        return await self.arun(lambda api: api.poll_until_done(task, deadline, poll_interval, on_status))

    def get_resumable_state(self, task: AkkioTask) -> AkkioTaskState | None:
        """Return the state of a training or chat that was submitted earlier.

        :param task: the training or chat.
        :return: its state, which is unknown if Akkio is unavailable; ``None`` if it can no longer bring a result: it
            failed, or it was pending for more than a day.
        :raises AkkioNotFoundError: if Akkio has neither a status nor a result of it.
        :raises AkkioRequestRejectedError: if Akkio rejects the request.
        """
        return self.run(lambda api: api.get_resumable_state(task))

    async def aget_resumable_state(self, task: AkkioTask) -> AkkioTaskState | None:
        """Return the state of a training or chat; see :meth:`get_resumable_state`."""
        return await self.arun(lambda api: api.get_resumable_state(task))

    def submit_chat(self, request: ChatRequest) -> AkkioTask:
        """Submit a question to Chat Explore; retry as :meth:`submit_training` does with ``force=False``.

        :param request: what to ask.
        :return: the accepted chat, for :meth:`poll_until_done`.
        :raises AkkioRequestRejectedError: if Akkio rejects the request (HTTP 401, 403, 404, 422).
        :raises AkkioUnavailableError: if Akkio is unavailable.
        """
        return self.run(lambda api: api.chats.submit(request))

    async def asubmit_chat(self, request: ChatRequest) -> AkkioTask:
        """Submit a question to Chat Explore; see :meth:`submit_chat`."""
        return await self.arun(lambda api: api.chats.submit(request))

    def get_chat(self, location: str, deadline: float | None = None) -> Chat:
        """Return the messages of a chat that succeeded.

        :param location: location of the chat, from its final state, or its ID, which is not Akkio's task ID.
        :param deadline: until when to retry while Akkio is unavailable, in seconds since the epoch; default in five
            minutes.
        :raises AkkioNotFoundError: if Akkio does not know the chat.
        :raises AkkioUnavailableError: if Akkio is unavailable.
        """
        return self.run(lambda api: api.chats.get(location, deadline))

    async def aget_chat(self, location: str, deadline: float | None = None) -> Chat:
        """Return the messages of a chat; see :meth:`get_chat`."""
        return await self.arun(lambda api: api.chats.get(location, deadline))

    def list_datasets(self) -> list[NamedResource]:
        """Return the ID and the name of each dataset.

        :raises AkkioUnavailableError: if Akkio is unavailable for five minutes, as in all methods that follow.
        """
        return self.run(lambda api: api.datasets.list())

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Return the name, the number of rows and the fields of a dataset.

        :param dataset_id: its ID.
        :raises AkkioNotFoundError: if Akkio does not know the dataset.
        """
        return self.run(lambda api: api.datasets.get(parse_id("dataset_id", dataset_id)))

    def create_dataset(self, name: str) -> str:
        """Create an empty dataset, and only one even if the first response is lost.

        :param name: its name.
        :return: its ID.
        :raises AkkioUploadIncompleteError: if several new datasets have this name.
        """
        dataset_id, _ = self.run(lambda api: api.datasets.create(parse_id("dataset_name", name)))
        return dataset_id

    def append_rows(self, dataset_id: str, rows: Iterable[Mapping[Any, Any]]) -> None:
        """Append rows to a dataset exactly once, in one request.

        Each value is sent as text; see :func:`~airflow_provider_akkio.api.cells.cell_to_text`. Call
        :meth:`parse_fields` or :meth:`set_field_types` after the last rows of a new dataset.

        .. code-block:: python

            hook.append_rows(dataset_id, frame.to_dict("records"))

        If the outcome of the request is unknown, the number of rows of the dataset decides whether it is repeated.

        :param dataset_id: its ID.
        :param rows: field name to value; up to about a thousand rows per call.
        :raises AkkioParameterError: if a value is not supported; nothing is sent.
        :raises AkkioUploadIncompleteError: if the outcome remains unknown because something else appends rows, too.
        :raises AkkioRequestRejectedError: if Akkio rejects the rows.
        """
        parsed_id, texts = parse_id("dataset_id", dataset_id), rows_to_text(rows)

        def append(api: AkkioApi) -> Flow[None]:
            rows_before = (yield from api.datasets.get(parsed_id)).rows
            yield from api.datasets.append(parsed_id, texts, rows_before)

        self.run(append)

    def parse_fields(self, dataset_id: str) -> None:
        """Let Akkio infer the types of all fields of a dataset from its rows.

        :param dataset_id: its ID.
        """
        self.run(lambda api: api.datasets.parse_fields(parse_id("dataset_id", dataset_id)))

    def set_field_types(self, dataset_id: str, field_types: Mapping[str, str]) -> None:
        """Set the types of some fields of a dataset.

        :param dataset_id: its ID.
        :param field_types: field name to ``category``, ``id``, ``integer``, ``float`` (or ``number``), ``string``,
            ``date`` or ``unknown``.
        :raises AkkioParameterError: if a type is unknown.
        """
        types = parse_field_types("field_types", field_types)
        self.run(lambda api: api.datasets.set_field_types(parse_id("dataset_id", dataset_id), types))

    def delete_dataset(self, dataset_id: str) -> bool:
        """Delete a dataset.

        :param dataset_id: its ID.
        :return: whether it existed.
        """
        return self.run(lambda api: api.datasets.delete(parse_id("dataset_id", dataset_id)))

    def list_models(self) -> list[NamedResource]:
        """Return the ID and the name of each model."""
        return self.run(lambda api: api.models.list())

    def predict(
        self, model_id: str, rows: Iterable[Mapping[Any, Any]], *, explain: bool = False
    ) -> list[dict[str, Any]]:
        """Return one prediction per row, in the order of the rows. All rows are sent in one request.

        :param model_id: ID of the model.
        :param rows: field name to value; each value is sent as text, as in :meth:`append_rows`.
        :param explain: whether Akkio adds the factors of each prediction; default no.
        :raises AkkioPredictionMismatchError: if the numbers of predictions and rows differ.
        :raises AkkioNotFoundError: if Akkio does not know the model.
        """
        parsed_id, texts = parse_id("model_id", model_id), rows_to_text(rows)
        return self.run(lambda api: api.models.predict(parsed_id, texts, explain=explain))

    def predict_deployed(
        self, deployment: str, rows: Iterable[Mapping[Any, Any]], *, transforms_only: bool = False
    ) -> list[dict[str, Any]]:
        """Return one prediction per row by a deployed model, in the order of the rows.

        :param deployment: ``<id>/<version>``, as Akkio shows it for the deployment; the ID is that of the model.
        :param rows: field name to value; each value is sent as text, as in :meth:`append_rows`.
        :param transforms_only: whether Akkio applies only the transforms of the deployment; default no.
        :raises AkkioPredictionMismatchError: if the numbers of predictions and rows differ.
        :raises AkkioNotFoundError: if Akkio does not know the deployment.
        """
        parsed, texts = parse_deployment("deployment", deployment), rows_to_text(rows)
        return self.run(lambda api: api.models.predict_deployed(parsed, texts, transforms_only=transforms_only))

    def delete_model(self, model_id: str) -> bool:
        """Delete a model.

        :param model_id: its ID.
        :return: whether it existed.
        """
        return self.run(lambda api: api.models.delete(parse_id("model_id", model_id)))

    def open_client(self) -> BlockingClient:
        """Return a client for several calls over the same connections; use it as a context manager.

        :raises AkkioConfigurationError: if the connection is invalid.
        """
        from airflow_provider_akkio.client.blocking import BlockingClient

        return BlockingClient(self.get_client_config(), AirflowMetrics(self.akkio_conn_id))

    def run(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        """Run one flow of :class:`~airflow_provider_akkio.api.tasks.AkkioApi` to its end.

        :param start: starts the flow, such as ``lambda api: api.models.list()``.
        :return: what the flow returns.
        :raises AkkioConfigurationError: if the connection is invalid.
        """
        with self.open_client() as client:
            return client.run(start(client.api))

    async def arun(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        """Run one flow on the event loop; see :meth:`run`.

        Only a few clients open at the same time: opening hundreds at once would block the event loop.
        """
        opening = _opening.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_MAX_CLIENTS_OPENING))
        async with AsyncExitStack() as stack:
            async with opening:
                client = await stack.enter_async_context(await self._aopen_client())
            return await client.run(start(client.api))

    async def _aopen_client(self) -> AsynchronousClient:
        if not hasattr(sys.modules.get(_ASYNCHRONOUS_CLIENT), "AsynchronousClient"):
            # The first import takes long enough to block the event loop.
            await asyncio.to_thread(import_module, _ASYNCHRONOUS_CLIENT)
        from airflow_provider_akkio.client.asynchronous import AsynchronousClient

        return AsynchronousClient(await self.aget_client_config(), AirflowMetrics(self.akkio_conn_id))

    def get_client_config(self) -> ClientConfig:
        """Return the settings of the connection, and mask the API key in Airflow's logs.

        :raises AirflowNotFoundException: if the connection does not exist.
        :raises AkkioConfigurationError: if the connection is invalid.
        """
        connection = self.get_connection(self.akkio_conn_id)
        self.client_config = config = _client_config(connection, connection.extra_dejson)
        _mask(config.api_key)
        return config

    async def aget_client_config(self) -> ClientConfig:
        """Return the settings of the connection; see :meth:`get_client_config`."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
        from asgiref.sync import sync_to_async

        connection = await get_async_connection(self.akkio_conn_id, hook=self)
        self.client_config = config = _client_config(connection, await get_async_extra_dejson(connection))
        # Airflow's triggerer serves a blocking call only from a thread that asgiref has started.
        await sync_to_async(_mask, thread_sensitive=False)(config.api_key)
        return config


class AirflowMetrics:
    """Sends metrics through Airflow's ``Stats`` to StatsD, Datadog or OpenTelemetry.

    :param akkio_conn_id: ID of the connection, which becomes a tag.
    """

    def __init__(self, akkio_conn_id: str) -> None:
        self._tags = {"akkio_conn_id": akkio_conn_id}

    def increment(self, metric: MetricName) -> None:
        """Add one to a counter."""
        from airflow.providers.common.compat.sdk import Stats

        Stats.incr(metric, tags=self._tags)

    def timing(self, metric: MetricName, seconds: float) -> None:
        """Record a duration, which Airflow sends in milliseconds."""
        from airflow.providers.common.compat.sdk import Stats

        Stats.timing(metric, timedelta(seconds=seconds), tags=self._tags)


def _mask(api_key: str) -> None:
    mask_secret(api_key)
    # The v1 calls carry the key in the query of a GET, and libraries may log that URL.
    if (in_url := quote(api_key, safe="")) != api_key:
        mask_secret(in_url)


def _client_config(connection: Connection, extra: Any) -> ClientConfig:
    from airflow_provider_akkio.api.config import ClientConfig

    return ClientConfig.from_connection(
        connection.conn_id or "",
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        password=connection.password,
        extra=extra,
    )
