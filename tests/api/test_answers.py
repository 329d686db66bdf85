"""What an answer means, and how an error reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_akkio.api.http import Response, TransportError, retry_after_seconds
from airflow_provider_akkio.api.requester import parse_response
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import (
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
)
from tests.api.driving import ACCOUNT

NOW = 1_784_888_000.0


def read(answer: Response | TransportError) -> dict[str, Any]:
    return parse_response(ACCOUNT, "Requester", answer, NOW)


def test_a_byte_order_mark_does_no_harm() -> None:
    assert read(Response(200, b"\xef\xbb\xbf{}")) == {}


def test_not_a_number_is_read_as_null_since_it_would_cost_the_whole_xcom() -> None:
    assert read(Response(200, b'{"f1": NaN, "r2": -Infinity, "rmse": 1e999, "mae": 0.5}')) == {
        "f1": None,
        "r2": None,
        "rmse": None,
        "mae": 0.5,
    }


def test_characters_that_no_database_stores_are_replaced_and_others_kept() -> None:
    body = json.dumps({"stats": [{"class_name": "a\0b", "x\0": 1}, "\ud83d\ude00", "ü", None]}).encode()
    lone = body.replace(b'"\\u00fc"', b'"\\ud800"')
    assert read(Response(200, body)) == {"stats": [{"class_name": "a\ufffdb", "x\ufffd": 1}, "\U0001f600", "ü", None]}
    assert read(Response(200, lone))["stats"][2] == "?"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": 1',
        b'"\xed\xa0\x80"',
        "{}".encode("utf-16"),
        b'{"stats":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(AkkioResponseError, match=r"^Requester: "):
        read(Response(200, body))


def test_a_body_that_is_nested_as_deep_as_can_be_stored_is_read() -> None:
    body = b'{"stats":' + b"[" * 99 + b"]" * 99 + b"}"
    assert read(Response(200, body)) == json.loads(body)


def test_a_body_that_is_not_whole_says_why_in_one_line() -> None:
    with pytest.raises(AkkioResponseError, match=r"answer was cut short \(bad chunk\); it begins: aaa$"):
        read(Response(200, b"aaa", defect="was cut short\n (bad chunk)"))


def test_a_body_that_is_not_whole_says_why() -> None:
    with pytest.raises(AkkioResponseError, match="is longer than 32 MiB; it begins: aaa"):
        read(Response(200, b"aaa", defect="is longer than 32 MiB"))


def test_a_field_that_akkio_refuses_is_named_with_the_reason() -> None:
    detail = [{"loc": ["body", "predict_fields", 0], "msg": "no such field", "type": "value_error"}, {"msg": "odd"}, 7]
    with pytest.raises(AkkioUnprocessableError, match=r"\(HTTP 422\): predict_fields.0: no such field; body: odd$"):
        read(Response(422, json.dumps({"detail": detail}).encode()))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "sorry"}', "sorry"),
        (b'{"detail": []}', '{"detail": []}'),
        (b"plain text", "plain text"),
        (b"", "no explanation"),
        (b'["list"]', '["list"]'),
        (b"<h1>Bad\nGateway</h1>", "<h1>Bad Gateway</h1>"),
    ],
)
def test_what_an_error_says_stands_in_the_message(body: bytes, said: str) -> None:
    with pytest.raises(AkkioRequestRejectedError) as caught:
        read(Response(400, body))
    assert str(caught.value) == f"Requester: Akkio refused the request (HTTP 400): {said}"


def test_a_wrong_key_names_the_connection_to_mend() -> None:
    with pytest.raises(AkkioUnauthorizedError, match="password of connection 'akkio_default'"):
        read(Response(401))


@pytest.mark.parametrize(("code", "unknown"), [(408, False), (425, False), (500, True), (503, True), (100, True)])
def test_only_some_failures_leave_the_outcome_open(code: int, unknown: bool) -> None:
    with pytest.raises(AkkioUnavailableError) as caught:
        read(Response(code))
    assert caught.value.outcome_is_unknown is unknown


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 1.0),
        ("0", 1.0),
        ("86400", 300.0),
        ("Fri, 24 Jul 2026 10:13:30 GMT", 10.0),
        ("Fri, 24 Jul 2026 10:00:00 GMT", 1.0),
        ("soon", None),
        ("nan", None),
        ("Fri, 24 Jul 2026 10:13:30", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_a_foreign_text_cannot_forge_log_lines_nor_flood_them() -> None:
    shown = printable("fine\r\n[ERROR] forged \x1b[31m\u202e" + "x" * 1000)
    assert len(shown) == 201
    assert shown.startswith("fine [ERROR] forged [31m x")
