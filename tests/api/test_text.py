from __future__ import annotations

import html
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.text import printable, redact, redact_bytes

KEY = "Ab1/+=&%40\"'\\<cD2"
ENCODINGS = {
    "plain": lambda key: key,
    "url": lambda key: quote(key, safe=""),
    "path": quote,
    "url in url": lambda key: quote(quote(key, safe=""), safe=""),
    "json": lambda key: json.dumps(key)[1:-1],
    "json with escaped slashes": lambda key: json.dumps(key)[1:-1].replace("/", r"\/"),
    "json for html": lambda key: json.dumps(key)[1:-1].replace("<", r"\u003C").replace("&", r"\u0026"),
    "json in json": lambda key: json.dumps(json.dumps(key))[3:-3],
    "python": lambda key: repr(key)[1:-1],
    "html": html.escape,
    "json in html": lambda key: html.escape(json.dumps(key)[1:-1]),
}
printable_ascii = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=5, max_size=40)


def test_printable_removes_control_characters_and_truncates() -> None:
    shown = printable("fine\r\n[ERROR] forged \x1b[31m\u202e" + "x" * 1000)
    assert len(shown) == 201
    assert shown.startswith("fine [ERROR] forged [31m x")


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_redact_finds_every_encoding_of_the_key(encoding: object) -> None:
    encoded = encoding(KEY)  # type: ignore[operator]
    assert redact(f"a {encoded} b", KEY) == "a *** b"
    assert redact_bytes(f"a {encoded} b".encode(), KEY) == b"a *** b"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(key=printable_ascii.filter(lambda key: key[0].isalnum()), name=st.sampled_from(sorted(ENCODINGS)))
def test_redact_finds_any_key_in_any_encoding(key: str, name: str) -> None:
    assert redact(f" {ENCODINGS[name](key)} ", key) == " *** "


def test_redact_keeps_json_valid() -> None:
    body = {"a": KEY, KEY: ["b", {"c": f"{KEY}{KEY}"}], "d": f'"{KEY}"'}
    redacted = json.loads(redact_bytes(json.dumps(body).encode(), KEY))
    assert redacted == {"a": "***", "***": ["b", {"c": "******"}], "d": '"***"'}


def test_redact_replaces_every_occurrence() -> None:
    assert redact(f"{KEY}x{KEY}\n{KEY}", KEY) == "***x***\n***"


@pytest.mark.parametrize("data", [b"", b"Ab1 cD2", KEY[:-1].encode(), b"\xff\x00Ab1", KEY.swapcase().encode()])
def test_redact_leaves_other_text_unchanged(data: bytes) -> None:
    assert redact_bytes(data, KEY) == data


@pytest.mark.parametrize("key", ["S", '": "', '{"": ""'])
def test_redact_ignores_a_key_that_ordinary_text_contains(key: str) -> None:
    assert redact('{"status": "SUCCEEDED", "": ""}', key) == '{"status": "SUCCEEDED", "": ""}'


@pytest.mark.parametrize("filler", ["\\", "%25", "&amp;#0", "-", "a"])
@pytest.mark.parametrize("key", ["-ab-%&<cd", r"ab\\\\cd", r"a-\-\-\cd"])
def test_redact_does_not_backtrack(key: str, filler: str) -> None:
    data = f"ab{filler * 300_000}cd".encode()
    started_at = time.process_time()
    assert redact_bytes(data, key) == data
    assert time.process_time() - started_at < 5.0
