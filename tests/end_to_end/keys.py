"""API keys that no quoting can hide, and the search for them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_CONTEXT = 90


@dataclass(frozen=True, order=True)
class Find:
    """A key where none may be.

    :param owner: whose key it is.
    :param place: where it stands.
    :param excerpt: what stands around it.
    """

    owner: str
    place: str
    excerpt: str


class Keys:
    """A key for each owner, and the search for them.

    The middle of a key is what changes wherever it is printable. Both its ends are the same letters and digits, which no
    quoting changes: they give the key away in any spelling, and if half of it was cut off.

    :param owners: for whom.
    """

    def __init__(self, owners: Iterable[str]) -> None:
        self._mark = secrets.token_hex(6)
        self._ends = {owner: f"{self._mark}{number:02}x" for number, owner in enumerate(owners)}

    def __getitem__(self, owner: str) -> str:
        end = self._ends[owner]
        return f"{end}/+=&%40\"'\\<{end}"

    def finds(self, place: str, text: bytes) -> Iterator[Find]:
        """Yield each line of a text with a key in it, or with a part of one.

        :param place: what to call the text.
        :param text: anything, also the bytes of a binary file.
        """
        if not self._has_mark(text):
            return
        for line in filter(self._has_mark, text.split(b"\n")):
            for owner, end in self._ends.items():
                if (at := max(line.find(spelling) for spelling in _spellings(end))) >= 0:
                    excerpt = line[max(0, at - _CONTEXT) : at + _CONTEXT].decode("ascii", "replace")
                    yield Find(owner, place, "".join(one if one.isprintable() else " " for one in excerpt))

    def _has_mark(self, text: bytes) -> bool:
        return any(spelling in text for spelling in _spellings(self._mark))


@lru_cache
def _spellings(end: str) -> list[bytes]:
    """Return how letters and digits look as they are, in hexadecimal, and in base64 at each of its three offsets."""
    encoded = end.encode()
    shifted = [base64.b64encode(bytes(shift) + encoded).rstrip(b"=") for shift in range(3)]
    return [encoded, encoded.hex().encode(), shifted[0][:-1], shifted[1][2:-1], shifted[2][3:-1]]
