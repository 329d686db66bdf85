"""Who may ask: one key is right, another may be known and have no right."""

import hmac
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Header, HTTPException, status


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of the sandbox; as a FastAPI dependency it lets a request with the right key pass.

    :param key: what ``X-API-Key``, or ``api_key`` of a legacy call, must hold, to the character. (A space in front of
        a header's never arrives: HTTP parsers drop it; one behind it arrives, since uvicorn parses with ``httptools``.)
    :param forbidden_key: a key that is answered with 403; default none.
    """

    key: str = field(repr=False)
    forbidden_key: str | None = field(default=None, repr=False)

    def __call__(self, x_api_key: Annotated[str, Header()] = "") -> None:
        """Do what :meth:`check` does, for the key of a request's header."""
        # Starlette reads a header's bytes as Latin-1, whatever they are.
        self.check(x_api_key.encode("latin-1").decode("utf-8", "replace"))

    def check(self, given: str) -> None:
        """Raise :class:`HTTPException`, 401 for an unknown key and 403 for the forbidden one.

        :param given: the key of a request.
        """
        if self.forbidden_key is not None and _is_same(given, self.forbidden_key):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "This key's organization may not use this resource.")
        if not _is_same(given, self.key):
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "The API key is missing or wrong.")


def _is_same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), key.encode())
