"""An account: which Akkio, with which key, under which name in Airflow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioConfigurationError, AkkioUntrustedUrlError

DEFAULT_TIMEOUT = 30.0
"""Seconds that one request may take, from its beginning to the last byte of its answer; half of it at most to connect.

The blocking client counts some of it apart: it cannot interrupt the system's look-up of a name; each of several
addresses of a name, the tunnel through a proxy and the TLS handshake have a half of their own; and through a SOCKS
proxy the limit is for each single read.
"""


DEFAULT_REQUESTS_PER_SECOND = 5.0
"""What Akkio allows a whole account, over all endpoints and all machines."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client needs to speak for an account.

    :param connection_id: ID of the Airflow connection, for messages.
    :param base_url: where Akkio is.
    :param api_key: the API key; it is left out of ``repr``.
    :param timeout: seconds per request.
    :param verify: whether to check who answers, or the file or folder of the certificates to check by; default yes, by
        the usual ones.
    :param requests_per_second: how many requests this process may send at most.
    """

    connection_id: str
    base_url: BaseUrl
    api_key: str = field(repr=False)
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
        :param host: see :meth:`BaseUrl.from_connection`, also for ``port`` and ``schema``.
        :param port: see ``host``.
        :param schema: see ``host``.
        :param password: the API key; spaces around it are trimmed, since Akkio refuses a key that has them.
        :param extra: ``timeout`` in seconds, default 30; ``verify``, true (default), false, or a path of certificates;
            ``requests_per_second``, default 5.
        :raises AkkioConfigurationError: if no account can be read from them.
        """
        key = (password or "").strip()
        if not key:
            raise AkkioConfigurationError(
                f"Connection {connection!r} has no API key: put the key of Akkio's Team Settings into its password."
            )
        if not (key.isascii() and key.isprintable()):
            raise AkkioConfigurationError(f"The API key in connection {connection!r} has characters that no key has.")
        try:
            site = BaseUrl.from_connection(host, port, schema)
        except AkkioConfigurationError as error:
            raise AkkioConfigurationError(f"Connection {connection!r}: {error}") from None
        if not isinstance(extra, Mapping):
            raise AkkioConfigurationError(f"Connection {connection!r}: its extra must be a JSON object.")
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
        raise AkkioConfigurationError(f"Connection {connection!r}: extra {name} must be {what} above 0, not {value!r}.")
    return number


def _verify(connection: str, value: Any) -> bool | str:
    if _is_blank(value):
        return True
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise AkkioConfigurationError(
            f"Connection {connection!r}: extra verify must be true, false, or the path of certificates, not {value!r}."
        )
    if value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    try:
        Path(value).stat()
    except (OSError, ValueError) as error:
        raise AkkioConfigurationError(
            f"Connection {connection!r}: extra verify names {value!r}, where no certificates can be found ({error})."
        ) from None
    return value


DEFAULT_HOST = "api.akkio.com"
API_PATH = "/api/v1"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2000
"""Most characters of an address that is followed: to unquote one that is printable a million times would take minutes."""


class ApiVersion(StrEnum):
    """Akkio's two generations of calls; the value is the path below which they lie."""

    V2 = API_PATH
    V1 = "/v1"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """The web site that serves Akkio's API.

    :param origin: scheme, host and port, such as ``https://api.akkio.com``; the key goes nowhere else.
    :param prefix: path below which the site lies, such as ``/akkio`` behind a reverse proxy; empty for none.
    """

    origin: str
    prefix: str = ""

    @classmethod
    def from_connection(cls, host: str | None, port: int | None, schema: str | None) -> Self:
        """Read the fields of an Airflow connection.

        :param host: a host name, or a URL with scheme, port and path; ``None`` or empty means Akkio's own site. A path
            that ends in ``/api/v1`` or ``/v1`` means the site above it.
        :param port: the port, unless ``host`` has it; 0 means none, as Airflow's page says it.
        :param schema: ``http`` or ``https``, unless ``host`` has it; ``https`` if neither does.
        :raises AkkioConfigurationError: if the fields contradict each other or make no web address.
        """
        text = (host or "").strip() or DEFAULT_HOST
        wanted = (schema or "").strip().lower().removesuffix("://")
        written, separator, rest = text.partition("://")
        if not separator:
            written, rest = wanted or "https", text
        scheme = written.lower()
        if scheme not in _DEFAULT_PORTS or (wanted and wanted != scheme):
            raise AkkioConfigurationError(
                f"The connection's host {_shown(text)!r} and schema {printable(schema or '')!r} make no web address: "
                "write https (or, if you mean it, http) in one of them, or the same in both."
            )
        authority, slash, path = rest.partition("/")
        if authority.count(":") > 1 and not authority.startswith("["):
            rest = f"[{authority}]{slash}{path}"
        parts = _split(f"{scheme}://{rest}", text)
        port = port or None
        if parts.port is not None and port is not None and parts.port != port:
            raise AkkioConfigurationError(f"The connection's host names port {parts.port}, its port field {port}.")
        path = parts.path.rstrip("/")
        root = API_PATH if path.endswith(API_PATH) else ApiVersion.V1
        return cls(_origin(parts, parts.port or port), path.removesuffix(root))

    @property
    def api_root(self) -> str:
        """The URL below which all requests of the current API go."""
        return f"{self.origin}{self.prefix}{API_PATH}"

    def url(self, *segments: str, api_version: ApiVersion = ApiVersion.V2) -> str:
        """Return the URL of an endpoint; each segment is printable, so that an id cannot become a path.

        :param segments: the parts of the path below the API root.
        :param api_version: of which calls it is one; default the current ones.
        :raises AkkioUntrustedUrlError: if one of them would lead upwards, printable or not.
        """
        if any(segment in (".", "..") for segment in segments):
            raise AkkioUntrustedUrlError(f"{'/'.join(segments)!r} holds an id that leads to another address.")
        quoted_segments = [one if one.isascii() and one.isalnum() else quote(one, safe="") for one in segments]
        return "/".join([f"{self.origin}{self.prefix}{api_version}", *quoted_segments])

    def resolve(self, location: str) -> str:
        """Return the URL that a ``location`` of Akkio's means.

        Akkio's Training page calls it relative to the API root, and shows one that is relative to the site; both end
        at the same URL, as does a whole URL.

        :param location: as Akkio sent it.
        :raises AkkioUntrustedUrlError: if it leads to another origin or out of the API root.
        """
        relative = location.removeprefix("/")
        if "://" in location.partition("?")[0]:
            url = _with_plain_origin(location)
        elif location.startswith(f"{self.prefix}{API_PATH}/"):
            url = f"{self.origin}{location}"
        elif relative.startswith(f"{API_PATH[1:]}/"):
            url = f"{self.origin}{self.prefix}/{relative}"
        else:
            url = f"{self.api_root}/{relative}"
        if not self._is_below_api_root(url):
            raise AkkioUntrustedUrlError(
                f"Akkio's location {printable(location)!r} does not lie below {self.api_root}; it was not followed, since "
                "the API key goes there alone."
            )
        return url

    def _is_below_api_root(self, url: str) -> bool:
        if (
            len(url) > _LONGEST_URL
            or not url.isascii()
            or not url.isprintable()
            or any(character in url for character in " \\#")
        ):
            return False
        if not url.startswith(f"{self.api_root}/"):
            return False
        path = url.removeprefix(self.origin).partition("?")[0]
        plain = _fully_unquoted(path)
        segments = plain.replace("\\", "/").removeprefix("/").split("/")
        # Some servers take what follows a semicolon for a parameter, and "..;" so for "..".
        return plain.isprintable() and all(one.partition(";")[0] not in ("", ".", "..") for one in segments)


def _split(url: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_readable = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_readable = SplitResult("", "", "", "", ""), False
    if (
        not port_is_readable
        or not _is_host(parts.hostname or "")
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or not url.isprintable()
        or any(character in url for character in " \\")
    ):
        raise AkkioConfigurationError(
            f"The connection's host {_shown(text)!r} is no web address; write {DEFAULT_HOST} or "
            "https://host:port/prefix, in ASCII, without a user, a query or a fragment."
        )
    return parts


def _is_host(name: str) -> bool:
    return name.isascii() and all(0 < len(label) < 64 for label in name.removesuffix(".").split("."))


def _origin(parts: SplitResult, port: int | None) -> str:
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{name}{suffix}"


def _with_plain_origin(url: str) -> str:
    """Return a whole URL with its origin as :class:`BaseUrl` writes one; as it is, if it has none."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc or parts.scheme not in _DEFAULT_PORTS:
            return url
        return f"{_origin(parts, parts.port)}{url.partition('://')[2].removeprefix(parts.netloc)}"
    except ValueError:
        return url


def _fully_unquoted(path: str) -> str:
    while (once := unquote(path)) != path:
        path = once
    return path


def _shown(host: str) -> str:
    """Return a host fit for a message: whoever pastes a whole URI into the host may have pasted a key with it."""
    return printable(host.rpartition("@")[2])
