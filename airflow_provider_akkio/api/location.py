"""Where an account's Akkio is, where a result lies, and which addresses are refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_akkio.api.quoting import quoted
from airflow_provider_akkio.exceptions import AkkioConnectionError, AkkioUntrustedAddress

DEFAULT_HOST = "api.akkio.com"
API_PATH = "/api/v1"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2000
"""Most characters of an address that is followed: to unquote one that is quoted a million times would take minutes."""


class Generation(StrEnum):
    """Akkio's two generations of calls; the value is the path below which they lie."""

    CURRENT = API_PATH
    LEGACY = "/v1"


@dataclass(frozen=True, slots=True)
class Site:
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
        :raises AkkioConnectionError: if the fields contradict each other or make no web address.
        """
        text = (host or "").strip() or DEFAULT_HOST
        wanted = (schema or "").strip().lower().removesuffix("://")
        written, separator, rest = text.partition("://")
        if not separator:
            written, rest = wanted or "https", text
        scheme = written.lower()
        if scheme not in _DEFAULT_PORTS or (wanted and wanted != scheme):
            raise AkkioConnectionError(
                f"The connection's host {_shown(text)!r} and schema {quoted(schema or '')!r} make no web address: "
                "write https (or, if you mean it, http) in one of them, or the same in both."
            )
        authority, slash, path = rest.partition("/")
        if authority.count(":") > 1 and not authority.startswith("["):
            rest = f"[{authority}]{slash}{path}"
        parts = _split(f"{scheme}://{rest}", text)
        port = port or None
        if parts.port is not None and port is not None and parts.port != port:
            raise AkkioConnectionError(f"The connection's host names port {parts.port}, its port field {port}.")
        path = parts.path.rstrip("/")
        root = API_PATH if path.endswith(API_PATH) else Generation.LEGACY
        return cls(_origin(parts, parts.port or port), path.removesuffix(root))

    @property
    def api_root(self) -> str:
        """The URL below which all requests of the current API go."""
        return f"{self.origin}{self.prefix}{API_PATH}"

    def url(self, *segments: str, generation: Generation = Generation.CURRENT) -> str:
        """Return the URL of an endpoint; each segment is quoted, so that an id cannot become a path.

        :param segments: the parts of the path below the API root.
        :param generation: of which calls it is one; default the current ones.
        :raises AkkioUntrustedAddress: if one of them would lead upwards, quoted or not.
        """
        if any(segment in (".", "..") for segment in segments):
            raise AkkioUntrustedAddress(f"{'/'.join(segments)!r} holds an id that leads to another address.")
        quoted_segments = [one if one.isascii() and one.isalnum() else quote(one, safe="") for one in segments]
        return "/".join([f"{self.origin}{self.prefix}{generation}", *quoted_segments])

    def resolve(self, location: str) -> str:
        """Return the URL that a ``location`` of Akkio's means.

        Akkio's Training page calls it relative to the API root, and shows one that is relative to the site; both end
        at the same URL, as does a whole URL.

        :param location: as Akkio sent it.
        :raises AkkioUntrustedAddress: if it leads to another origin or out of the API root.
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
            raise AkkioUntrustedAddress(
                f"Akkio's location {quoted(location)!r} does not lie below {self.api_root}; it was not followed, since "
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
        raise AkkioConnectionError(
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
    """Return a whole URL with its origin as :class:`Site` writes one; as it is, if it has none."""
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
    return quoted(host.rpartition("@")[2])
