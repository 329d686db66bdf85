"""A StatsD server on a real socket."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from typing import Self


class StatsdServer:
    """Receives metrics on a free UDP port of the loopback interface."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._receive)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables that make Airflow send its metrics to this server."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
        }

    def sent(self, prefix: str) -> dict[str, list[str]]:
        """Return the received values by the name of the metric; all that was sent before, if the server has stopped.

        :param prefix: prefix of the names.
        """
        values = defaultdict(list)
        for line in list(self._lines):
            name, _, value = line.partition(":")
            if name.startswith(prefix):
                values[name].append(value)
        return dict(values)

    def _receive(self) -> None:
        while text := self._socket.recv(65536):
            self._lines += text.decode().splitlines()
