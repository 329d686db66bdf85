"""Host names for several containers' programs on one machine."""

from __future__ import annotations

import os

VARIABLE = "STACK_HOSTNAME"


def own_hostname() -> str:
    """Return the host name of this process, for Airflow's ``[core] hostname_callable``."""
    return os.environ[VARIABLE]
