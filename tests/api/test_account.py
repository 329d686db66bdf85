"""How an Airflow connection is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.exceptions import AkkioConfigurationError


def read(**fields: Any) -> ClientConfig:
    given = {"host": None, "port": None, "schema": None, "password": "key", "extra": {}} | fields
    return ClientConfig.from_connection("akkio_default", **given)


def test_spaces_around_the_key_are_trimmed() -> None:
    assert read(password="  key\n").key == "key"


def test_the_key_is_not_in_the_representation() -> None:
    assert "top-secret" not in repr(read(password="top-secret"))


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 30.0), ("", 30.0), (" ", 30.0), (5, 5.0), ("2.5", 2.5), (" 30 ", 30.0)]
)
def test_the_time_limit_of_a_request_is_thirty_seconds_or_what_the_extra_says(given: Any, seconds: float) -> None:
    assert read(extra={"timeout": given}).timeout == seconds


@pytest.mark.parametrize("value", [0, -1, "soon", True, [], float("inf"), float("nan")])
def test_a_time_limit_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(AkkioConfigurationError, match="'akkio_default': extra timeout must be"):
        read(extra={"timeout": value})


@pytest.mark.parametrize(("given", "rate"), [(None, 5.0), ("", 5.0), (" ", 5.0), (2, 2.0), ("0.5", 0.5), (7.5, 7.5)])
def test_five_requests_a_second_are_sent_or_what_the_extra_says(given: Any, rate: float) -> None:
    assert read(extra={"requests_per_second": given}).requests_per_second == rate
    assert read().requests_per_second == 5.0


@pytest.mark.parametrize("value", [0, -1, "often", True, [], float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(AkkioConfigurationError, match="'akkio_default': extra requests_per_second must be a number"):
        read(extra={"requests_per_second": value})


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
def test_who_answers_is_checked_unless_the_extra_says_otherwise(given: Any, verify: bool | str) -> None:
    assert read(extra={"verify": given}).verify == verify
    assert read().verify is True


@pytest.mark.parametrize("path", ["/no/such/ca.pem", "no", "x" * 5000, "a\0b"])
def test_certificates_that_are_not_there_are_named(path: str) -> None:
    with pytest.raises(AkkioConfigurationError, match="'akkio_default': extra verify names") as caught:
        read(extra={"verify": path})
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("value", [0, 1, 0.5, [], {"path": "x"}])
def test_what_neither_checks_nor_does_not_is_refused(value: Any) -> None:
    with pytest.raises(AkkioConfigurationError, match="'akkio_default': extra verify must be true, false, or the path"):
        read(extra={"verify": value})


@pytest.mark.parametrize("password", [None, "", "   "])
def test_a_connection_without_a_key_says_where_it_belongs(password: str | None) -> None:
    with pytest.raises(AkkioConfigurationError, match=r"'akkio_default' has no API key: .* into its password"):
        read(password=password)


@pytest.mark.parametrize("password", ["ключ-secret", "line\nsecret"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(AkkioConfigurationError) as caught:
        read(password=password)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"host": "two words"}, {"extra": ["timeout"]}])
def test_what_is_wrong_names_the_connection(fields: dict[str, Any]) -> None:
    with pytest.raises(AkkioConfigurationError, match=r"^Connection 'akkio_default': "):
        read(**fields)
