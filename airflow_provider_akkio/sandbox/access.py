"""Who may ask: one key is right, another may be known and have no right."""

import hmac
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Header, HTTPException, status


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of the sandbox; as a FastAPI dependency it lets a request with the right key pass.

    :param key: what ``X-API-Key`` must hold, to the character. (A space in front of it never arrives: HTTP parsers drop
        it; one behind it arrives, since uvicorn parses with ``httptools``.)
    :param forbidden_key: a key that is answered with 403; default none.
    """

    key: str = field(repr=False)
    forbidden_key: str | None = field(default=None, repr=False)

    def __call__(self, x_api_key: Annotated[str, Header()] = "") -> None:
        """Raise :class:`HTTPException`, 401 for an unknown key and 403 for the forbidden one."""
        if self.forbidden_key is not None and _is_same(x_api_key, self.forbidden_key):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "This key's organization may not use this resource.")
        if not _is_same(x_api_key, self.key):
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "The API key is missing or wrong.")


def _is_same(header: str, key: str) -> bool:
    # Starlette reads a header's bytes as Latin-1, whatever they are.
    return hmac.compare_digest(header.encode("latin-1"), key.encode())
