"""Sandboxes on real sockets; most tests share one, since training takes a second."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.calls import Calls


def write_table(path: Path, fields: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([fields, *rows])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables whose answers are known beforehand."""
    folder = tmp_path_factory.mktemp("tables")
    random = Random(1)
    signal = [random.choice(("yes", "no", "no")) for _ in range(300)]
    noise = [random.randint(0, 99) for _ in signal]
    coins = [random.choice(("heads", "tails")) for _ in signal]
    write_table(
        folder / "signal.csv",
        ("Signal", "Noise", "Coin", "Bought"),
        list(zip(signal, noise, coins, signal, strict=True)),
    )
    write_table(
        folder / "holes.csv",
        ("Noise", "Hole", "Bought"),
        [("", "", ""), *((number, "", word) for number, word in zip(noise, signal, strict=True))],
    )
    write_table(
        folder / "memory.csv",
        [*(f"Number {column}" for column in range(10)), "Coin"],
        [(*(random.random() for _ in range(10)), coin) for coin in coins],
    )
    write_table(folder / "constant.csv", ("Noise", "Same"), [(number, "x") for number in noise])
    write_table(folder / "tiny.csv", ("Noise", "Coin"), list(zip(noise, coins, strict=True))[:9])
    write_table(folder / "unique.csv", ("Noise", "Name"), [(number, f"n{row}") for row, number in enumerate(noise)])
    write_table(folder / "few.csv", ("Noise", "Name"), [(number, f"n{number}") for number in noise[:30]])
    write_table(folder / "lonely.csv", ("Only",), [(coin,) for coin in coins])
    write_table(
        folder / "slow.csv",
        [*(f"Number {column}" for column in range(20)), "Coin"],
        [(*(round(random.random(), 4) for _ in range(20)), random.randint(0, 4)) for _ in range(8_000)],
    )
    return folder


@pytest.fixture(scope="session")
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """A sandbox in the dialect of the Training page."""
    with Sandbox(forbidden_key="forbidden-key", data=folder) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def calls(sandbox: Sandbox) -> Calls:
    return Calls(sandbox.url)


@pytest.fixture(scope="session")
def openapi_calls() -> Iterator[Calls]:
    """Calls to a sandbox in the dialect of the OpenAPI document."""
    with Sandbox(dialect="openapi") as sandbox:
        yield Calls(sandbox.url)
