"""The blocking and the asynchronous client report the same outcome for the same network behaviour."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from airflow_provider_akkio.api.http import Response, TransportError
from tests.client.driving import (
    OK,
    TIMEOUTS,
    Send,
    SendAll,
    client_config,
    get,
    post,
    time_out,
    wait_for_request_threads,
)
from tests.scripted import (
    Reply,
    Responder,
    ScriptedAkkio,
    cut_short,
    endless,
    endless_promises,
    reset,
    silence,
    stall,
    trickle,
    trickling_chunk,
    trickling_head,
    trickling_status,
    tunnel,
)

# When a timeout cuts off a connection, a library may leave the socket to the garbage collector, which then warns. All
# other modules fail for such a warning.
pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def _sockets_are_collected_here() -> Iterator[None]:
    """Let the warnings about the sockets of this module appear in this module."""
    yield
    gc.collect()


def is_certainly_not_sent(reply: Response | TransportError) -> bool:
    return isinstance(reply, TransportError) and not reply.was_sent


def may_have_been_sent(reply: Response | TransportError) -> bool:
    return isinstance(reply, TransportError) and reply.was_sent


def test_request_has_key_and_body(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(201, {"task_id": "T1"}, {"Retry-After": "9"}))
    assert send(client_config(akkio.url), post(akkio.url)) == Response(201, b'{"task_id": "T1"}', "9")
    [received] = akkio.received
    assert (received.method, received.body) == ("POST", {"dataset_id": "ü"})
    assert received.headers["X-API-Key"] == "the-key"
    assert received.headers["User-Agent"].startswith("airflow-provider-akkio/")
    assert received.headers["Content-Type"] == "application/json"


def test_http_error_is_a_response(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(503, b"busy"))
    assert send(client_config(akkio.url), get(akkio.url)) == Response(503, b"busy")
    assert "Transfer-Encoding" not in akkio.received[0].headers


def test_redirect_is_a_response_and_is_not_followed(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(302, {}, {"Location": f"{akkio.url}/api/v1/result"}))
    reply = send(client_config(akkio.url), get(akkio.url))
    assert isinstance(reply, Response)
    assert reply.status == 302
    assert not akkio.requests_to("result")


def test_compressed_response_is_decompressed(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("new", Reply(201, gzip.compress(b'{"task_id": "T1"}'), {"Content-Encoding": "gzip"}))
    assert send(client_config(akkio.url), post(akkio.url)) == Response(201, b'{"task_id": "T1"}')
    assert akkio.received[0].headers["Accept-Encoding"] == "identity"


def test_size_limit_counts_decompressed_bytes(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(200, gzip.compress(bytes(40 * 1024 * 1024)), {"Content-Encoding": "gzip"}))
    # Old releases of urllib3 need seconds to decompress this body.
    reply = send(client_config(akkio.url, timeout=120), get(akkio.url))
    assert isinstance(reply, Response)
    assert "32 MiB" in (reply.defect or "")
    assert len(reply.body) < 34 * 1024 * 1024


@pytest.mark.parametrize("url", ["http://127.0.0.1:{unused_port}", "https://akkio.invalid", "https://{plain_http}"])
def test_request_is_not_sent_without_a_connection(send: Send, akkio: ScriptedAkkio, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = url.format(unused_port=port, plain_http=akkio.url.removeprefix("http://"))
    assert is_certainly_not_sent(send(client_config(url), post(url)))
    assert not akkio.received


@pytest.mark.parametrize("behaviour", [reset, silence])
def test_request_without_response_may_have_been_sent(send: Send, akkio: ScriptedAkkio, behaviour: Responder) -> None:
    akkio.script("new", behaviour)
    assert may_have_been_sent(time_out(send, akkio.url, post(akkio.url), may_have_been_sent))
    assert len(akkio.received) == 1


@pytest.mark.parametrize(
    ("either_akkio", "behaviour", "defect"),
    [
        ("http", cut_short, "cut short"),
        ("http", trickle, "timed out"),
        ("http", trickling_chunk, "timed out"),
        ("http", stall, "timed out"),
        ("https", stall, "timed out"),
        ("http", endless, "32 MiB"),
    ],
    indirect=["either_akkio"],
)
def test_incomplete_body_has_a_defect(
    send: Send, either_akkio: ScriptedAkkio, behaviour: Responder, defect: str
) -> None:
    either_akkio.script("status", behaviour)

    def has_defect(reply: Response | TransportError) -> bool:
        return isinstance(reply, Response) and defect in (reply.defect or "")

    reply = time_out(send, either_akkio.url, get(either_akkio.url), has_defect)
    assert isinstance(reply, Response)
    assert reply.status == 200
    assert defect in (reply.defect or "")
    assert len(reply.body) < 34 * 1024 * 1024


def slow_head_and_body(handler: BaseHTTPRequestHandler) -> None:
    """Pause before the head and before the body: each pause is below 0.9 s, and both together are above."""
    time.sleep(0.6)
    handler.send_response(201)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    time.sleep(0.6)
    handler.wfile.write(b"{}")


def test_slow_response_within_the_timeout_is_complete(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("new", slow_head_and_body)
    assert send(client_config(akkio.url), post(akkio.url)) == Response(201, b"{}")


def test_timeout_limits_the_whole_response(send: Send, akkio: ScriptedAkkio) -> None:
    akkio.script("new", slow_head_and_body)
    reply = send(client_config(akkio.url, timeout=0.9), post(akkio.url))
    assert isinstance(reply, TransportError) or reply.defect == "timed out"


@pytest.mark.parametrize(
    ("either_akkio", "behaviour"),
    [("http", trickling_status), ("http", trickling_head), ("https", trickling_head), ("http", endless_promises)],
    indirect=["either_akkio"],
)
def test_endless_response_head_times_out(send: Send, either_akkio: ScriptedAkkio, behaviour: Responder) -> None:
    either_akkio.script("new", behaviour)
    reply = time_out(send, either_akkio.url, post(either_akkio.url), may_have_been_sent)
    assert may_have_been_sent(reply)
    assert isinstance(reply, TransportError)
    assert "timed out" in reply.reason


def test_connection_is_not_reused_after_a_timeout(send_all: SendAll) -> None:
    for timeout in TIMEOUTS:
        with ScriptedAkkio(keep_alive=True) as akkio:
            akkio.script("status", Reply(200), trickling_head, Reply(200))
            patient = replace(get(akkio.url), min_timeout=60)
            replies = send_all(client_config(akkio.url, timeout=timeout), patient, get(akkio.url), patient)
        if len(akkio.received) == 3:
            break
    before, timed_out, after = replies
    assert before == after == OK
    assert isinstance(timed_out, TransportError)
    first, second, third = [received.port for received in akkio.received]
    assert first == second != third


def test_tls_handshake_times_out(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        reply = time_out(send, url, post(url), is_certainly_not_sent)
        wait_for_request_threads()  # Python leaks a socket that the server closes before the handshake begins
    assert is_certainly_not_sent(reply)


def test_request_through_a_forward_proxy_times_out(
    send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", akkio.url)
    akkio.script("new", trickling_head)
    reply = time_out(send, "http://akkio.invalid", post("http://akkio.invalid"), may_have_been_sent)
    assert may_have_been_sent(reply)
    assert akkio.received[0].path == "http://akkio.invalid/api/v1/new"


@pytest.mark.parametrize("behaviour", [trickling_head, Reply(407)])
def test_request_is_not_sent_without_a_tunnel(
    send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, behaviour: Responder
) -> None:
    monkeypatch.setenv("https_proxy", akkio.url.replace("http://", "http://user:secret@"))
    akkio.script("akkio.invalid:443", behaviour)
    reply = time_out(send, "https://akkio.invalid", post("https://akkio.invalid"), lambda _: bool(akkio.received))
    assert is_certainly_not_sent(reply)
    assert "secret" not in repr(reply)
    assert akkio.received[0].method == "CONNECT"


def test_request_is_not_sent_through_a_tunnel_that_opens_after_the_timeout(
    send: Send, akkio: ScriptedAkkio, secure_akkio: ScriptedAkkio, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open, has_timed_out, is_closed = threading.Event(), threading.Event(), threading.Event()
    target = secure_akkio.url.removeprefix("https://")

    def open_late(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            is_open.set()
            while not has_timed_out.wait(0.05):
                handler.wfile.write(b"x")
            tunnel(target)(handler)
        finally:
            is_closed.set()

    akkio.script(target, open_late)
    monkeypatch.setenv("https_proxy", akkio.url)
    url = secure_akkio.url
    assert is_certainly_not_sent(time_out(send, url, post(url), lambda _: is_open.is_set(), verify=str(bundle)))
    has_timed_out.set()
    assert is_closed.wait(120)
    assert not [received for received in secure_akkio.received if received.body]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_receives_its_credentials(
    send: Send, akkio: ScriptedAkkio, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", akkio.url.replace("http://", "http://user:pass%20word@"))
    send(client_config(f"{scheme}://akkio.invalid"), post(f"{scheme}://akkio.invalid"))
    assert akkio.received[0].headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
