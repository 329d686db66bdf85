"""How a person ends the programs of ``dev``."""

from __future__ import annotations

import signal

import pytest

from dev.processes import ENDINGS
from dev.terminal import interruptible


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_signal_ends_what_runs_inside_once_it_has_cleaned_up(
    ending: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in ENDINGS]
    cleaned_up = []

    def work() -> None:
        try:
            signal.raise_signal(ending)
        finally:
            signal.raise_signal(ending)
            cleaned_up.append("in spite of a second signal")

    with pytest.raises(SystemExit) as ended, interruptible(status=7):
        work()
    assert ended.value.code == 7
    assert cleaned_up
    assert capsys.readouterr().out.split("\n") == [
        "",
        "stopping everything",
        "interrupted; everything that was started has been ended",
        "",
    ]
    assert [signal.getsignal(number) for number in ENDINGS] == before


def test_what_is_not_disturbed_leaves_the_signals_as_they_were() -> None:
    before = [signal.getsignal(number) for number in ENDINGS]
    with interruptible(status=7):
        assert [signal.getsignal(number) for number in ENDINGS] != before
    assert [signal.getsignal(number) for number in ENDINGS] == before
