from __future__ import annotations

import pytest

from airflow_provider_akkio.api.http import (
    Method,
    Request,
    Response,
    TransportError,
    authenticate,
    redact_key,
    request_headers,
    retry_after_seconds,
)
from tests.api.driving import CONFIG

NOW = 1_784_888_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 1.0),
        ("0", 1.0),
        ("86400", 300.0),
        ("Fri, 24 Jul 2026 10:13:30 GMT", 10.0),
        ("Fri, 24 Jul 2026 10:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 300.0),
        ("soon", None),
        ("nan", None),
        ("Fri, 24 Jul 2026 10:13:30", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_redact_key_covers_body_defect_and_reason() -> None:
    key = CONFIG.api_key
    received = Response(500, f"a {key} b".encode(), "7", f"was cut short ({key})")
    assert redact_key(received, key) == Response(500, b"a *** b", "7", "was cut short (***)")
    lost = TransportError(f"BadStatusLine: {key}", was_sent=True)
    assert redact_key(lost, key) == TransportError("BadStatusLine: ***", was_sent=True)


def test_request_headers_hide_the_key_in_their_repr() -> None:
    headers = request_headers(CONFIG)
    assert headers["X-API-Key"] == CONFIG.api_key
    assert CONFIG.api_key not in repr(headers)


def test_authenticate_leaves_a_v2_request_unchanged() -> None:
    request = Request(Method.POST, "https://api.akkio.com/api/v1/models/train/new", {"dataset_id": "D1"})
    assert authenticate(request, CONFIG) is request
