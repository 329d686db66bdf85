"""Takes the API key out of what a server says: a debugging proxy, or an error page, may say it back."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from functools import lru_cache

from airflow_provider_akkio.api.messages import Answer, NoAnswer

REDACTED = "***"
_SHORTEST_KEY = 5


def without_key(answer: Answer | NoAnswer, key: str) -> Answer | NoAnswer:
    """Return an answer in whose texts the key is replaced by ``***``, also where it is quoted.

    JSON stays JSON: the key is found as it stands inside of a string. A key of fewer than five characters stays, as it
    does in Airflow's masker: no service gives such a key, and it would be found in any text.

    :param answer: what came back.
    :param key: the API key.
    """
    if len(key) < _SHORTEST_KEY:
        return answer
    if isinstance(answer, NoAnswer):
        return replace(answer, reason=_redacted(answer.reason.encode(errors="replace"), key).decode())
    defect = answer.defect and _redacted(answer.defect.encode(errors="replace"), key).decode()
    return replace(answer, body=_redacted(answer.body, key), defect=defect)


def _redacted(text: bytes, key: str) -> bytes:
    letters, pattern = _spellings(key)
    return pattern.sub(REDACTED.encode(), text) if letters in text else text


@lru_cache(maxsize=16)
def _spellings(key: str) -> tuple[bytes, re.Pattern[bytes]]:
    """Return the longest part of a key that no quoting changes, by which most texts are told, and what finds it all."""
    letters = max(re.findall(r"[A-Za-z0-9]*", key), key=len)
    return letters.encode(), re.compile("".join(map(_spelling, key)).encode())


def _spelling(character: str) -> str:
    """Return a pattern for a character: by itself, in HTML, in a URL, in JSON or Python, each behind backslashes too."""
    if character.isalnum():
        return character
    code = ord(character)
    forms = [
        re.escape(character),
        re.escape(html.escape(character)),
        rf"(?i:%(?:25)*{code:02x}|u{code:04x}|x{code:02x}|&(?:amp;)?#(?:0*{code}|x0*{code:x});)",
    ]
    return rf"\\*(?:{'|'.join(forms)})"
