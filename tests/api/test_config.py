from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.api.config import BaseUrl, ClientConfig
from airflow_provider_akkio.exceptions import AkkioConfigurationError, AkkioUntrustedUrlError

AKKIO = BaseUrl("https://api.akkio.com")
BEHIND_PROXY = BaseUrl("https://proxy.example:8443", "/akkio")


def parse(**fields: Any) -> ClientConfig:
    given = {"host": None, "port": None, "schema": None, "password": "key", "extra": {}} | fields
    return ClientConfig.from_connection("akkio_default", **given)


class TestClientConfig:
    def test_key_is_trimmed_and_not_in_the_repr(self) -> None:
        config = parse(password="  top-secret\n")
        assert config.api_key == "top-secret"
        assert "top-secret" not in repr(config)

    @pytest.mark.parametrize("password", [None, "", "   "])
    def test_missing_key_is_an_error(self, password: str | None) -> None:
        with pytest.raises(AkkioConfigurationError, match=r"'akkio_default': The API key is missing.*password"):
            parse(password=password)

    @pytest.mark.parametrize("password", ["ключ-secret", "line\nsecret"])
    def test_key_that_no_header_can_carry_is_an_error_that_does_not_contain_it(self, password: str) -> None:
        with pytest.raises(AkkioConfigurationError) as caught:
            parse(password=password)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "default"), [("timeout", 30.0), ("requests_per_second", 5.0)], ids=["timeout", "rate"]
    )
    def test_number_in_extra_has_a_default_and_is_validated(self, name: str, default: float) -> None:
        assert getattr(parse(), name) == default
        for empty in (None, "", " "):
            assert getattr(parse(extra={name: empty}), name) == default
        for given, parsed in ((5, 5.0), ("2.5", 2.5), (" 30 ", 30.0), ("0.5", 0.5)):
            assert getattr(parse(extra={name: given}), name) == parsed
        for invalid in (0, -1, "soon", True, [], float("inf"), float("nan")):
            with pytest.raises(AkkioConfigurationError, match=f"'akkio_default': Extra '{name}' must be"):
                parse(extra={name: invalid})

    @pytest.mark.parametrize("seconds", [3601, 1e10, 1e300])
    def test_timeout_of_more_than_an_hour_is_an_error(self, seconds: float) -> None:
        assert parse(extra={"timeout": 3600}).timeout == 3600.0
        with pytest.raises(AkkioConfigurationError, match="'timeout' must be a number above 0 and at most 3600"):
            parse(extra={"timeout": seconds})

    @pytest.mark.parametrize(
        ("given", "verify"),
        [
            (None, True),
            ("", True),
            (" ", True),
            (True, True),
            ("True", True),
            (False, False),
            ("false", False),
            (" FALSE ", False),
            (__file__, __file__),
            (str(Path(__file__).parent), str(Path(__file__).parent)),
        ],
    )
    def test_verify_is_a_flag_or_a_path(self, given: Any, verify: bool | str) -> None:
        assert parse(extra={"verify": given}).verify == verify
        assert parse().verify is True

    @pytest.mark.parametrize("value", [0, 1, 0.5, [], {"path": "x"}])
    def test_invalid_verify_is_an_error(self, value: Any) -> None:
        with pytest.raises(AkkioConfigurationError, match="'akkio_default': Extra 'verify'"):
            parse(extra={"verify": value})

    @pytest.mark.parametrize("fields", [{"host": "two words"}, {"extra": ["timeout"]}])
    def test_error_names_the_connection(self, fields: dict[str, Any]) -> None:
        with pytest.raises(AkkioConfigurationError, match=r"^Connection 'akkio_default': "):
            parse(**fields)


class TestBaseUrl:
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
            ("https://api.akkio.com/v1", None, None, "https://api.akkio.com/api/v1"),
            ("::1", 8765, "http", "http://[::1]:8765/api/v1"),
            ("[::1]:8765", None, "http", "http://[::1]:8765/api/v1"),
            ("api.akkio.com.", None, None, "https://api.akkio.com./api/v1"),
        ],
    )
    def test_connection_fields_are_combined(
        self, host: str | None, port: int | None, schema: str | None, root: str
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
    def test_invalid_connection_fields_are_an_error(self, host: str, port: int | None, schema: str | None) -> None:
        with pytest.raises(AkkioConfigurationError):
            BaseUrl.from_connection(host, port, schema)

    @pytest.mark.parametrize("host", ["akkio://:top-secret@api.akkio.com", "https://:top-secret@api.akkio.com"])
    def test_error_does_not_contain_a_key_in_the_host(self, host: str) -> None:
        with pytest.raises(AkkioConfigurationError) as caught:
            BaseUrl.from_connection(host, None, None)
        assert "top-secret" not in str(caught.value)

    def test_url_encodes_ids(self) -> None:
        assert AKKIO.url("a/b?c", "x") == "https://api.akkio.com/api/v1/a%2Fb%3Fc/x"
        with pytest.raises(AkkioUntrustedUrlError):
            AKKIO.url("..", "x")

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
    def test_every_form_of_a_location_resolves_to_the_same_url(self, location: str) -> None:
        assert AKKIO.resolve(location) == "https://api.akkio.com/api/v1/models/train/T1/result"

    @pytest.mark.parametrize(
        "location", ["/api/v1/x", "/akkio/api/v1/x", "/x", "https://proxy.example:8443/akkio/api/v1/x"]
    )
    def test_location_resolves_below_a_path_prefix(self, location: str) -> None:
        assert BEHIND_PROXY.resolve(location) == "https://proxy.example:8443/akkio/api/v1/x"

    def test_location_keeps_its_query(self) -> None:
        assert AKKIO.resolve("/x?at=https://elsewhere/") == "https://api.akkio.com/api/v1/x?at=https://elsewhere/"

    @pytest.mark.parametrize(
        "location",
        [
            *("", "/", "https://evil.example/api/v1/x", "http://api.akkio.com/api/v1/x"),
            *("https://api.akkio.com:444/api/v1/x", "https://api.akkio.com.evil.example/api/v1/x"),
            *("https://api.akkio.com@evil.example/api/v1/x", "https://api.akkio.com/v1/models"),
            *("https://api.akkio.com/api/v1", "https://[/api/v1/x", "ftp://api.akkio.com/api/v1/x"),
            *("//evil.example/x", "//api/v1/x", "/api/v1/../../v1/models", "/models/./x"),
            *("/models/%2e%2e/%2e%2e/x", "/models/%252e%252e/x", "/models%2f..%2fx", "/models\\..\\x"),
            *("/models/..;/x", "/models/%2e%2e%3bx/x", "/models/..%00/x", "/models/x#part", "/models/x y"),
            *("/models/x\r\nX-Other: 1", "/models/ü", "/models/" + "x" * 2000),
        ],
    )
    def test_location_outside_the_api_root_is_rejected(self, location: str) -> None:
        with pytest.raises(AkkioUntrustedUrlError, match="not followed"):
            AKKIO.resolve(location)
