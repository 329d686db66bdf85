"""What a server says back of the API key is replaced, however it is printable, and nothing else is."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest

from airflow_provider_akkio.api.http import Response, TransportError, redact_key

KEY = "Ab1/+=&%40\"'\\<cD2"
SPELLINGS = {
    "as it is": KEY,
    "in a URL": quote(KEY, safe=""),
    "in a path": quote(KEY),
    "in a URL within a URL": quote(quote(KEY, safe=""), safe=""),
    "in JSON": json.dumps(KEY)[1:-1],
    "in JSON with escaped slashes": json.dumps(KEY)[1:-1].replace("/", r"\/"),
    "in JSON for HTML": json.dumps(KEY)[1:-1].replace("<", r"\u003C").replace("&", r"\u0026"),
    "in JSON within JSON": json.dumps(json.dumps(KEY))[3:-3],
    "in Python": repr(KEY)[1:-1],
    "in HTML": html.escape(KEY),
    "in JSON within HTML": html.escape(json.dumps(KEY)[1:-1]),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_the_key_is_replaced_however_it_is_quoted(spelling: str) -> None:
    said = Response(500, f"a {spelling} b".encode(), defect=f"was cut short ({spelling})")
    assert redact_key(said, KEY) == Response(500, b"a *** b", defect="was cut short (***)")
    assert redact_key(TransportError(f"BadStatusLine: {spelling}", was_sent=True), KEY) == TransportError(
        "BadStatusLine: ***", True
    )


def test_json_stays_json() -> None:
    body = {"a": KEY, KEY: ["b", {"c": f"{KEY}{KEY}"}], "d": f'"{KEY}"'}
    answer = redact_key(Response(200, json.dumps(body).encode()), KEY)
    assert isinstance(answer, Response)
    assert json.loads(answer.body) == {"a": "***", "***": ["b", {"c": "******"}], "d": '"***"'}


def test_every_key_between_others_is_replaced() -> None:
    answer = redact_key(Response(500, f"{KEY}x{KEY}\n{KEY}".encode()), KEY)
    assert isinstance(answer, Response)
    assert answer.body == b"***x***\n***"


@pytest.mark.parametrize("body", [b"", b"Ab1 cD2", KEY[:-1].encode(), b"\xff\x00Ab1", KEY.swapcase().encode()])
def test_all_else_stays(body: bytes) -> None:
    answer = Response(200, body, "7", "did not end in time")
    assert redact_key(answer, KEY) == answer


@pytest.mark.parametrize("key", ["S", '": "', '{"": ""'])
def test_a_key_that_would_be_found_in_any_text_stays(key: str) -> None:
    answer = Response(200, b'{"status": "SUCCEEDED", "": ""}')
    assert redact_key(answer, key) == answer


@pytest.mark.parametrize("filler", ["\\", "%25", "&amp;#0", "-", "a"])
def test_no_answer_takes_long_to_search(filler: str) -> None:
    body = f"ab{filler * 300_000}cd".encode()
    answer = Response(200, body)
    assert redact_key(answer, "-ab-%&<cd") == answer
