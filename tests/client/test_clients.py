"""The blocking and the asynchronous client meet the same network, and must see the same in it."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from airflow_provider_akkio.api.http import Method, Request, Response, TransportError
from tests.client.driving import Exchange, Talk, client_config, get, post
from tests.scripted import (
    Answering,
    Reply,
    ScriptedAkkio,
    cut_short,
    endless,
    endless_promises,
    reset,
    silence,
    stall,
    trickle,
    trickling_head,
    trickling_status,
)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Far less than the server goes on for, and far more than the limit, for a machine that has much to do."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_request_carries_the_key_and_its_body(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(201, {"task_id": "T1"}, {"Retry-After": "9"}))
    assert exchange(client_config(akkio.url), post(akkio)) == Response(201, b'{"task_id": "T1"}', "9")
    [received] = akkio.received
    assert (received.method, received.body) == ("POST", {"dataset_id": "ü"})
    assert received.headers["X-API-Key"] == "the-key"
    assert received.headers["User-Agent"].startswith("airflow-provider-akkio/")
    assert received.headers["Content-Type"] == "application/json"


def test_an_error_is_an_answer_too(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(503, b"tired"))
    assert exchange(client_config(akkio.url), get(akkio)) == Response(503, b"tired")


def test_an_answer_that_a_proxy_has_compressed_is_read_all_the_same(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(201, gzip.compress(b'{"task_id": "T1"}'), {"Content-Encoding": "gzip"}))
    assert exchange(client_config(akkio.url), post(akkio)) == Response(201, b'{"task_id": "T1"}')
    assert akkio.received[0].headers["Accept-Encoding"] == "identity"


def test_a_compressed_answer_is_read_no_further_than_another(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(200, gzip.compress(bytes(40 * 1024 * 1024)), {"Content-Encoding": "gzip"}))
    answer = exchange(client_config(akkio.url), get(akkio))
    assert isinstance(answer, Response)
    assert answer.defect == "is longer than 32 MiB"
    assert len(answer.body) < 34 * 1024 * 1024


def test_a_redirect_is_an_answer_and_is_not_followed(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(302, {}, {"Location": f"{akkio.url}/api/v1/result"}))
    answer = exchange(client_config(akkio.url), get(akkio))
    assert isinstance(answer, Response)
    assert answer.status == 302
    assert "Transfer-Encoding" not in akkio.received[0].headers
    assert not akkio.asked("result")


def test_a_host_where_nothing_listens_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    answer = exchange(client_config(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert not answer.was_sent
    assert "Connection" in answer.reason or "Connect call failed" in answer.reason


def test_a_host_without_an_address_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    url = "https://akkio.invalid"
    answer = exchange(client_config(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert not answer.was_sent


def test_a_host_that_speaks_no_tls_was_sent_nothing(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    url = akkio.url.replace("http://", "https://")
    answer = exchange(client_config(url), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert not answer.was_sent
    assert not akkio.received


@pytest.mark.parametrize("answering", [reset, silence])
def test_a_request_that_was_sent_may_have_been_acted_on(
    exchange: Exchange, akkio: ScriptedAkkio, answering: Answering
) -> None:
    akkio.script("new", answering)
    answer = exchange(client_config(akkio.url, timeout=0.5), post(akkio))
    assert isinstance(answer, TransportError)
    assert answer.was_sent
    assert len(akkio.received) == 1


@pytest.mark.parametrize(
    ("either_akkio", "answering", "defect"),
    [
        ("http", cut_short, "was cut short"),
        ("http", trickle, "did not end in time"),
        ("http", stall, "did not end in time"),
        ("https", stall, "did not end in time"),
        ("http", endless, "is longer than 32 MiB"),
    ],
    indirect=["either_akkio"],
)
def test_a_body_that_does_not_end_well_is_marked(
    exchange: Exchange, either_akkio: ScriptedAkkio, answering: Answering, defect: str
) -> None:
    either_akkio.script("status", answering)
    with at_most(10):
        answer = exchange(client_config(either_akkio.url, timeout=10 if answering is endless else 1), get(either_akkio))
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert answer.defect is not None
    assert answer.defect.startswith(defect)
    assert len(answer.body) < 34 * 1024 * 1024


def slowly(handler: BaseHTTPRequestHandler) -> None:
    """Let 0.6 seconds pass before the head, and as many before the body."""
    time.sleep(0.6)
    handler.send_response(201)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    time.sleep(0.6)
    handler.wfile.write(b"{}")


def test_a_slow_answer_that_is_whole_within_the_limit_counts(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("new", slowly)
    assert exchange(client_config(akkio.url), post(akkio)) == Response(201, b"{}")


def test_the_limit_is_for_the_whole_answer_and_not_for_each_part(exchange: Exchange, akkio: ScriptedAkkio) -> None:
    akkio.script("new", slowly)
    answer = exchange(client_config(akkio.url, timeout=0.9), post(akkio))
    assert isinstance(answer, TransportError) or answer.defect == "did not end in time"


@pytest.mark.parametrize(
    ("either_akkio", "answering"),
    [("http", trickling_status), ("http", trickling_head), ("https", trickling_head), ("http", endless_promises)],
    indirect=["either_akkio"],
)
def test_a_head_that_does_not_end_is_cut_when_the_time_is_over(
    exchange: Exchange, either_akkio: ScriptedAkkio, answering: Answering
) -> None:
    either_akkio.script("new", answering)
    with at_most(5):
        answer = exchange(client_config(either_akkio.url, timeout=1), post(either_akkio))
    assert isinstance(answer, TransportError)
    assert (answer.was_sent, "timed out" in answer.reason) == (True, True)


def test_a_connection_that_is_used_again_keeps_to_the_limit_too(talk: Talk) -> None:
    with ScriptedAkkio(keep_alive=True) as akkio:
        akkio.script("status", Reply(200), trickling_head, Reply(200))
        with at_most(8):
            before, cut, after = talk(client_config(akkio.url, timeout=2), *[get(akkio)] * 3)
        assert before == after == Response(200, b"{}")
        assert isinstance(cut, TransportError)
        first, second, third = [received.port for received in akkio.received]
        assert first == second != third


def test_a_forwarding_proxy_keeps_to_the_limit_too(
    exchange: Exchange, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", akkio.url)
    akkio.script("new", trickling_head)
    url = "http://akkio.invalid"
    with at_most(5):
        answer = exchange(client_config(url, timeout=1), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert answer.was_sent
    assert akkio.received[0].path == f"{url}/api/v1/new"


def test_a_tunnel_that_does_not_open_was_sent_nothing(
    exchange: Exchange, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", akkio.url)
    akkio.script("akkio.invalid:443", trickling_head)
    url = "https://akkio.invalid"
    with at_most(5):
        answer = exchange(client_config(url, timeout=0.5), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert not answer.was_sent
    assert akkio.received[0].method == "CONNECT"


def test_a_handshake_that_does_not_end_was_sent_nothing(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        with at_most(5):
            answer = exchange(client_config(url, timeout=0.5), Request(Method.POST, f"{url}/api/v1/new", {}))
    assert isinstance(answer, TransportError)
    assert not answer.was_sent
