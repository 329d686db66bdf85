"""An Airflow connection of the type ``akkio``, and what can be asked with it."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_akkio.api.parameters import parse_id
from airflow_provider_akkio.api.types import MAX_TRAINING_SECONDS
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioForbiddenError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
    from airflow_provider_akkio.api.datasets import Dataset
    from airflow_provider_akkio.api.http import Flow, Outcome
    from airflow_provider_akkio.api.parameters import TrainRequest
    from airflow_provider_akkio.api.trainings import AkkioApi, OnStatus
    from airflow_provider_akkio.api.types import SubmittedTraining, TrainingResult, TrainingState
    from airflow_provider_akkio.api.v1 import NamedResource
    from airflow_provider_akkio.client.asynchronous import AsynchronousClient
    from airflow_provider_akkio.client.blocking import BlockingClient

DEFAULT_CONNECTION = "akkio_default"

_CLIENT = "airflow_provider_akkio.client.asynchronous"
_AT_ONCE = 8
_semaphores: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()


class AkkioHook(BaseHook):
    """Talks to Akkio with the key of an Airflow connection.

    The connection's password is the API key, its host Akkio's site (default ``https://api.akkio.com``). Its extra may
    hold ``timeout``, the seconds that one request may take (default 30); ``verify``: true (default), false to take
    anybody for Akkio, or the path of the certificates to check by; and ``requests_per_second``, how many of Akkio's
    five for the whole account this process may use (default 5; of a number above one, the whole part counts). Each
    method about a training has an asynchronous form, whose name has an ``a`` in front, for use on an event loop; for
    the others, :meth:`arun` takes their conversation.

    :param akkio_conn_id: id of the connection.
    """

    conn_name_attr = "akkio_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "akkio"
    hook_name = "Akkio"

    def __init__(self, akkio_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.akkio_conn_id = akkio_conn_id
        self.site: BaseUrl | None = None
        """Where the connection leads, once it has been read."""

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the connection form of Airflow 2 names its fields."""
        from airflow_provider_akkio.hooks.connection_form import hook_behaviour

        return hook_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields that the connection form of Airflow 2 has besides."""
        from airflow_provider_akkio.hooks.connection_form import hook_widgets

        return hook_widgets()

    def get_conn(self) -> requests.Session:
        """Return a session that sends the API key, and reaches the connection's own site alone.

        :raises AkkioConfigurationError: if the connection is incomplete or contradicts itself.
        """
        from airflow_provider_akkio.client.blocking import open_session

        return open_session(self.get_client_config())

    def test_connection(self) -> tuple[bool, str]:
        """Find out whether Akkio can be reached and takes the key; nothing is started.

        :return: whether it does, and a sentence for the person who asked.
        """
        try:
            self.run(lambda akkio: akkio.test_connection())
        except AkkioUnauthorizedError as error:
            return False, f"Wrong API key. {error}"
        except AkkioForbiddenError as error:
            return False, f"The API key may not be used for this. {error}"
        except AkkioUnavailableError as error:
            return False, f"Akkio cannot be reached. {error}"
        except (AkkioError, AirflowNotFoundException) as error:
            return False, str(error)
        return True, "Akkio answers, and takes the API key."

    def submit_training(self, request: TrainRequest) -> SubmittedTraining:
        """Ask Akkio for a training.

        A failure after which no training can have been started, or one that ``force=False`` makes harmless, is tried
        again up to five times; while Akkio asks for fewer requests, for up to an hour.

        :param request: what to train.
        :return: the accepted training.
        :raises AkkioRequestRejectedError: if Akkio refuses it (401, 403, 404, 422).
        :raises AkkioSubmissionUnknownError: if ``force`` is set and no answer tells whether a training was started.
        :raises AkkioUnavailableError: if Akkio could not be had.
        """
        return self.run(lambda akkio: akkio.submit(request))

    async def asubmit_training(self, request: TrainRequest) -> SubmittedTraining:
        """Do what :meth:`submit_training` does, on the event loop."""
        return await self.arun(lambda akkio: akkio.submit(request))

    def get_training_status(self, akkio_task_id: str) -> TrainingState:
        """Ask how a training is doing; while Akkio cannot be had, for five minutes.

        :param akkio_task_id: id of the training.
        :return: its state.
        :raises AkkioNotFoundError: if Akkio does not know it, or no longer.
        :raises AkkioUnavailableError: if Akkio could not be had.
        """
        return self.run(lambda akkio: akkio.status(parse_id("akkio_task_id", akkio_task_id)))

    async def aget_training_status(self, akkio_task_id: str) -> TrainingState:
        """Do what :meth:`get_training_status` does, on the event loop."""
        return await self.arun(lambda akkio: akkio.status(parse_id("akkio_task_id", akkio_task_id)))

    def get_training_result(self, akkio_task_id: str, location: str | None = None) -> TrainingResult:
        """Fetch what a training made; while Akkio cannot be had, for five minutes.

        :param akkio_task_id: id of the training.
        :param location: where Akkio said that the result lies; default the documented place.
        :return: the model's id and statistics.
        :raises AkkioNotFoundError: if there is no result.
        :raises AkkioUntrustedUrlError: if ``location`` leads away from Akkio.
        :raises AkkioUnavailableError: if Akkio could not be had.
        """
        return self.run(lambda akkio: akkio.result(parse_id("akkio_task_id", akkio_task_id), location))

    async def aget_training_result(self, akkio_task_id: str, location: str | None = None) -> TrainingResult:
        """Do what :meth:`get_training_result` does, on the event loop."""
        return await self.arun(lambda akkio: akkio.result(parse_id("akkio_task_id", akkio_task_id), location))

    def poll_until_done(
        self,
        training: SubmittedTraining,
        *,
        timeout: float = MAX_TRAINING_SECONDS,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> TrainingResult:
        """Wait until a training has ended, and fetch what it made.

        :param training: what :meth:`submit_training` returned.
        :param timeout: seconds to wait, counted from the submission; default a day.
        :param poll_interval: seconds between two questions; by default what
            :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll` makes of what is known.
        :param on_status: hears each answer to the question for the status; default nobody does.
        :return: the model's id and statistics.
        :raises AkkioTrainingFailedError: if Akkio reports that it failed.
        :raises AkkioTrainingTimeoutError: if it did not end in time.
        :raises AkkioNotFoundError: if Akkio does not know it, or no longer.
        """
        _, result = self.run(_finish(training, timeout, poll_interval, on_status))
        return result

    def get_resumable_state(self, training: SubmittedTraining) -> TrainingState | None:
        """Find out what has become of a training that was submitted some time ago.

        :param training: what :meth:`submit_training` returned then.
        :return: its state, not known if Akkio cannot be had now; ``None`` if no model can come of it any more: it
            failed, or was pending for over a day.
        :raises AkkioNotFoundError: if Akkio knows neither a status nor a result of it.
        :raises AkkioRequestRejectedError: if Akkio refuses to answer.
        :raises AkkioUntrustedUrlError: if it answers with a redirect.
        """
        return self.run(lambda akkio: akkio.get_resumable_state(training))

    async def aget_resumable_state(self, training: SubmittedTraining) -> TrainingState | None:
        """Do what :meth:`get_resumable_state` does, on the event loop."""
        return await self.arun(lambda akkio: akkio.get_resumable_state(training))

    async def apoll_until_done(
        self,
        training: SubmittedTraining,
        *,
        timeout: float = MAX_TRAINING_SECONDS,
        poll_interval: float | None = None,
        on_status: OnStatus | None = None,
    ) -> TrainingResult:
        """Do what :meth:`poll_until_done` does, on the event loop."""
        _, result = await self.arun(_finish(training, timeout, poll_interval, on_status))
        return result

    def list_datasets(self) -> list[NamedResource]:
        """Return the datasets of the account, by id and name.

        :raises AkkioUnavailableError: if no answer came for five minutes; so do the methods that follow.
        """
        return self.run(lambda akkio: akkio.datasets.list())

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Return a dataset's name, number of rows and fields.

        :param dataset_id: its id.
        :raises AkkioNotFoundError: if there is none.
        """
        return self.run(lambda akkio: akkio.datasets.get(parse_id("dataset_id", dataset_id)))

    def create_dataset(self, name: str) -> str:
        """Make an empty dataset, one even if the answer to the first request is lost.

        :param name: its name.
        :return: its id.
        :raises AkkioUploadIncompleteError: if it cannot be told which of several new ones it is.
        """
        dataset_id, _ = self.run(lambda akkio: akkio.datasets.create(parse_id("dataset_name", name)))
        return dataset_id

    def append_rows(self, dataset_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a dataset, each once: after an unknown outcome its number of rows tells whether they came.

        All go in one request; a thousand at a time is what
        :class:`~airflow_provider_akkio.operators.akkio.AkkioUploadDatasetOperator` sends.

        :param dataset_id: its id.
        :param rows: field name to text, number or ``None``.
        :raises AkkioUploadIncompleteError: if it cannot be told whether they came, since something else adds rows, too.
        :raises AkkioRequestRejectedError: if Akkio refuses them.
        """

        def append(akkio: AkkioApi) -> Flow[None]:
            already = (yield from akkio.datasets.get(dataset_id)).rows
            yield from akkio.datasets.append(dataset_id, rows, already)

        parse_id("dataset_id", dataset_id)
        self.run(append)

    def set_field_types(self, dataset_id: str, types: Mapping[str, str]) -> None:
        """Set the types of some fields of a dataset.

        :param dataset_id: its id.
        :param types: field name to ``category``, ``string`` or ``number``.
        :raises AkkioRequestRejectedError: if Akkio refuses one.
        """
        self.run(lambda akkio: akkio.datasets.set_field_types(parse_id("dataset_id", dataset_id), types))

    def delete_dataset(self, dataset_id: str) -> bool:
        """Delete a dataset.

        :param dataset_id: its id.
        :return: whether it was there.
        """
        return self.run(lambda akkio: akkio.datasets.delete(parse_id("dataset_id", dataset_id)))

    def list_models(self) -> list[NamedResource]:
        """Return the models of the account, by id and name."""
        return self.run(lambda akkio: akkio.models.list())

    def predict(
        self, model_id: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False
    ) -> list[dict[str, Any]]:
        """Return a model's predictions, one for each row and in their order; all rows go in one request.

        :param model_id: its id.
        :param rows: field name to text, number or ``None``.
        :param explain: let Akkio add what led to each prediction; default no.
        :raises AkkioPredictionMismatchError: if they are not as many as the rows.
        :raises AkkioNotFoundError: if there is no such model.
        """
        return self.run(lambda akkio: akkio.models.predict(parse_id("model_id", model_id), rows, explain=explain))

    def delete_model(self, model_id: str) -> bool:
        """Delete a model.

        :param model_id: its id.
        :return: whether it was there.
        """
        return self.run(lambda akkio: akkio.models.delete(parse_id("model_id", model_id)))

    def open_client(self) -> BlockingClient:
        """Return a client for several conversations over the same connections, to be used as a context manager.

        :raises AkkioConfigurationError: if the connection is incomplete or contradicts itself.
        """
        from airflow_provider_akkio.client.blocking import BlockingClient
        from airflow_provider_akkio.metrics import AirflowMetrics

        return BlockingClient(self.get_client_config(), AirflowMetrics(self.akkio_conn_id))

    def run(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        """Hold one conversation of :class:`~airflow_provider_akkio.api.trainings.AkkioApi`.

        :param start: begins the conversation.
        :return: its outcome.
        :raises AkkioConfigurationError: if the connection is incomplete or contradicts itself.
        """
        with self.open_client() as client:
            return client.run(start(client.api))

    async def arun(self, start: Callable[[AkkioApi], Flow[Outcome]]) -> Outcome:
        """Do what :meth:`run` does, on the event loop.

        Of many that begin at once, a few connect at a time: all together would hold up the loop.
        """
        async with AsyncExitStack() as stack:
            async with _few_at_once():
                client = await stack.enter_async_context(await self._aclient())
            return await client.run(start(client.api))

    async def _aclient(self) -> AsynchronousClient:
        from asgiref.sync import sync_to_async

        if not hasattr(sys.modules.get(_CLIENT), "AsynchronousClient"):
            # To import it takes long enough to hold up the loop; another thread may have imported half of it.
            await sync_to_async(import_module, thread_sensitive=False)(_CLIENT)
        from airflow_provider_akkio.client.asynchronous import AsynchronousClient
        from airflow_provider_akkio.metrics import AirflowMetrics

        return AsynchronousClient(await self.aget_client_config(), AirflowMetrics(self.akkio_conn_id))

    def get_client_config(self) -> ClientConfig:
        """Return what the connection says; its key is masked in Airflow's logs from then on.

        :raises AirflowNotFoundException: if there is no such connection.
        :raises AkkioConfigurationError: if it is incomplete or contradicts itself.
        """
        connection = self.get_connection(self.akkio_conn_id)
        config = _client_config(connection, connection.extra_dejson)
        mask_secret(config.api_key)
        self.site = config.base_url
        return config

    async def aget_client_config(self) -> ClientConfig:
        """Do what :meth:`get_client_config` does, on the event loop."""
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
        from asgiref.sync import sync_to_async

        connection = await get_async_connection(self.akkio_conn_id, hook=self)
        config = _client_config(connection, await get_async_extra_dejson(connection))
        await sync_to_async(mask_secret, thread_sensitive=False)(config.api_key)
        return config


def _finish(
    training: SubmittedTraining, timeout: float, poll_interval: float | None, on_status: OnStatus | None
) -> Callable[[AkkioApi], Flow[tuple[TrainingState, TrainingResult]]]:
    def flow(akkio: AkkioApi) -> Flow[tuple[TrainingState, TrainingResult]]:
        state = yield from akkio.poll_until_done(training, training.submitted_at + timeout, poll_interval, on_status)
        return state, (yield from akkio.result(training.akkio_task_id, state.location))

    return flow


def _few_at_once() -> Semaphore:
    return _semaphores.setdefault(get_running_loop(), Semaphore(_AT_ONCE))


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
