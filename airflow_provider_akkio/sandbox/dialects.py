"""Where Akkio's two descriptions of a training disagree, and what the sandbox says in each."""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_akkio.api.types import TrainingStatus


class Dialect(StrEnum):
    """The description that the sandbox keeps to: Akkio's Training page, or its OpenAPI document."""

    PAGE = "page"
    OPENAPI = "openapi"

    @property
    def waiting_status(self) -> TrainingStatus:
        """What a training is called that has not begun."""
        return TrainingStatus.SUBMITTED if self is Dialect.PAGE else TrainingStatus.PENDING

    def location(self, task_id: str) -> str:
        """Return where the result lies: relative to the site on the page, else relative to the API's root."""
        below_the_root = f"/models/train/{task_id}/result"
        return f"/api/v1{below_the_root}" if self is Dialect.PAGE else below_the_root
