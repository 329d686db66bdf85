"""A minimal Akkio in its own process, which takes as little as possible of the measured time.

It serves TLS on the loopback interface. The status of a training follows from its task ID: ``running-…`` never ends,
``ended-…`` has ended, and ``until-<seconds since the epoch>-…`` ends at that time. :mod:`benchmarks.v1` serves datasets
and predictions. The line ``counts`` on standard input prints the counts; the server stops at the end of its input.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.v1 import V1Api
from dev.request_counter import RequestCounter

CHAIN, KEY, AUTHORITY = "chain.pem", "key.pem", "authority.pem"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts since the start of the server.

    :param requests: requests.
    :param refused: requests that were rejected with HTTP 429.
    :param connections: accepted connections.
    :param most_connections: maximum number of concurrent connections.
    :param most_in_one_second: maximum number of requests within one second.
    """

    requests: int
    refused: int
    connections: int
    most_connections: int
    most_in_one_second: int


def _response(status: str, body: object) -> bytes:
    return _with_head(status, json.dumps(body).encode())


def _with_head(status: str, text: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


_RUNNING = _response("200 OK", {"status": "IN_PROGRESS", "metadata": {"type": "IN_PROGRESS"}})
_SUCCEEDED = _response("200 OK", {"status": "SUCCEEDED", "metadata": {"type": "SUCCEEDED"}})
_RESULT = _response("200 OK", {"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})
_REFUSED = _response("429 Too Many Requests", {"detail": "too many requests"})


@dataclass(slots=True)
class _Akkio:
    """State that all connections share.

    :param max_per_second: rate limit above which requests are rejected; 0 for no limit.
    :param response_seconds: delay of each response.
    """

    max_per_second: int
    response_seconds: float = 0.0
    v1: V1Api = field(default_factory=V1Api)
    counter: RequestCounter = field(default_factory=RequestCounter)
    refused: int = 0
    opened: int = 0
    most_open: int = 0
    open_now: int = 0

    def respond(self, method: bytes, target: bytes, body: bytes) -> bytes:
        in_one_second = self.counter.count()
        if self.max_per_second and in_one_second > self.max_per_second:
            self.refused += 1
            return _REFUSED
        path, _, query = target.partition(b"?")
        if path.endswith((b"/datasets", b"/models")):
            return _with_head("200 OK", self.v1.respond(method.decode(), path.decode(), query.decode(), body))
        _, task_id, endpoint = path.rsplit(b"/", 2)
        if endpoint == b"result":
            return _RESULT
        kind, _, rest = task_id.partition(b"-")
        if kind == b"until":
            return _SUCCEEDED if time.time() >= float(rest.partition(b"-")[0]) else _RUNNING
        return _SUCCEEDED if kind == b"ended" else _RUNNING

    def counts(self) -> Counts:
        counter = self.counter
        return Counts(counter.total, self.refused, self.opened, self.most_open, counter.max_per_second)


class _Connection(asyncio.Protocol):
    """One connection.

    :param akkio: shared state.
    """

    def __init__(self, akkio: _Akkio) -> None:
        self._akkio = akkio
        self._received = bytearray()
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._akkio.opened += 1
        self._akkio.open_now += 1
        self._akkio.most_open = max(self._akkio.most_open, self._akkio.open_now)

    def connection_lost(self, _: Exception | None) -> None:
        self._akkio.open_now -= 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= self._wanted and (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = bytes(self._received[:end])
            self._wanted = end + _body_length(head)
            if len(self._received) < self._wanted:
                return
            body = bytes(self._received[end : self._wanted])
            del self._received[: self._wanted]
            self._wanted = 0
            method, target, _ = head.split(b" ", 2)
            self._write(self._akkio.respond(method, target, body))

    def _write(self, response: bytes) -> None:
        if self._akkio.response_seconds:
            asyncio.get_running_loop().call_later(self._akkio.response_seconds, self._transport.write, response)
        else:
            self._transport.write(response)


def _body_length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


def _read_command(akkio: _Akkio, ended: asyncio.Event) -> None:
    command = sys.stdin.readline()
    if not command:
        ended.set()
    elif command.strip() == "counts":
        print(json.dumps(asdict(akkio.counts())), flush=True)
    else:
        raise ValueError(f"unknown command: {command!r}")


async def _serve(folder: Path, max_per_second: int, response_seconds: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CHAIN, folder / KEY)
    akkio, ended = _Akkio(max_per_second, response_seconds), asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(akkio), "127.0.0.1", 0, ssl=context, backlog=1024)
    loop.add_reader(sys.stdin, _read_command, akkio, ended)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
