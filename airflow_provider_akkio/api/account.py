"""An account: which Akkio, with which key, under which name in Airflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from airflow_provider_akkio.api.location import Site
from airflow_provider_akkio.exceptions import AkkioConnectionError

DEFAULT_TIMEOUT = 30.0
"""Seconds that one request may take, from its beginning to the last byte of its answer; half of it at most to connect.

The blocking client counts some of it apart: it cannot interrupt the system's look-up of a name; each of several
addresses of a name, the tunnel through a proxy and the TLS handshake have a half of their own; and through a SOCKS
proxy the limit is for each single read.
"""


DEFAULT_REQUESTS_PER_SECOND = 5.0
"""What Akkio allows a whole account, over all endpoints and all machines."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a client needs to speak for an account.

    :param connection: id of the Airflow connection, for messages.
    :param site: where Akkio is.
    :param key: the API key; it is left out of ``repr``.
    :param timeout: seconds per request.
    :param verify: whether to check who answers, or the file or folder of the certificates to check by; default yes, by
        the usual ones.
    :param requests_per_second: how many requests this process may send at most.
    """

    connection: str
    site: Site
    key: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    verify: bool | str = True
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND

    @classmethod
    def from_connection(
        cls,
        connection: str,
        *,
        host: str | None,
        port: int | None,
        schema: str | None,
        password: str | None,
        extra: Any,
    ) -> Self:
        """Read the fields of an Airflow connection of the type ``akkio``.

        :param connection: its id.
        :param host: see :meth:`Site.from_connection`, also for ``port`` and ``schema``.
        :param port: see ``host``.
        :param schema: see ``host``.
        :param password: the API key; spaces around it are trimmed, since Akkio refuses a key that has them.
        :param extra: ``timeout`` in seconds, default 30; ``verify``, true (default), false, or a path of certificates;
            ``requests_per_second``, default 5.
        :raises AkkioConnectionError: if no account can be read from them.
        """
        key = (password or "").strip()
        if not key:
            raise AkkioConnectionError(
                f"Connection {connection!r} has no API key: put the key of Akkio's Team Settings into its password."
            )
        if not (key.isascii() and key.isprintable()):
            raise AkkioConnectionError(f"The API key in connection {connection!r} has characters that no key has.")
        try:
            site = Site.from_connection(host, port, schema)
        except AkkioConnectionError as error:
            raise AkkioConnectionError(f"Connection {connection!r}: {error}") from None
        if not isinstance(extra, Mapping):
            raise AkkioConnectionError(f"Connection {connection!r}: its extra must be a JSON object.")
        return cls(
            connection,
            site,
            key,
            _positive(connection, extra, "timeout", "a number of seconds", DEFAULT_TIMEOUT),
            _verify(connection, extra.get("verify")),
            _positive(connection, extra, "requests_per_second", "a number", DEFAULT_REQUESTS_PER_SECOND),
        )


def _is_blank(value: Any) -> bool:
    """Return whether a field of Airflow's form was left out: null there, and a text in an Airflow before 3."""
    return value is None or (isinstance(value, str) and not value.strip())


def _positive(connection: str, extra: Mapping[str, Any], name: str, what: str, default: float) -> float:
    value: Any = extra.get(name)
    if _is_blank(value):
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise AkkioConnectionError(f"Connection {connection!r}: extra {name} must be {what} above 0, not {value!r}.")
    return number


def _verify(connection: str, value: Any) -> bool | str:
    if _is_blank(value):
        return True
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise AkkioConnectionError(
            f"Connection {connection!r}: extra verify must be true, false, or the path of certificates, not {value!r}."
        )
    if value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    try:
        Path(value).stat()
    except (OSError, ValueError) as error:
        raise AkkioConnectionError(
            f"Connection {connection!r}: extra verify names {value!r}, where no certificates can be found ({error})."
        ) from None
    return value
