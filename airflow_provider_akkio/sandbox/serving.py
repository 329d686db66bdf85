"""The sandbox as a server in a background thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn

from airflow_provider_akkio.sandbox import DEFAULT_HOST, DEFAULT_KEY
from airflow_provider_akkio.sandbox.access import Access
from airflow_provider_akkio.sandbox.app import create_app
from airflow_provider_akkio.sandbox.datasets import collect_datasets
from airflow_provider_akkio.sandbox.dialects import Dialect
from airflow_provider_akkio.sandbox.trainings import TrainingQueue
from airflow_provider_akkio.sandbox.uploads import DatasetStore

if TYPE_CHECKING:
    from types import TracebackType


class Sandbox:
    """A local Akkio, served from construction until :meth:`close` or the end of its ``with`` block.

    :param key: the API key that it takes; default ``sandbox-key``.
    :param forbidden_key: a key that it answers with 403; default none.
    :param dialect: which of Akkio's two descriptions to keep to, ``page`` or ``openapi``; default ``page``.
    :param pace: for how many seconds at least a task is shown as going on; default 0.
    :param workers: how many trainings may run at once; default 1.
    :param data: a folder whose CSV files are offered as datasets too; default none.
    :param host: address to listen on; default loopback.
    :param port: port to listen on; default 0, which picks a free one.
    :raises UnusableDataError: if ``data`` cannot be served.
    :raises OSError: if nothing can listen at that address.
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
        self.datasets = DatasetStore(collect_datasets(None if data is None else Path(data)))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # It takes connections from here on, so no one has to wait for the server's thread to come up.
        self._socket = socket.create_server((host, port), family=family)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        self._trainings = TrainingQueue(self.datasets, workers=workers, pace=pace)
        app = create_app(self._trainings, self.datasets, Access(key, forbidden_key), dialect)
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
        """How many trainings were asked for and accepted."""
        return self._trainings.submissions

    @property
    def trainings(self) -> int:
        """How many trainings were really begun."""
        return self._trainings.trainings

    def close(self) -> None:
        """Stop serving and training; a training that is going on is given up."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._trainings.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens on a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
