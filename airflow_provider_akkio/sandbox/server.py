"""HTTP server of the sandbox in a background thread."""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn

from airflow_provider_akkio.sandbox import DEFAULT_HOST, DEFAULT_KEY, Dialect
from airflow_provider_akkio.sandbox.app import create_app
from airflow_provider_akkio.sandbox.authentication import ApiKeys
from airflow_provider_akkio.sandbox.chat import ChatExplore
from airflow_provider_akkio.sandbox.datasets import DatasetStore
from airflow_provider_akkio.sandbox.trainings import TrainingQueue

if TYPE_CHECKING:
    from types import TracebackType


class Sandbox:
    """A local Akkio that serves from construction until :meth:`stop` or the end of its ``with`` block.

    :param key: API key that the sandbox accepts; default ``sandbox-key``.
    :param forbidden_key: API key that gets HTTP 403; default none.
    :param dialect: API description to follow, ``page`` or ``openapi``; default ``page``.
    :param pace: minimum seconds from a submission to its final status; default 0.
    :param workers: number of trainings that run at once; default 1.
    :param data: folder whose CSV files are offered as datasets; default none.
    :param host: address to listen on; default loopback.
    :param port: port to listen on; default 0, which selects a free port.
    :raises InvalidFolderError: if ``data`` cannot be served.
    :raises OSError: if the sandbox cannot listen on this address.
    """

    def __init__(
        self,
        *,
        key: str = DEFAULT_KEY,
        forbidden_key: str | None = None,
        dialect: Dialect | str = Dialect.PAGE,
        pace: float = 0.0,
        workers: int = 1,
        data: Path | str | None = None,
        host: str = DEFAULT_HOST,
        port: int = 0,
    ) -> None:
        dialect = Dialect(dialect)
        self.datasets = DatasetStore(Path(data) if data is not None else None)
        # The socket accepts connections from now on, so no client has to wait for the server's thread.
        self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        self._trainings = TrainingQueue(workers=workers, pace=pace)
        self._chats = ChatExplore(pace=pace)
        v1_status = HTTPStatus.UNAUTHORIZED if dialect is Dialect.PAGE else HTTPStatus.NOT_FOUND
        keys = ApiKeys(key, forbidden_key, v1_status)
        app = create_app(self._trainings, self._chats, self.datasets, keys, dialect)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="akkio-sandbox-server", daemon=True
        )
        self._thread.start()

    @property
    def submissions(self) -> int:
        """Number of accepted submissions of trainings."""
        return self._trainings.submissions

    @property
    def trainings(self) -> int:
        """Number of trainings that were started."""
        return self._trainings.trainings

    @property
    def chats(self) -> int:
        """Number of accepted submissions to Chat Explore."""
        return self._chats.submissions

    def stop(self) -> None:
        """Stop the server and the trainings; a training that is running fails."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._trainings.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
