"""An Akkio that does as little as possible, so that the other side's cost shows; a program of its own.

It serves TLS on the loopback interface. What it answers of a training lies in the task id, so that it keeps no state:
``running-…`` never ends, ``ended-…`` has ended, ``until-<seconds since the epoch>-…`` ends then. Of datasets and models
it answers what :mod:`benchmarks.legacy` says. It takes orders from its standard input, one a line, and ends with it.
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

from benchmarks.legacy import V1Api
from dev.arrivals import Arrivals

CHAIN, KEY, AUTHORITY = "chain.pem", "key.pem", "authority.pem"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server has seen since it was started.

    :param requests: how many requests arrived.
    :param refused: how many of them got a 429.
    :param connections: how many connections were opened.
    :param most_connections: how many were open at once, at most.
    :param most_in_one_second: how many requests arrived within one second, at most.
    """

    requests: int
    refused: int
    connections: int
    most_connections: int
    most_in_one_second: int


def _answer(status: str, body: object) -> bytes:
    return _with_head(status, json.dumps(body).encode())


def _with_head(status: str, text: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


_RUNNING = _answer("200 OK", {"status": "IN_PROGRESS", "metadata": {"type": "IN_PROGRESS"}})
_SUCCEEDED = _answer("200 OK", {"status": "SUCCEEDED", "metadata": {"type": "SUCCEEDED"}})
_RESULT = _answer("200 OK", {"model_id": "M1", "stats": [], "field_importance": {}, "data_story": []})
_REFUSED = _answer("429 Too Many Requests", {"detail": "too many requests"})


@dataclass(slots=True)
class _Akkio:
    """What all connections share.

    :param most_per_second: requests within one second that are answered; more get a 429. 0 answers all.
    :param answer_seconds: how long each answer takes.
    """

    most_per_second: int
    answer_seconds: float = 0.0
    legacy: V1Api = field(default_factory=V1Api)
    arrivals: Arrivals = field(default_factory=Arrivals)
    refused: int = 0
    opened: int = 0
    most_open: int = 0
    open_now: int = 0

    def answer(self, method: bytes, target: bytes, body: bytes) -> bytes:
        in_one_second = self.arrivals.count()
        if self.most_per_second and in_one_second > self.most_per_second:
            self.refused += 1
            return _REFUSED
        path, _, query = target.partition(b"?")
        if path.endswith((b"/datasets", b"/models")):
            return _with_head("200 OK", self.legacy.answer(method.decode(), path.decode(), query.decode(), body))
        _, task_id, endpoint = path.rsplit(b"/", 2)
        if endpoint == b"result":
            return _RESULT
        kind, _, rest = task_id.partition(b"-")
        if kind == b"until":
            return _SUCCEEDED if time.time() >= float(rest.partition(b"-")[0]) else _RUNNING
        return _SUCCEEDED if kind == b"ended" else _RUNNING

    def counts(self) -> Counts:
        arrivals = self.arrivals
        return Counts(arrivals.total, self.refused, self.opened, self.most_open, arrivals.most_in_one_second)


class _Connection(asyncio.Protocol):
    """One connection, with any number of requests.

    :param akkio: what it shares with the others.
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
            self._write(self._akkio.answer(method, target, body))

    def _write(self, answer: bytes) -> None:
        if self._akkio.answer_seconds:
            asyncio.get_running_loop().call_later(self._akkio.answer_seconds, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _body_length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


def _take_orders(akkio: _Akkio, ended: asyncio.Event) -> None:
    order = sys.stdin.readline()
    if not order:
        ended.set()
    elif order.strip() == "counts":
        print(json.dumps(asdict(akkio.counts())), flush=True)
    else:
        raise ValueError(f"no such order: {order!r}")


async def _serve(folder: Path, most_per_second: int, answer_seconds: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CHAIN, folder / KEY)
    akkio, ended = _Akkio(most_per_second, answer_seconds), asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(akkio), "127.0.0.1", 0, ssl=context, backlog=1024)
    loop.add_reader(sys.stdin, _take_orders, akkio, ended)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
