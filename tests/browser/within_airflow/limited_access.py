"""An auth manager with per-DAG permissions, which Airflow's simple auth manager does not have."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class LimitedAccess(SimpleAuthManager):
    """Denies ``otto`` access to all DAGs except those whose ID starts with ``others_``."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **kwargs: Any) -> bool:
        if user.get_name() == "otto" and details is not None and not str(details.id).startswith("others_"):
            return False
        return super().is_authorized_dag(user=user, details=details, **kwargs)
