"""By which certificates a client checks who answers, and that nothing but the connection changes it."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
import requests

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.client.blocking import open_session
from airflow_provider_akkio.exceptions import AkkioConfigurationError
from tests.client.driving import Exchange, client_config, asynchronous, blocking, post
from tests.scripted import Reply, ScriptedAkkio, tunnel

CREATED = Response(201, b"{}")


def in_a_session(config: ClientConfig, request: Request) -> list[Response | TransportError]:
    with open_session(config) as session:
        try:
            response = session.request(request.method, request.url, json=request.json, timeout=10)
        except requests.exceptions.SSLError as error:
            return [TransportError(str(error), was_sent=False)]
        return [Response(response.status_code, response.content)]


@pytest.fixture(params=[blocking, asynchronous, in_a_session])
def talk(request: pytest.FixtureRequest) -> Exchange:
    return request.param


@pytest.fixture(autouse=True)
def _ready(secure_akkio: ScriptedAkkio) -> None:
    secure_akkio.script("new", Reply(201))


@pytest.fixture(params=["bundle", "folder"])
def certificates(request: pytest.FixtureRequest) -> str:
    """Where the certificate of the server's authority is."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=[None, b"", b"-----BEGIN CERTIFICATE-----\nodd"])
def unreadable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where certificates ought to be, and are not."""
    path = tmp_path / "odd.pem"
    if request.param is not None:
        path.write_bytes(request.param)
    return str(path)


def is_not_trusted(answer: Response | TransportError) -> bool:
    return isinstance(answer, TransportError) and not answer.was_sent and "CERTIFICATE_VERIFY_FAILED" in answer.reason


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_private_authority_is_trusted_by_the_usual_variables(
    exchange: Exchange, secure_akkio: ScriptedAkkio, variable: str, certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_not_trusted(exchange(client_config(secure_akkio.url), post(secure_akkio)))
    monkeypatch.setenv(variable, certificates)
    assert exchange(client_config(secure_akkio.url), post(secure_akkio)) == CREATED


def test_certificates_that_the_connection_names_win_over_the_variables(
    exchange: Exchange, secure_akkio: ScriptedAkkio, certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert exchange(client_config(secure_akkio.url, verify=certificates), post(secure_akkio)) == CREATED


def test_certificates_that_are_replaced_are_read_again(
    exchange: Exchange, secure_akkio: ScriptedAkkio, bundle: Path, tmp_path: Path
) -> None:
    renewed = tmp_path / "renewed.pem"
    renewed.write_bytes(Path(certifi.where()).read_bytes())
    assert is_not_trusted(exchange(client_config(secure_akkio.url, verify=str(renewed)), post(secure_akkio)))
    renewed.write_bytes(bundle.read_bytes())
    assert exchange(client_config(secure_akkio.url, verify=str(renewed)), post(secure_akkio)) == CREATED


def test_only_the_certificates_that_the_connection_names_are_trusted(
    exchange: Exchange, secure_akkio: ScriptedAkkio, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert is_not_trusted(exchange(client_config(secure_akkio.url, verify=certifi.where()), post(secure_akkio)))
    assert not secure_akkio.received


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "NOT_A_VARIABLE"])
def test_without_a_check_anybody_is_trusted_and_the_log_says_so_once_for_each_client(
    exchange: Exchange,
    secure_akkio: ScriptedAkkio,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(variable, certifi.where())
    for opened in (1, 2):
        assert exchange(client_config(secure_akkio.url, verify=False), post(secure_akkio)) == CREATED
        said = [record for record in caplog.records if record.levelname == "WARNING"]
        assert len(said) == opened
    assert said[0].getMessage() == (
        "Connection 'akkio_default' does not check whom it sends its API key to (extra verify is false): whoever "
        f"answers at {secure_akkio.url} gets it."
    )


@pytest.mark.filterwarnings("error")
def test_without_a_check_a_tunnel_causes_no_other_warning(
    exchange: Exchange, akkio: ScriptedAkkio, secure_akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = secure_akkio.url.removeprefix("https://")
    akkio.script(there, tunnel(there))
    monkeypatch.setenv("https_proxy", akkio.url.replace("127.0.0.1", "localhost"))
    assert exchange(client_config(secure_akkio.url, verify=False), post(secure_akkio)) == CREATED


def test_with_a_check_the_log_is_silent(
    exchange: Exchange, secure_akkio: ScriptedAkkio, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exchange(client_config(secure_akkio.url, verify=str(bundle)), post(secure_akkio))
    assert not caplog.records


@pytest.mark.parametrize("by_variable", [False, True])
def test_certificates_that_cannot_be_read_are_an_error_of_the_connection(
    exchange: Exchange,
    secure_akkio: ScriptedAkkio,
    unreadable: str,
    by_variable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if by_variable:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", unreadable)
    with pytest.raises(
        AkkioConfigurationError, match=f"'akkio_default': the certificates in '{unreadable}' cannot be read"
    ):
        exchange(client_config(secure_akkio.url, verify=True if by_variable else unreadable), post(secure_akkio))
    assert not secure_akkio.received
