"""The session of ``AkkioHook.get_conn``, and interrupts of the blocking client."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from airflow_provider_akkio.api.http import TransportError
from airflow_provider_akkio.client.blocking import open_session
from airflow_provider_akkio.exceptions import AkkioUntrustedUrlError
from tests.client.driving import blocking, client_config, get, post
from tests.scripted import Reply, ScriptedAkkio, trickling_head


@pytest.fixture
def session(akkio: ScriptedAkkio) -> Iterator[requests.Session]:
    with open_session(client_config(akkio.url)) as session:
        yield session


def test_session_sends_the_key(session: requests.Session, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(200, {"status": "PENDING"}))
    assert session.get(f"{akkio.url}/api/v1/models/train/T1/status", timeout=5).json() == {"status": "PENDING"}
    assert akkio.received[0].headers["X-API-Key"] == "the-key"


def test_session_rejects_another_origin(session: requests.Session) -> None:
    with ScriptedAkkio() as other:
        with pytest.raises(AkkioUntrustedUrlError, match="'akkio_default'"):
            session.get(f"{other.url}/api/v1/status", timeout=5)
        assert not other.received


@pytest.mark.parametrize("status", [301, 302, 307])
def test_session_follows_no_redirect(session: requests.Session, akkio: ScriptedAkkio, status: int) -> None:
    akkio.script("status", Reply(status, {}, {"Location": f"{akkio.url}/api/v1/result"}))
    assert session.get(f"{akkio.url}/api/v1/status", timeout=5).status_code == status
    assert not akkio.asked("result")


def test_signal_interrupts_a_request(akkio: ScriptedAkkio) -> None:
    """Airflow enforces ``execution_timeout`` by an exception in a signal handler."""
    is_over = threading.Event()

    def interrupt(handler: BaseHTTPRequestHandler) -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        is_over.wait(30)
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


def test_client_stops_sending_while_four_responses_do_not_end(akkio: ScriptedAkkio) -> None:
    akkio.script("status", trickling_head)
    replies = blocking(client_config(akkio.url, timeout=0.3), *[get(akkio.url)] * 5)
    assert [isinstance(reply, TransportError) and reply.was_sent for reply in replies] == [True] * 4 + [False]
    assert len(akkio.received) == 4
