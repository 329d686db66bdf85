"""A StatsD server on a real socket, which remembers what it was sent."""

from __future__ import annotations

import socket
import threading
from typing import Self


class StatsdServer:
    """Takes datagrams on a free port of this machine."""

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
        """The environment variables that make Airflow send its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
        }

    def sent(self, beginning: str) -> dict[str, list[str]]:
        """Return the values that were sent, by the names that begin so."""
        values: dict[str, list[str]] = {}
        for line in list(self._lines):
            name, _, value = line.partition(":")
            if name.startswith(beginning):
                values.setdefault(name, []).append(value)
        return values

    def _receive(self) -> None:
        while text := self._socket.recv(65536):
            self._lines += text.decode().splitlines()
