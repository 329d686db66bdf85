"""Configuration of a client: which Akkio, with which API key, under which Airflow connection ID."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioConfigurationError, AkkioUntrustedUrlError

AKKIO_HOST = "api.akkio.com"
DEFAULT_TIMEOUT = 30.0
"""Seconds for one request, from its start to the last byte of the response; at most half of them to connect.

Some requests may take longer: see :attr:`~airflow_provider_akkio.api.http.Request.min_timeout`.
"""

MAX_TIMEOUT = 3600.0
"""Maximum of ``timeout`` in seconds. A longer one would delay the end of a wait; a huge one overflows in sockets."""

DEFAULT_REQUESTS_PER_SECOND = 5.0
"""Akkio's limit for a whole account, over all endpoints and all machines."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_URL_LENGTH = 2000
"""Maximum length of a location. Unquoting a long URL that is quoted many times over would take minutes."""


class ApiVersion(StrEnum):
    """Akkio calls the training API v2, although its path is ``/api/v1``. The API for datasets and models is v1."""

    V2 = "/api/v1"
    V1 = "/v1"
    DEPLOYMENT = "/api"
    """The single endpoint for the predictions of deployed models. It is older than v2."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """The URL of an Akkio service.

    :param origin: scheme, host and port, such as ``https://api.akkio.com``. The API key is sent only to this origin.
    :param prefix: path in front of the API root, such as ``/akkio`` behind a reverse proxy; default empty.
    """

    origin: str
    prefix: str = ""

    @classmethod
    def from_connection(cls, host: str | None, port: int | None, schema: str | None) -> Self:
        """Parse the fields of an Airflow connection.

        :param host: a host name, or a URL with scheme, port and path; default ``api.akkio.com``. A trailing ``/api/v1``
            or ``/v1`` is removed.
        :param port: the port, unless ``host`` contains it; Airflow's UI sends 0 for an empty field.
        :param schema: ``http`` or ``https`` (default), unless ``host`` contains it.
        :raises AkkioConfigurationError: if the fields contradict each other or are not a valid URL.
        """
        text = (host or "").strip() or AKKIO_HOST
        schema = (schema or "").strip().lower().removesuffix("://")
        scheme, separator, address = text.partition("://")
        if not separator:
            scheme, address = schema or "https", text
        scheme = scheme.lower()
        if scheme not in _DEFAULT_PORTS or schema not in ("", scheme):
            raise AkkioConfigurationError(
                f"Host {_without_user(text)!r} and schema {printable(schema)!r} are not an http(s) URL. Set the schema "
                "to https (or http), or write it in the host."
            )
        parts = _split_address(scheme, address)
        if parts.port is not None and port and parts.port != port:
            raise AkkioConfigurationError(f"The host contains port {parts.port}, but the port field is {port}.")
        path = parts.path.rstrip("/")
        api_root = ApiVersion.V2 if path.endswith(ApiVersion.V2) else ApiVersion.V1
        return cls(_origin(parts, parts.port or port), path.removesuffix(api_root))

    @property
    def api_root(self) -> str:
        """The URL of the v2 API; every v2 request is below it."""
        return f"{self.origin}{self.prefix}{ApiVersion.V2}"

    def url(self, *segments: str, api_version: ApiVersion = ApiVersion.V2) -> str:
        """Return the URL of an endpoint. Segments are percent-encoded, so that an ID cannot change the path.

        :raises AkkioUntrustedUrlError: if a segment is ``.`` or ``..``.
        """
        if any(segment in (".", "..") for segment in segments):
            raise AkkioUntrustedUrlError(f"'.' and '..' are not valid IDs: {'/'.join(segments)!r}.")
        quoted = [quote(segment, safe="") for segment in segments]
        return "/".join([f"{self.origin}{self.prefix}{api_version}", *quoted])

    def resolve(self, location: str) -> str:
        """Return the absolute URL of a ``location`` in a response.

        Akkio documents locations relative to the API root and shows one relative to the origin. Both are accepted, and
        absolute URLs.

        :raises AkkioUntrustedUrlError: if it is outside the API root.
        """
        relative = location.removeprefix("/")
        if "://" in location.partition("?")[0]:
            url = _normalize_origin(location)
        elif location.startswith(f"{self.prefix}{ApiVersion.V2}/"):
            url = f"{self.origin}{location}"
        elif f"/{relative}".startswith(f"{ApiVersion.V2}/"):
            url = f"{self.origin}{self.prefix}/{relative}"
        else:
            url = f"{self.api_root}/{relative}"
        if not self._is_below_api_root(url):
            raise AkkioUntrustedUrlError(
                f"Akkio's location {printable(location)!r} is not below {self.api_root}. It was not followed, because "
                "the API key is sent only there. Check the host of the Airflow connection."
            )
        return url

    def _is_below_api_root(self, url: str) -> bool:
        if len(url) > _MAX_URL_LENGTH or not _is_plain(url) or "#" in url or not url.startswith(f"{self.api_root}/"):
            return False
        path = url.removeprefix(self.origin).partition("?")[0]
        while (unquoted := unquote(path)) != path:
            path = unquoted
        # Some servers treat the text after a semicolon as a parameter, and therefore "..;" as "..".
        segments = [segment.partition(";")[0] for segment in path.replace("\\", "/").split("/")[1:]]
        return path.isprintable() and not {"", ".", ".."} & set(segments)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Everything that a client needs.

    :param connection_id: ID of the Airflow connection, for messages.
    :param base_url: URL of the Akkio service.
    :param api_key: the API key. It is not in the ``repr``.
    :param timeout: seconds for one request without rows, at most :data:`MAX_TIMEOUT`; default 30. A request with rows
        may take 120 seconds, or ``timeout`` if it is longer.
    :param verify: whether to verify the server's certificate (default), or the path of a CA file or directory.
    :param requests_per_second: maximum requests per second of this process; default 5.
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
        connection_id: str,
        *,
        host: str | None,
        port: int | None,
        schema: str | None,
        password: str | None,
        extra: Any,
    ) -> Self:
        """Parse the fields of an Airflow connection of the type ``akkio``.

        ``host``, ``port`` and ``schema`` are those of :meth:`BaseUrl.from_connection`.

        :param password: the API key. Surrounding spaces are removed, since Akkio rejects them.
        :param extra: ``timeout``, ``verify`` and ``requests_per_second``, all optional.
        :raises AkkioConfigurationError: if a field is missing or invalid.
        """
        try:
            return cls(
                connection_id,
                BaseUrl.from_connection(host, port, schema),
                _parse_api_key(password),
                _parse_positive(extra, "timeout", DEFAULT_TIMEOUT, MAX_TIMEOUT),
                _parse_verify(extra),
                _parse_positive(extra, "requests_per_second", DEFAULT_REQUESTS_PER_SECOND),
            )
        except AkkioConfigurationError as error:
            raise AkkioConfigurationError(f"Connection {connection_id!r}: {error}") from None


def _parse_api_key(password: str | None) -> str:
    key = (password or "").strip()
    if not key:
        raise AkkioConfigurationError(
            "The API key is missing. Copy it from Akkio's Team Settings into the connection's password."
        )
    if not (key.isascii() and key.isprintable()):
        raise AkkioConfigurationError("The API key in the password contains a character that is not printable ASCII.")
    return key


def _parse_positive(extra: Any, name: str, default: float, maximum: float = math.inf) -> float:
    value = _extra_value(extra, name)
    if value is None:
        return default
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number <= maximum or math.isinf(number):
        limit = "" if math.isinf(maximum) else f" and at most {maximum:g}"
        raise AkkioConfigurationError(f"Extra {name!r} must be a number above 0{limit}, not {printable(repr(value))}.")
    return number


def _parse_verify(extra: Any) -> bool | str:
    value = _extra_value(extra, "verify")
    if value is None:
        return True
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise AkkioConfigurationError(
            f"Extra 'verify' must be true, false, or the path of a CA file or directory, not {printable(repr(value))}."
        )
    if value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


def _extra_value(extra: Any, name: str) -> Any:
    """Return a value; ``None`` for an empty field of the connection form, which Airflow 2 stores as an empty text."""
    if not isinstance(extra, Mapping):
        raise AkkioConfigurationError("The extra must be a JSON object.")
    value = extra.get(name)
    return None if isinstance(value, str) and not value.strip() else value


def _split_address(scheme: str, address: str) -> SplitResult:
    authority, slash, path = address.partition("/")
    if authority.count(":") > 1 and not authority.startswith("["):
        authority = f"[{authority}]"  # an IPv6 address
    url = f"{scheme}://{authority}{slash}{path}"
    try:
        parts = urlsplit(url)
        is_valid = parts.port != 0
    except ValueError:
        is_valid = False
    if (
        not is_valid
        or not _is_plain(url)
        or not all(0 < len(label) < 64 for label in (parts.hostname or "").removesuffix(".").split("."))
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise AkkioConfigurationError(
            f"Host {_without_user(address)!r} is invalid. Write {AKKIO_HOST} or https://host:port/prefix, in ASCII, "
            "without a user, a query or a fragment."
        )
    return parts


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url


def _origin(parts: SplitResult, port: int | None) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    suffix = "" if port in (None, 0, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def _normalize_origin(url: str) -> str:
    """Return an absolute URL with its origin written as in :class:`BaseUrl`; unchanged if the origin is invalid."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc or parts.scheme not in _DEFAULT_PORTS:
            return url
        return f"{_origin(parts, parts.port)}{url.partition('://')[2].removeprefix(parts.netloc)}"
    except ValueError:
        return url


def _without_user(host: str) -> str:
    """Return a host for a message, without the part before ``@``: it may contain an API key."""
    return printable(host.rpartition("@")[2])
