"""The name of a container, where several share a machine."""

from __future__ import annotations

import os

VARIABLE = "STACK_HOSTNAME"


def own_hostname() -> str:
    """Return the name that this process goes by; for ``[core] hostname_callable``."""
    return os.environ[VARIABLE]
