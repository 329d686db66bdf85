"""Foreign texts in messages of ours."""

from __future__ import annotations

MAX_QUOTED = 200
"""Most characters of a foreign text that go into a message of ours."""


def quoted(text: str) -> str:
    """Return a foreign text fit for a log line: without control characters, and at most 200 characters of it."""
    clean = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_QUOTED])
    clean = " ".join(clean.split())
    return clean if len(clean) <= MAX_QUOTED else clean[:MAX_QUOTED] + "…"
