"""Answers that say the API key back, as a debugging proxy does, or a hostile server."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

from tests.scripted import Answering, Reply, accepted, result, status

Saying = Callable[[str], Any]


def _echo(code: int, say: Saying) -> Answering:
    """Response with what is made of the request's key: a text, or a value that is sent as JSON."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        said = say(_key(handler))
        Reply(code, said.encode() if isinstance(said, str) else said)(handler)

    return answer


def _garbled(say: Callable[[str], str]) -> Answering:
    """Send what is made of the request's key, and no HTTP around it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(say(_key(handler)).encode())
        handler.close_connection = True

    return answer


def _filled(make: Callable[[str], Reply]) -> Answering:
    """Give an answer of Akkio's, with the request's key in it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        make(_key(handler))(handler)

    return answer


def _key(handler: BaseHTTPRequestHandler) -> str:
    return handler.headers["X-API-Key"]


FAILURES: dict[str, Answering] = {
    "in a text": _echo(500, lambda key: f"unexpected header X-API-Key: {key}"),
    "in JSON": _echo(500, lambda key: {"headers": {"x-api-key": key}}),
    "in JSON within JSON": _echo(500, lambda key: {"request": json.dumps({"x-api-key": key})}),
    "in a Python object": _echo(500, lambda key: f"KeyError: {key!r}"),
    "in HTML": _echo(502, lambda key: f"<html><pre>X-API-Key: {html.escape(key)}</pre></html>"),
    "in a URL": _echo(400, lambda key: f"bad request: ?api_key={quote(key, safe='')}"),
    "in a path": _echo(400, lambda key: f"no such page: /{quote(key)}"),
    "in the detail": _echo(401, lambda key: {"detail": f"no such key: {key}"}),
    "in a field's error": _echo(422, lambda key: {"detail": [{"loc": ["header", "X-API-Key"], "msg": f"bad: {key}"}]}),
    "where the message is cut off": _echo(403, lambda key: {"detail": "." * 175 + key}),
    "in what is not JSON": _echo(200, lambda key: f"X-API-Key: {key}"),
    "in what is no JSON object": _echo(200, lambda key: [key]),
    "in an object that lacks everything": _echo(200, lambda key: {"x-api-key": key}),
    "in the status line": _garbled(lambda key: f"X-API-Key: {key}\r\n\r\n"),
    "in the length of a chunk": _garbled(lambda key: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n"),
}
"""What is no answer of Akkio's."""

STATES: dict[str, Answering] = {
    "in an unknown status": _filled(status),
    "in the reason of a failure": _filled(lambda key: status("FAILED", error=f"cannot train with {key}")),
    "in a location": _filled(
        lambda key: status("SUCCEEDED", location=f"/models/train/T1/result?key={quote(key, safe='')}")
    ),
    "in a location elsewhere": _filled(
        lambda key: status("SUCCEEDED", location=f"https://elsewhere.example/?key={key}")
    ),
}
"""What is an answer of Akkio's about a training."""

TASK_ID = _filled(accepted)
MODEL = _filled(lambda key: result(f"M {key}", data_story=[{"name": key, key: "name"}]))
REDIRECT = _filled(lambda key: Reply(302, {}, {"Location": f"https://elsewhere.example/?key={quote(key)}"}))
