"""The session that a hook hands out."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.client.blocking import open_session
from airflow_provider_akkio.exceptions import AkkioUntrustedUrlError
from tests.scripted import Reply, ScriptedAkkio


@pytest.fixture
def session(akkio: ScriptedAkkio) -> requests.Session:
    return open_session(ClientConfig("akkio_default", BaseUrl(akkio.url), "the-key"))


def test_it_is_ready_to_ask_with_the_key(session: requests.Session, akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply(200, {"status": "PENDING"}))
    assert session.get(f"{akkio.url}/api/v1/models/train/T1/status", timeout=5).json() == {"status": "PENDING"}
    assert akkio.received[0].headers["X-API-Key"] == "the-key"


def test_it_reaches_no_other_origin(session: requests.Session, akkio: ScriptedAkkio) -> None:
    with ScriptedAkkio() as other:
        with pytest.raises(AkkioUntrustedUrlError, match="'akkio_default'"):
            session.get(f"{other.url}/api/v1/status", timeout=5)
        assert not other.received


@pytest.mark.parametrize("status", [301, 302, 307])
def test_it_follows_no_redirect(session: requests.Session, akkio: ScriptedAkkio, status: int) -> None:
    with ScriptedAkkio() as other:
        akkio.script("status", Reply(status, {}, {"Location": f"{other.url}/api/v1/status"}))
        assert session.get(f"{akkio.url}/api/v1/status", timeout=5).status_code == status
        assert not other.received
