"""Both clients, and servers that speak TLS with certificates of an authority of their own."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from tests.client.driving import Exchange, Talk, asynchronous, blocking
from tests.scripted import ScriptedAkkio


@pytest.fixture(params=[blocking, asynchronous])
def talk(request: pytest.FixtureRequest) -> Talk:
    """Makes requests with one client, one after the other."""
    return request.param


@pytest.fixture
def exchange(talk: Talk) -> Exchange:
    """Makes one request."""
    return lambda account, request: talk(config, request)[0]


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


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's certificate, in a folder, under the name by which OpenSSL looks for it there."""
    subject = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    canonical = x509.Name([x509.NameAttribute(one.oid, str(one.value).lower()) for one in subject]).public_bytes()
    digest = hashlib.sha1(canonical[2:], usedforsecurity=False).digest()
    path = tmp_path / "authorities"
    path.mkdir()
    authority.cert_pem.write_to_path(path / f"{int.from_bytes(digest[:4], 'little'):08x}.0")
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
    """An Akkio without TLS, and one with it that is ssl_context_for."""
    if request.param == "http":
        return request.getfixturevalue("akkio")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(request.getfixturevalue("bundle")))
    return request.getfixturevalue("secure_akkio")
