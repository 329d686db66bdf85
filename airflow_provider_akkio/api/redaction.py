"""Takes the API key out of what a server says: a debugging proxy, or an error page, may say it back."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from airflow_provider_akkio.api.messages import Answer, NoAnswer

REDACTED = "***"
_SHORTEST_KEY = 5


def without_key(answer: Answer | NoAnswer, key: str) -> Answer | NoAnswer:
    """Return an answer in whose texts the key is replaced by ``***``, also where URLs, JSON, Python or HTML quote it.

    JSON stays JSON: a key with a letter in it stands inside of strings alone. What is encoded as a whole, as in base64,
    is not found. A key of fewer than five characters stays, as it does in Airflow's masker, and so does one without a
    letter or digit: no service gives such a key, and it would be found in any text.

    :param answer: what came back.
    :param key: the API key.
    """
    letters, pattern = _spellings(key)
    if not letters:
        return answer
    if isinstance(answer, NoAnswer):
        return replace(answer, reason=_redacted(answer.reason, pattern))
    if letters not in answer.body and answer.defect is None:
        return answer
    defect = answer.defect and _redacted(answer.defect, pattern)
    return replace(answer, body=pattern.sub(REDACTED.encode(), answer.body), defect=defect)


def _redacted(text: str, pattern: re.Pattern[bytes]) -> str:
    return pattern.sub(REDACTED.encode(), text.encode(errors="replace")).decode()


@lru_cache(maxsize=16)
def _spellings(key: str) -> tuple[bytes, re.Pattern[bytes]]:
    """Return the longest part of a key that no quoting changes, by which most texts are told, and what finds it all.

    A search that begins with a letter is quick; what stands before the key's first one gives nothing away. There is no
    such part of a key that is not looked for.
    """
    letters = max(re.findall(r"[A-Za-z0-9]*", key), key=len)
    if len(key) < _SHORTEST_KEY or not letters:
        return b"", re.compile(b"")
    from_letter = re.sub(r"^[^A-Za-z0-9]+", "", key)
    pattern = "".join(_spelling(character, len(list(run))) for character, run in groupby(from_letter))
    return letters.encode(), re.compile(pattern.encode())


def _spelling(character: str, times: int) -> str:
    """Return a pattern for a repeated character: by itself, in HTML, in a URL, in JSON or Python, behind backslashes.

    Its repetitions are bounded, and it is plain which character each backslash belongs to: no answer may hold the
    triggerer up.
    """
    if character.isalnum():
        return character * times
    if character == "\\":
        return rf"(?:(?:\\|%(?:25){{0,3}}5[cC]|&#92;){{{times},{8 * times}}}+)"
    code = ord(character)
    forms = [
        re.escape(character),
        re.escape(html.escape(character)),
        rf"(?i:%(?:25){{0,3}}{code:02x}|u{code:04x}|x{code:02x}|&(?:amp;)?#(?:0{{0,4}}{code}|x0{{0,4}}{code:x});)",
    ]
    return rf"(?:\\{{0,8}}+(?:{'|'.join(forms)})){{{times}}}"
