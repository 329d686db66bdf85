"""Responses that repeat the API key of the request, as a debugging proxy or a hostile server would."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

from tests.scripted import Reply, Responder, accepted, result, status


def _echo(create: Callable[[str], Responder]) -> Responder:
    """Send the response that is created from the request's key."""
    return lambda handler: create(handler.headers["X-API-Key"])(handler)


def _body(code: int, create: Callable[[str], Any]) -> Responder:
    """Send a body with the key: text, or a value as JSON."""

    def reply(key: str) -> Reply:
        body = create(key)
        return Reply(code, body.encode() if isinstance(body, str) else body)

    return _echo(reply)


def _raw(create: Callable[[str], str]) -> Responder:
    """Send bytes with the key instead of an HTTP response."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(create(handler.headers["X-API-Key"]).encode())
        handler.close_connection = True

    return answer


FAILURES: dict[str, Responder] = {
    "in a text": _body(500, lambda key: f"unexpected header X-API-Key: {key}"),
    "in JSON": _body(500, lambda key: {"headers": {"x-api-key": key}}),
    "in JSON within JSON": _body(500, lambda key: {"request": json.dumps({"x-api-key": key})}),
    "in a Python object": _body(500, lambda key: f"KeyError: {key!r}"),
    "in HTML": _body(502, lambda key: f"<html><pre>X-API-Key: {html.escape(key)}</pre></html>"),
    "in a URL": _body(400, lambda key: f"bad request: ?api_key={quote(key, safe='')}"),
    "in a path": _body(400, lambda key: f"no such page: /{quote(key)}"),
    "in the detail": _body(401, lambda key: {"detail": f"no such key: {key}"}),
    "in a field's error": _body(422, lambda key: {"detail": [{"loc": ["header", "X-API-Key"], "msg": f"bad: {key}"}]}),
    "where the message is truncated": _body(403, lambda key: {"detail": "." * 175 + key}),
    "in invalid JSON": _body(200, lambda key: f"X-API-Key: {key}"),
    "in a JSON array": _body(200, lambda key: [key]),
    "in an object without the documented keys": _body(200, lambda key: {"x-api-key": key}),
    "in the status line": _raw(lambda key: f"X-API-Key: {key}\r\n\r\n"),
    "in the length of a chunk": _raw(lambda key: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n"),
}
"""Responses that are not successful or invalid."""

STATES: dict[str, Responder] = {
    "in an unknown status": _echo(status),
    "in the reason of a failure": _echo(lambda key: status("FAILED", error=f"cannot train with {key}")),
    "in a location": _echo(
        lambda key: status("SUCCEEDED", location=f"/models/train/T1/result?key={quote(key, safe='')}")
    ),
    "in a location elsewhere": _echo(lambda key: status("SUCCEEDED", location=f"https://elsewhere.example/?key={key}")),
}
"""Valid responses to a poll."""

TASK_ID = _echo(accepted)
MODEL = _echo(lambda key: result(f"M {key}", data_story=[{"name": key, key: "name"}]))
REDIRECT = _echo(lambda key: Reply(302, {}, {"Location": f"https://elsewhere.example/?key={quote(key)}"}))
