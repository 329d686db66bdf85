"""Both clients, and servers with a certificate of a private authority."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from tests.client.driving import Send, SendAll, asynchronous, blocking, wait_for_request_threads
from tests.scripted import ScriptedAkkio


@pytest.fixture(autouse=True)
def _requests_end_with_their_test() -> Iterator[None]:
    """Wait for the threads that the blocking client abandons: their sockets must not count against a later test."""
    yield
    wait_for_request_threads()


@pytest.fixture(params=[blocking, asynchronous])
def send_all(request: pytest.FixtureRequest) -> SendAll:
    """Send requests with one client, one after the other."""
    return request.param


@pytest.fixture
def send(send_all: SendAll) -> Send:
    """Send one request."""
    return lambda config, request: send_all(config, request)[0]


@pytest.fixture(autouse=True)
def _default_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no machine trusts by default."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    """A file with the authority's certificate."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    """A folder with the authority's certificate, under the name that OpenSSL expects in a folder."""
    subject = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    canonical = x509.Name([x509.NameAttribute(one.oid, str(one.value).lower()) for one in subject]).public_bytes()
    digest = hashlib.sha1(canonical[2:], usedforsecurity=False).digest()
    path = tmp_path / "authorities"
    path.mkdir()
    authority.cert_pem.write_to_path(path / f"{int.from_bytes(digest[:4], 'little'):08x}.0")
    return path


@pytest.fixture
def secure_akkio(authority: trustme.CA) -> Iterator[ScriptedAkkio]:
    """A scripted Akkio over TLS, with a certificate of the authority."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with ScriptedAkkio(tls) as server:
        yield server


@pytest.fixture(params=["http", "https"])
def either_akkio(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ScriptedAkkio:
    """A scripted Akkio over HTTP, or over TLS with a trusted certificate."""
    if request.param == "http":
        return request.getfixturevalue("akkio")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(request.getfixturevalue("bundle")))
    return request.getfixturevalue("secure_akkio")
