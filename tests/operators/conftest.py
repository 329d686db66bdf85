"""A fixture of the operators that train."""

from __future__ import annotations

import pytest

from airflow_provider_akkio.operators import _base


@pytest.fixture
def short_result_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a task fetch a result for fractions of a second where it would do so for minutes."""
    monkeypatch.setattr(_base, "RESULT_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(_base, "MAX_RETRY_SECONDS", 1.5)
    monkeypatch.setattr(_base, "_result_retry_delay", lambda _: 0.2)
