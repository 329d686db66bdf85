"""The blocking and the asynchronous client meet the same network, and must see the same in it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme

from airflow_provider_akkio.api.account import Account
from airflow_provider_akkio.api.location import Site
from airflow_provider_akkio.api.messages import Answer, Conversation, Method, NoAnswer, Pause, Request
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.client.blocking import BlockingClient
from tests.scripted import Answering, Reply, ScriptedAkkio, cut_short, endless, reset, silence, trickle

Exchange = Callable[[Account, Request], Answer | NoAnswer]


def one_exchange(request: Request) -> Conversation[Answer | NoAnswer]:
    yield Pause(0.01)
    reply = yield request
    assert reply is not None
    return reply


def blocking(account: Account, request: Request) -> Answer | NoAnswer:
    with BlockingClient(account) as client:
        return client.run(one_exchange(request))


def asynchronous(account: Account, request: Request) -> Answer | NoAnswer:
    async def exchange() -> Answer | NoAnswer:
        async with AsynchronousClient(account) as client:
            return await client.run(one_exchange(request))

    return asyncio.run(exchange())


pytestmark = pytest.mark.parametrize("exchange", [blocking, asynchronous])


def account(url: str, timeout: float = 10.0) -> Account:
    return Account("akkio_default", Site(url), "the-key", timeout)


def get(akkio: ScriptedAkkio) -> Request:
    return Request(Method.GET, f"{akkio.url}/api/v1/status")


def post(akkio: ScriptedAkkio) -> Request:
    return Request(Method.POST, f"{akkio.url}/api/v1/new", {"dataset_id": "ü"})


def test_a_request_carries_the_key_and_its_body(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(201, {"task_id": "T1"}, {"Retry-After": "9"}))
    assert exchange(account(akkio.url), post(akkio)) == Answer(201, b'{"task_id": "T1"}', "9")
    [received] = akkio.received
    assert (received.method, received.body) == ("POST", {"dataset_id": "ü"})
    assert received.headers["X-API-Key"] == "the-key"
    assert received.headers["User-Agent"].startswith("airflow-provider-akkio/")
    assert received.headers["Content-Type"] == "application/json"


def test_an_error_is_an_answer_too(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(503, b"tired"))
    assert exchange(account(akkio.url), get(akkio)) == Answer(503, b"tired")


def test_a_redirect_is_an_answer_and_is_not_followed(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(302, {}, {"Location": f"{akkio.url}/api/v1/result"}))
    answer = exchange(account(akkio.url), get(akkio))
    assert isinstance(answer, Answer)
    assert answer.status == 302
    assert "Transfer-Encoding" not in akkio.received[0].headers
    assert not akkio.asked("result")


def test_a_host_where_nothing_listens_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    answer = exchange(account(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, NoAnswer)
    assert not answer.was_sent
    assert "Connection" in answer.reason or "Connect call failed" in answer.reason


def test_a_host_without_an_address_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    url = "https://akkio.invalid"
    answer = exchange(account(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, NoAnswer)
    assert not answer.was_sent


def test_a_host_that_speaks_no_tls_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    url = akkio.url.replace("http://", "https://")
    answer = exchange(account(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, NoAnswer)
    assert not answer.was_sent
    assert not akkio.received


@pytest.mark.parametrize("answering", [reset, silence])
def test_a_request_that_was_sent_may_have_been_acted_on(
    exchange: Exchange, akkio: ScriptedAkkio, answering: Answering
) -> None:
    akkio.script("new", answering)
    answer = exchange(account(akkio.url, timeout=0.5), post(akkio))
    assert isinstance(answer, NoAnswer)
    assert answer.was_sent
    assert len(akkio.received) == 1


@pytest.mark.parametrize(
    ("answering", "defect"),
    [(cut_short, "was cut short"), (trickle, "did not end in time"), (endless, "is longer than 32 MiB")],
)
def test_a_body_that_does_not_end_well_is_marked(
    exchange: Exchange, akkio: ScriptedAkkio, answering: Answering, defect: str
) -> None:
    akkio.script("status", answering)
    answer = exchange(account(akkio.url, timeout=10 if answering is endless else 0.5), get(akkio))
    assert isinstance(answer, Answer)
    assert answer.status == 200
    assert answer.defect is not None
    assert answer.defect.startswith(defect)
    assert len(answer.body) < 34 * 1024 * 1024


def test_a_late_answer_that_is_whole_counts(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        handler.send_response(201)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        time.sleep(0.3)
        handler.wfile.write(b"{}")

    akkio.script("new", slowly)
    limit = 0.5 if exchange is blocking else 5.0
    assert exchange(account(akkio.url, timeout=limit), post(akkio)) == Answer(201, b"{}")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_private_authority_is_trusted_by_the_usual_variables(
    exchange: Exchange, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    certificate = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedAkkio(tls) as akkio:
        akkio.script("new", Reply(201))
        untrusted = exchange(account(akkio.url), post(akkio))
        assert isinstance(untrusted, NoAnswer)
        assert (untrusted.was_sent, "CERTIFICATE_VERIFY_FAILED" in untrusted.reason) == (False, True)
        monkeypatch.setenv(variable, str(certificate))
        assert exchange(account(akkio.url), post(akkio)) == Answer(201, b"{}")
