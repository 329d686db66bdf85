"""The session of ``AkkioHook.get_conn``, and interrupts and timeouts of the blocking client."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.client.blocking import open_session
from airflow_provider_akkio.exceptions import AkkioUntrustedUrlError
from tests.client.driving import TIMEOUTS, blocking, client_config, get, post
from tests.scripted import Reply, ScriptedAkkio, trickling_head

BODY_SIZE = 32 * 1024 * 1024


@pytest.fixture
def session(akkio: ScriptedAkkio) -> Iterator[requests.Session]:
    with open_session(client_config(akkio.url)) as session:
        yield session


def test_session_sends_the_key(session: requests.Session, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(200, {"status": "PENDING"}))
    assert session.get(f"{akkio.url}/api/v1/models/train/T1/status", timeout=60).json() == {"status": "PENDING"}
    assert akkio.received[0].headers["X-API-Key"] == "the-key"


def test_session_rejects_another_origin(session: requests.Session) -> None:
    with ScriptedAkkio() as other:
        with pytest.raises(AkkioUntrustedUrlError, match="'akkio_default'"):
            session.get(f"{other.url}/api/v1/status", timeout=60)
        assert not other.received


@pytest.mark.parametrize("status", [301, 302, 307])
def test_session_follows_no_redirect(session: requests.Session, akkio: ScriptedAkkio, status: int) -> None:
    akkio.script("status", Reply(status, {}, {"Location": f"{akkio.url}/api/v1/result"}))
    assert session.get(f"{akkio.url}/api/v1/status", timeout=60).status_code == status
    assert not akkio.requests_to("result")


def test_signal_interrupts_a_request(akkio: ScriptedAkkio) -> None:
    """Airflow enforces ``execution_timeout`` by an exception in a signal handler."""
    is_over = threading.Event()

    def interrupt(handler: BaseHTTPRequestHandler) -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        is_over.wait(60)
        Reply()(handler)

    def on_signal(*_: object) -> None:
        raise InterruptedError("execution_timeout")

    previous = signal.signal(signal.SIGALRM, on_signal)
    try:
        akkio.script("new", interrupt)
        with pytest.raises(InterruptedError, match="execution_timeout"):
            blocking(client_config(akkio.url, timeout=60), post(akkio.url))
    finally:
        signal.signal(signal.SIGALRM, previous)
        is_over.set()


def test_client_stops_sending_while_four_responses_do_not_end() -> None:
    for timeout in TIMEOUTS:
        with ScriptedAkkio() as akkio:
            akkio.script("status", trickling_head)
            replies = blocking(client_config(akkio.url, timeout=timeout), *[get(akkio.url)] * 5)
        were_sent = [isinstance(reply, TransportError) and reply.was_sent for reply in replies]
        if all(were_sent[:4]):
            break
    assert were_sent == [True] * 4 + [False]
    assert len(akkio.received) == 4


def send_too_large_body(timeout: float) -> tuple[Response | TransportError, int, int]:
    """Return the outcome, the number of bytes that arrived until the timeout, and the number of all that arrived.

    The server reads the body too slowly until the client times out, and as fast as possible from then on.
    """
    has_timed_out = threading.Event()
    received = bytearray()

    def read_body() -> None:
        connection, _ = server.accept()
        with connection:
            while not has_timed_out.wait(0.05):
                received.extend(connection.recv(64 * 1024))
            connection.settimeout(120)
            while some := connection.recv(1024 * 1024):
                received.extend(some)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        reader = threading.Thread(target=read_body)
        reader.start()
        try:
            [reply] = blocking(
                client_config(url, timeout=timeout), replace(post(url), json={"dataset_id": "x" * BODY_SIZE})
            )
            until_timeout = len(received)
        finally:
            has_timed_out.set()
            socket.create_connection(server.getsockname()).close()  # in case that the client has not connected
            reader.join()
    return reply, until_timeout, len(received)


def test_body_is_not_sent_after_the_timeout() -> None:
    for timeout in TIMEOUTS:
        reply, until_timeout, in_total = send_too_large_body(timeout)
        if until_timeout:
            break
    assert reply == TransportError("timed out", was_sent=True)
    assert 0 < until_timeout <= in_total < BODY_SIZE
