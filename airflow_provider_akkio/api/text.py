"""Make text from outside this package safe for messages and logs: printable, truncated, without the API key."""

from __future__ import annotations

import html
import re
from functools import lru_cache

MAX_PRINTABLE = 200
"""Maximum number of characters of external text in one message."""

REDACTED = "***"

_MIN_KEY_LENGTH = 5  # as in Airflow's own secrets masker


def printable(text: str) -> str:
    """Return external text on one line, without control characters, and truncated to 200 characters."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_PRINTABLE])
    clean = " ".join(clean.split())
    return clean if len(clean) <= MAX_PRINTABLE else clean[:MAX_PRINTABLE] + "…"


def redact(text: str, key: str) -> str:
    """Return text in which the API key is replaced; see :func:`redact_bytes`."""
    return redact_bytes(text.encode(errors="replace"), key).decode()


def redact_bytes(data: bytes, key: str) -> bytes:
    """Return data in which the API key is replaced by ``***``.

    Finds the key as it is, percent-encoded, and escaped in JSON, Python or HTML, also nested. JSON remains valid.
    Does not find the key inside an encoding of a longer text, such as base64. A key with fewer than five characters,
    or without a letter or digit, is not redacted: Akkio issues no such key, and ordinary text would match it.

    :param data: any data, for example a response body.
    """
    pattern = _key_pattern(key)
    return data if pattern is None else pattern.sub(REDACTED.encode(), data)


@lru_cache(maxsize=16)
def _key_pattern(key: str) -> re.Pattern[bytes] | None:
    first = re.search(r"[A-Za-z0-9]", key)
    if first is None or len(key) < _MIN_KEY_LENGTH:
        return None
    # A pattern that starts with a letter or digit is fast to search. The characters before it reveal nothing.
    parts = re.findall(r"\\+|[^\\]", key[first.start() :])
    return re.compile("".join(_encodings(part) for part in parts).encode())


def _encodings(part: str) -> str:
    """Return a pattern for all encodings of one character, or of consecutive backslashes.

    Every repetition is bounded, and backslashes are matched possessively: no response can cause backtracking.
    """
    if part.isalnum():
        return part
    if part.startswith("\\"):
        return rf"(?:\\|%(?:25){{0,3}}5[cC]|&#92;){{{len(part)},{8 * len(part)}}}+"
    code = ord(part)
    literal, entity = re.escape(part), re.escape(html.escape(part))
    escaped = rf"%(?:25){{0,3}}{code:02x}|u{code:04x}|x{code:02x}|&(?:amp;)?#(?:0{{0,4}}{code}|x0{{0,4}}{code:x});"
    return rf"\\{{0,8}}+(?:(?i:{escaped})|{entity}|{literal})"
