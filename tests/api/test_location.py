"""Where the key may go."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.api.config import BaseUrl
from airflow_provider_akkio.exceptions import AkkioConfigurationError, AkkioUntrustedUrlError

AKKIO = BaseUrl("https://api.akkio.com")
BEHIND_PROXY = BaseUrl("https://proxy.example:8443", "/akkio")


@pytest.mark.parametrize(
    ("host", "port", "schema", "root"),
    [
        (None, None, None, "https://api.akkio.com/api/v1"),
        ("", None, "", "https://api.akkio.com/api/v1"),
        (None, 0, None, "https://api.akkio.com/api/v1"),
        ("http://localhost:8765", 0, None, "http://localhost:8765/api/v1"),
        ("api.akk.io", None, None, "https://api.akk.io/api/v1"),
        ("HTTPS://API.Akkio.com:443/", None, None, "https://api.akkio.com/api/v1"),
        ("localhost:8765", None, "http", "http://localhost:8765/api/v1"),
        ("http://localhost:8765", None, None, "http://localhost:8765/api/v1"),
        ("http://localhost:8765", 8765, "http", "http://localhost:8765/api/v1"),
        ("localhost", 8765, "http://", "http://localhost:8765/api/v1"),
        ("localhost", 8765, None, "https://localhost:8765/api/v1"),
        ("http://localhost", 80, None, "http://localhost/api/v1"),
        ("https://proxy.example:8443/akkio/", None, None, "https://proxy.example:8443/akkio/api/v1"),
        ("https://proxy.example/akkio/api/v1/", None, "https", "https://proxy.example/akkio/api/v1"),
        ("::1", 8765, "http", "http://[::1]:8765/api/v1"),
        ("[::1]:8765", None, "http", "http://[::1]:8765/api/v1"),
        ("api.akkio.com.", None, None, "https://api.akkio.com./api/v1"),
    ],
)
def test_a_connection_names_its_site_in_many_ways(
    host: str | None, port: int | None, schema: str | None, root: str
) -> None:
    assert BaseUrl.from_connection(host, port, schema).api_root == root


@pytest.mark.parametrize(
    ("host", "port", "schema"),
    [
        ("ftp://api.akkio.com", None, None),
        ("api.akkio.com", None, "public"),
        ("http://api.akkio.com", None, "https"),
        ("api.akkio.com:1", 2, None),
        ("api.akkio.com:99999", None, None),
        ("api.akkio.com:0", None, None),
        ("host:80:90", None, None),
        ("two words", None, None),
        ("back\\slash", None, None),
        ("https://", None, None),
        ("https://[::1", None, None),
        ("https://user:word@api.akkio.com", None, None),
        ("https://api.akkio.com/?x=1", None, None),
        ("https://api.akkio.com/#x", None, None),
        ("api.akkio.com\nX: y", None, None),
        ("akkio.example..com", None, None),
        (f"{'x' * 64}.example", None, None),
        ("ümlaut.example", None, None),
    ],
)
def test_a_connection_that_makes_no_web_address_is_refused(host: str, port: int | None, schema: str | None) -> None:
    with pytest.raises(AkkioConfigurationError):
        BaseUrl.from_connection(host, port, schema)


@pytest.mark.parametrize("host", ["akkio://:top-secret@api.akkio.com", "https://:top-secret@api.akkio.com"])
def test_a_key_that_was_pasted_into_the_host_is_not_repeated(host: str) -> None:
    with pytest.raises(AkkioConfigurationError) as caught:
        BaseUrl.from_connection(host, None, None)
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "/api/v1/models/train/T1/result",
        "api/v1/models/train/T1/result",
        "/models/train/T1/result",
        "models/train/T1/result",
        "https://api.akkio.com/api/v1/models/train/T1/result",
        "https://API.AKKIO.COM:443/api/v1/models/train/T1/result",
    ],
)
def test_every_dialect_of_a_location_means_the_same_url(location: str) -> None:
    assert AKKIO.resolve(location) == "https://api.akkio.com/api/v1/models/train/T1/result"


@pytest.mark.parametrize(
    "location", ["/api/v1/x", "/akkio/api/v1/x", "/x", "https://proxy.example:8443/akkio/api/v1/x"]
)
def test_a_location_is_found_behind_a_path_prefix(location: str) -> None:
    assert BEHIND_PROXY.resolve(location) == "https://proxy.example:8443/akkio/api/v1/x"


def test_a_query_is_kept() -> None:
    assert AKKIO.resolve("/x?at=https://elsewhere/") == "https://api.akkio.com/api/v1/x?at=https://elsewhere/"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/",
        "https://evil.example/api/v1/x",
        "http://api.akkio.com/api/v1/x",
        "https://api.akkio.com:444/api/v1/x",
        "https://api.akkio.com.evil.example/api/v1/x",
        "https://api.akkio.com@evil.example/api/v1/x",
        "https://api.akkio.com/v1/models",
        "https://api.akkio.com/api/v1",
        "https://[/api/v1/x",
        "ftp://api.akkio.com/api/v1/x",
        "//evil.example/x",
        "//api/v1/x",
        "/api/v1/../../v1/models",
        "/models/./x",
        "/models/%2e%2e/%2e%2e/x",
        "/models/%252e%252e/x",
        "/models%2f..%2fx",
        "/models\\..\\x",
        "/models/..;/x",
        "/models/%2e%2e%3bx/x",
        "/models/..%00/x",
        "/models/x#part",
        "/models/x y",
        "/models/x\r\nX-Other: 1",
        "/models/ü",
        "/models/" + "x" * 2000,
    ],
)
def test_a_location_that_leads_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(AkkioUntrustedUrlError, match="was not followed"):
        AKKIO.resolve(location)
