"""An auth manager with a right that Airflow's own simple one does not have: to some DAGs only."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class LimitedAccess(SimpleAuthManager):
    """Keeps ``otto`` away from all DAGs but those whose id begins with ``others_``."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **of_what: Any) -> bool:
        if user.get_name() == "otto" and details is not None and not str(details.id).startswith("others_"):
            return False
        return super().is_authorized_dag(user=user, details=details, **of_what)
