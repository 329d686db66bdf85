"""Certificates and proxy of a connection; both clients use them, so that polls work wherever a submission does."""

from __future__ import annotations

import logging
import os
import ssl
from functools import lru_cache
from pathlib import Path

import certifi
from requests.utils import get_environ_proxies, select_proxy
from yarl import URL

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.exceptions import AkkioConfigurationError

log = logging.getLogger(__name__)


def certificates_path(config: ClientConfig) -> str:
    """Return the file or folder of the certificates that a connection trusts.

    The connection's ``verify`` takes precedence over ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` and certifi.
    """
    if isinstance(config.verify, str):
        return config.verify
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


def ssl_context_for(config: ClientConfig) -> ssl.SSLContext:
    """Return the TLS settings of a connection: the same object until the certificates are replaced.

    :raises AkkioConfigurationError: if the certificates cannot be read.
    """
    if config.verify is False:
        return _unverified_context()
    path = certificates_path(config)
    try:
        status = Path(path).stat()
        return _verifying_context(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError) as error:  # a path with a NUL character is a ValueError
        raise AkkioConfigurationError(
            f"Connection {config.connection_id!r}: the certificates in {path!r} cannot be read ({error}). Correct the "
            "connection's extra verify, or else REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE."
        ) from None


@lru_cache(maxsize=8)
def _verifying_context(path: str, modified_ns: int, size: int) -> ssl.SSLContext:  # noqa: ARG001 - part of the cache key
    return ssl.create_default_context(capath=path) if Path(path).is_dir() else ssl.create_default_context(cafile=path)


@lru_cache(maxsize=1)
def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def warn_if_unverified(config: ClientConfig) -> None:
    """Log a warning if a connection does not verify certificates; each client logs it once, when it is opened."""
    if config.verify is False:
        log.warning(
            "Connection %r does not verify certificates (extra verify is false): any server that responds at %s "
            "receives the API key.",
            config.connection_id,
            config.base_url.origin,
        )


def proxy_for(config: ClientConfig) -> URL | None:
    """Return the proxy that the environment sets for a connection, or ``None``.

    :raises AkkioConfigurationError: if it is not an HTTP proxy. A SOCKS proxy works in ``requests`` only: the operator
        would submit a training that the trigger cannot poll.
    """
    origin = config.base_url.origin
    text = select_proxy(origin, get_environ_proxies(origin))
    if not text:
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        variable = f"{URL(origin).scheme.upper()}_PROXY"
        raise AkkioConfigurationError(
            f"Connection {config.connection_id!r}: {variable} (or ALL_PROXY) is not a valid http(s) URL. Set it to an "
            f"HTTP proxy, or list {URL(origin).host} in NO_PROXY."
        )
    return proxy
