"""Servers that speak TLS, with certificates of an authority of their own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.scripted import ScriptedAkkio


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Whom no machine trusts by itself."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's certificate, as a file."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def _the_usual_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secure_akkio(authority: trustme.CA) -> Iterator[ScriptedAkkio]:
    """An Akkio over TLS, with a certificate of the authority."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with ScriptedAkkio(tls) as server:
        yield server


@pytest.fixture(params=["http", "https"])
def either_akkio(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ScriptedAkkio:
    """An Akkio without TLS, and one with it that is trusted."""
    if request.param == "http":
        return request.getfixturevalue("akkio")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(request.getfixturevalue("bundle")))
    return request.getfixturevalue("secure_akkio")
