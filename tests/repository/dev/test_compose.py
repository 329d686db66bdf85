"""The reading of a Compose file without containers."""

from __future__ import annotations

import pytest

from dev.compose import NotUnderstoodError, moved, services_of, variables_of

SMALL = """
services:
  second:
    image: thing:1.0
    entrypoint: [python, -m, thing]
    command: run "two words" --key ${THE_KEY:?set THE_KEY}
    environment:
      NUMBER: 3
      PRICE: 5$$
      ADDRESS: http://:${THE_KEY:?set THE_KEY}@first:80/path
    volumes:
      - ./folder:/opt/folder:ro
      - own:/data
    deploy:
      replicas: 2
    depends_on:
      first:
        condition: service_healthy
  first:
    image: thing:1.0
    restart: "no"
"""


def test_services_come_behind_what_they_depend_on() -> None:
    assert [service.name for service in services_of(SMALL, {"THE_KEY": "k"})] == ["first", "second"]


def test_a_service_is_read_with_its_variables_filled_in() -> None:
    first, second = services_of(SMALL, {"THE_KEY": "k"})
    assert (first.goes_on, first.containers, first.command) == (False, ("first",), ())
    assert (second.goes_on, second.containers) == (True, ("second-1", "second-2"))
    assert (second.entrypoint, second.command) == (("python", "-m", "thing"), ("run", "two words", "--key", "k"))
    assert second.environment == {"NUMBER": "3", "PRICE": "5$", "ADDRESS": "http://:k@first:80/path"}
    assert second.mounts == {"/opt/folder": "./folder"}


def test_the_variables_of_a_file_are_found() -> None:
    assert variables_of(SMALL) == {"THE_KEY"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${THE_KEY:?set THE_KEY}@", "${THE_KEY:-k}@"),
        ("${THE_KEY:?set THE_KEY}@", "${ANOTHER:?set ANOTHER}@"),
        ("5$$", "$HOME"),
        ('restart: "no"', "network_mode: host"),
        ("      replicas: 2", "      resources: {}"),
    ],
)
def test_what_is_not_understood_is_an_error(old: str, new: str) -> None:
    assert old in SMALL
    with pytest.raises(NotUnderstoodError):
        services_of(SMALL.replace(old, new), {"THE_KEY": "k"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "postgresql+psycopg2://airflow:pass@postgres/airflow",
            "postgresql+psycopg2://airflow:pass@127.0.0.1:1/airflow",
        ),
        ("redis://:pass@redis:6379/0", "redis://:pass@127.0.0.1:2/0"),
        ('{"host": "http://sandbox:8765", "password": "p"}', '{"host": "http://127.0.0.1:3", "password": "p"}'),
        ("/opt/airflow/dags", "/here/dags"),
        ("CeleryExecutor", "CeleryExecutor"),
    ],
)
def test_addresses_and_folders_are_replaced(value: str, expected: str) -> None:
    addresses = {"postgres": "127.0.0.1:1", "redis": "127.0.0.1:2", "sandbox": "127.0.0.1:3"}
    assert moved(value, addresses, {"/opt/airflow/dags": "/here/dags"}) == expected


@pytest.mark.parametrize("value", ["http://elsewhere:80/", "redis://:pass@cache:6379/0", "/opt/other"])
def test_an_address_or_a_folder_that_is_not_known_is_an_error(value: str) -> None:
    with pytest.raises(NotUnderstoodError):
        moved(value, {"redis": "127.0.0.1:2"}, {"/opt/airflow/dags": "/here/dags"})
