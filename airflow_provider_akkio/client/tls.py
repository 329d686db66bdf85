"""Whom a client takes for Akkio: by which certificates it checks, if it does."""

from __future__ import annotations

import logging
import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Literal

from certifi import where

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.exceptions import AkkioConfigurationError

log = logging.getLogger(__name__)


def ssl_context_for(config: ClientConfig) -> ssl.SSLContext | Literal[False]:
    """Return the certificates that an account trusts, or ``False`` if it trusts anybody, of which the log then warns.

    :param config: whose client is being opened.
    :raises AkkioConfigurationError: if the certificates cannot be read.
    """
    if config.verify is False:
        log.warning(
            "Connection %r does not check whom it sends its API key to (extra verify is false): whoever answers at %s "
            "gets it.",
            config.connection_id,
            config.base_url.origin,
        )
        return False
    certificates = config.verify if isinstance(config.verify, str) else _usual_certificates()
    try:
        stamp = Path(certificates).stat()
        return _read(certificates, stamp.st_mtime_ns, stamp.st_size)
    except OSError as error:
        raise AkkioConfigurationError(
            f"Connection {config.connection_id!r}: the certificates in {certificates!r} cannot be read ({error}). Their "
            "place comes from the connection's extra verify, or else from REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE."
        ) from None


def certificates_stamp(config: ClientConfig) -> tuple[int, int] | None:
    """Return what changes when the certificates of an account do; ``None`` if there are none, or none to be read."""
    if config.verify is False:
        return None
    try:
        stamp = Path(config.verify if isinstance(config.verify, str) else _usual_certificates()).stat()
    except OSError:
        return None
    return stamp.st_mtime_ns, stamp.st_size


def _usual_certificates() -> str:
    """Return whom ``requests`` trusts: a submission that works must not be followed by polls that fail."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or where()


@lru_cache(maxsize=8)
def _read(certificates: str, *_: int) -> ssl.SSLContext:
    """Read certificates once, since that takes long enough to be felt on an event loop; again if the file is another.

    :param certificates: the file, or folder, followed by what changes with it.
    """
    is_folder = Path(certificates).is_dir()
    return ssl.create_default_context(
        cafile=None if is_folder else certificates, capath=certificates if is_folder else None
    )
