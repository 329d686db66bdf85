"""Certificates and proxies: the connection and the environment have the same effect on both clients and on sessions."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
import requests

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.client.blocking import open_session
from airflow_provider_akkio.exceptions import AkkioConfigurationError
from tests.client.driving import Send, SendAll, asynchronous, blocking, client_config, get, post
from tests.scripted import Reply, ScriptedAkkio, tunnel

CREATED = Response(201, b"{}")


def with_session(config: ClientConfig, request: Request) -> list[Response | TransportError]:
    with open_session(config) as session:
        try:
            response = session.request(request.method, request.url, json=request.json, timeout=60)
        except requests.exceptions.SSLError as error:
            return [TransportError(str(error), was_sent=False)]
        return [Response(response.status_code, response.content)]


@pytest.fixture(params=[blocking, asynchronous, with_session])
def send_all(request: pytest.FixtureRequest) -> SendAll:
    return request.param


@pytest.fixture(autouse=True)
def _scripted(secure_akkio: ScriptedAkkio) -> None:
    secure_akkio.script("new", Reply(201))


@pytest.fixture(params=["bundle", "folder"])
def certificates(request: pytest.FixtureRequest) -> str:
    """Path of the authority's certificate."""
    return str(request.getfixturevalue(request.param))


def is_not_trusted(reply: Response | TransportError) -> bool:
    return isinstance(reply, TransportError) and not reply.was_sent and "CERTIFICATE_VERIFY_FAILED" in reply.reason


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_environment_sets_the_trusted_certificates(
    send: Send, secure_akkio: ScriptedAkkio, variable: str, certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = secure_akkio.url
    assert is_not_trusted(send(client_config(url), post(url)))
    monkeypatch.setenv(variable, certificates)
    assert send(client_config(url), post(url)) == CREATED


def test_connection_takes_precedence_over_the_environment(
    send: Send, secure_akkio: ScriptedAkkio, certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = secure_akkio.url
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert send(client_config(url, verify=certificates), post(url)) == CREATED
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates)
    assert is_not_trusted(send(client_config(url, verify=certifi.where()), post(url)))
    assert len(secure_akkio.received) == 1


def test_replaced_certificates_are_read_again(
    send: Send, secure_akkio: ScriptedAkkio, bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "replaced.pem"
    config = client_config(secure_akkio.url, verify=str(path))
    path.write_bytes(Path(certifi.where()).read_bytes())
    assert is_not_trusted(send(config, post(secure_akkio.url)))
    path.write_bytes(bundle.read_bytes())
    assert send(config, post(secure_akkio.url)) == CREATED


@pytest.fixture(params=[None, b"", b"-----BEGIN CERTIFICATE-----\ninvalid"])
def unreadable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path of a certificate file that is missing or invalid."""
    path = tmp_path / "unreadable.pem"
    if request.param is not None:
        path.write_bytes(request.param)
    return str(path)


@pytest.mark.parametrize("by_variable", [False, True])
def test_unreadable_certificates_are_a_configuration_error(
    send: Send, secure_akkio: ScriptedAkkio, unreadable: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_variable:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", unreadable)
    config = client_config(secure_akkio.url, verify=True if by_variable else unreadable)
    with pytest.raises(AkkioConfigurationError, match=r"'akkio_default'.*unreadable\.pem"):
        send(config, post(secure_akkio.url))
    assert not secure_akkio.received


@pytest.fixture(params=["direct", "tunnel"])
def _route(
    request: pytest.FixtureRequest, akkio: ScriptedAkkio, secure_akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.param == "tunnel":
        target = secure_akkio.url.removeprefix("https://")
        akkio.script(target, tunnel(target))
        monkeypatch.setenv("https_proxy", akkio.url)


@pytest.mark.usefixtures("_route")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_unverified_connection_logs_one_warning_per_client(
    send: Send, secure_akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    for clients in (1, 2):
        assert send(client_config(secure_akkio.url, verify=False), post(secure_akkio.url)) == CREATED
        warnings = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == clients
        assert "'akkio_default' does not verify" in warnings[0].getMessage()


def test_verified_connection_logs_no_warning(
    send: Send, secure_akkio: ScriptedAkkio, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send(client_config(secure_akkio.url, verify=str(bundle)), post(secure_akkio.url))
    assert not caplog.records


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:{port}", "socks5h://127.0.0.1:{port}", "http://", "http://a:b:c"]
)
def test_invalid_proxy_is_a_configuration_error(
    send: Send, secure_akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy.format(port=secure_akkio.url.rpartition(":")[2]))
    with pytest.raises(AkkioConfigurationError, match=r"'akkio_default': HTTPS_PROXY.*not a valid http"):
        send(client_config(secure_akkio.url), post(secure_akkio.url))
    assert not secure_akkio.received


def test_no_proxy_is_respected(send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    akkio.script("status", Reply())
    assert send(client_config(akkio.url), get(akkio.url)) == Response(200, b"{}")


def test_proxy_without_scheme_is_an_http_proxy(
    send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", akkio.url.removeprefix("http://"))
    akkio.script("status", Reply())
    assert send(client_config("http://akkio.invalid"), get("http://akkio.invalid")) == Response(200, b"{}")
    assert akkio.received[0].path == "http://akkio.invalid/api/v1/status"
