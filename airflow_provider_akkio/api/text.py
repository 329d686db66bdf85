"""Text from outside this package, made fit for messages and log lines."""

from __future__ import annotations

MAX_PRINTABLE = 200
"""Most characters of a foreign text that go into a message of ours."""


def printable(text: str) -> str:
    """Return a foreign text fit for a log line: without control characters, and at most 200 characters of it."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_PRINTABLE])
    clean = " ".join(clean.split())
    return clean if len(clean) <= MAX_PRINTABLE else clean[:MAX_PRINTABLE] + "…"
