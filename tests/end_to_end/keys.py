"""API keys that can be found in every encoding, and the search for them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_CONTEXT = 90
"""Characters before and after the start of a key in an excerpt."""


@dataclass(frozen=True, order=True)
class Find:
    """A key in a text.

    :param owner: owner of the key.
    :param place: name of the text.
    :param excerpt: the key with its context.
    """

    owner: str
    place: str
    excerpt: str


class Keys:
    """One key per owner.

    The middle of a key consists of characters that most encodings change. Its start and its end are the same letters
    and digits, which only hexadecimal and base64 change. So half of a key is sufficient to find it.

    :param owners: names of the owners.
    """

    def __init__(self, owners: Iterable[str]) -> None:
        self._prefix = secrets.token_hex(6)
        # The search for base64 drops the last character, which is encoded together with the next one.
        self._ends = {owner: f"{self._prefix}{number:02}x" for number, owner in enumerate(owners)}

    def __getitem__(self, owner: str) -> str:
        end = self._ends[owner]
        return f"{end}/+=&%40\"'\\<{end}"

    def finds(self, place: str, text: bytes) -> Iterator[Find]:
        """Yield one find per line and key.

        :param place: name of the text.
        :param text: the text, or the content of a binary file.
        """
        if not self._has_prefix(text):
            return
        for line in filter(self._has_prefix, text.split(b"\n")):
            for owner, end in self._ends.items():
                if (at := max(line.find(encoded) for encoded in _encodings(end))) >= 0:
                    excerpt = line[max(0, at - _CONTEXT) : at + _CONTEXT].decode("ascii", "replace")
                    yield Find(owner, place, "".join(char if char.isprintable() else " " for char in excerpt))

    def _has_prefix(self, text: bytes) -> bool:
        return any(encoded in text for encoded in _encodings(self._prefix))


@lru_cache
def _encodings(text: str) -> list[bytes]:
    """Return letters and digits as plain text, in hexadecimal, and in base64 at each of its three offsets."""
    plain = text.encode()
    shifted = [base64.b64encode(bytes(offset) + plain).rstrip(b"=") for offset in range(3)]
    return [plain, plain.hex().encode(), shifted[0][:-1], shifted[1][2:-1], shifted[2][3:-1]]
