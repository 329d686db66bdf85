"""The v1 API of the loopback server: datasets and predictions, where rows are only counted."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

_UNKNOWN_REQUEST = {"status": "unknown request"}


class V1Api:
    """Names and row counts of datasets."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def respond(self, method: str, path: str, query: str, body: bytes) -> bytes:
        """Return the body of a response.

        Rows are not parsed, only their braces are counted, so that the server takes little of the measured time.

        :param method: HTTP method.
        :param path: path of the URL.
        :param query: query of the URL.
        :param body: body of the request.
        """
        if path.endswith("/models"):
            return _predictions(_row_count(body)) if method == "POST" else _json(_UNKNOWN_REQUEST)
        if method == "GET":
            return _json(self._read(query))
        if b'"rows": [' in body[:300]:
            before_rows = body[: body.index(b'"rows"')].rstrip(b", ") + b"}"
            self._rows[json.loads(before_rows)["id"]] += _row_count(body)
            return _json({"status": "success"})
        return _json(self._write(method, json.loads(body)))

    def _read(self, query: str) -> dict[str, Any]:
        wanted = dict(part.partition("=")[::2] for part in query.split("&")).get("id")
        if wanted is None:
            listed = [{"id": identifier, "name": name} for identifier, name in self._names.items()]
            return {"status": "success", "datasets": listed}
        return {
            "status": "success",
            "id": wanted,
            "name": self._names[wanted],
            "rows": self._rows[wanted],
            "fields": [],
        }

    def _write(self, method: str, wanted: dict[str, Any]) -> dict[str, Any]:
        if method == "DELETE":
            del self._rows[wanted["id"]], self._names[wanted["id"]]
            return {"status": "success"}
        if "id" in wanted:  # field types
            return {"status": "success"}
        identifier = f"D{len(self._rows) + 1}"
        self._rows[identifier], self._names[identifier] = 0, wanted["name"]
        return {"status": "success", "dataset_id": identifier}


def _row_count(body: bytes) -> int:
    return body.count(b"{") - 1


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@lru_cache(maxsize=8)
def _predictions(count: int) -> bytes:
    """Return predictions in Akkio's format: the class and the probability of each class."""
    prediction = {"bought": "yes", "Probability bought=no": 0.18273645, "Probability bought=yes": 0.81726355}
    return _json({"status": "success", "predictions": [prediction] * count})
