"""Sandboxes on real sockets; most tests share one, because a training takes about a second."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from airflow_provider_akkio.sandbox import Sandbox, chat, learning, tasks, trainings
from tests.sandbox.api_client import ApiClient


def write_csv(path: Path, fields: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([fields, *rows])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CSV files whose results are known."""
    folder = tmp_path_factory.mktemp("tables")
    random = Random(1)
    signal = [random.choice(("yes", "no", "no")) for _ in range(300)]
    noise = [random.randint(0, 99) for _ in signal]
    coins = [random.choice(("heads", "tails")) for _ in signal]
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]] = {
        "signal": (("Signal", "Noise", "Coin", "Bought"), list(zip(signal, noise, coins, signal, strict=True))),
        "holes": (("Noise", "Hole", "Bought"), [("", "", ""), *zip(noise, [""] * 300, signal, strict=True)]),
        "memory": (
            [*(f"Number {column}" for column in range(10)), "Coin"],
            [(*(random.random() for _ in range(10)), coin) for coin in coins],
        ),
        "constant": (("Noise", "Same"), [(number, "x") for number in noise]),
        "tiny": (("Noise", "Coin"), list(zip(noise, coins, strict=True))[:9]),
        "unique": (("Noise", "Name"), [(number, f"n{row}") for row, number in enumerate(noise)]),
        "few": (("Noise", "Name"), [(number, f"n{number}") for number in noise[:30]]),
        "lonely": (("Only",), [(coin,) for coin in coins]),
        "slow": (
            [*(f"Number {column}" for column in range(20)), "Coin"],
            [(*(round(random.random(), 4) for _ in range(20)), random.randint(0, 4)) for _ in range(3_500)],
        ),
    }
    for name, (fields, rows) in tables.items():
        write_csv(folder / f"{name}.csv", fields, rows)
    return folder


@pytest.fixture(scope="package", autouse=True)
def _trainings_grow_all_trees() -> Iterator[None]:
    """Let no training end early: on a busy machine, the model would be another one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(learning, "_SHARE_OF_TIME_FOR_TREES", 1000.0)
        yield


@dataclass
class Clock:
    """Stands in for the module ``time``.

    :param now: seconds.
    """

    now: float = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the sandbox's statuses, which only the test advances."""
    clock = Clock()
    for module in (tasks, trainings, chat):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(scope="session")
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """A sandbox in the dialect of the Training page."""
    with Sandbox(forbidden_key="forbidden-key", data=folder) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def client(sandbox: Sandbox) -> ApiClient:
    return ApiClient(sandbox.url)
