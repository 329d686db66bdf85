"""Python imports this when a program starts that has this folder in its path: each logger then logs at DEBUG.

Airflow's ``[logging] logging_level`` does so for most. To those of httpx and SQLAlchemy's engine, Airflow gives a level
for which there is no setting.
"""

import logging.config
from typing import Any

_configure = logging.config.dictConfig


def _configure_at_debug(config: dict[str, Any]) -> None:
    for logger in config.get("loggers", {}).values():
        logger["level"] = "DEBUG"
    _configure(config)


logging.config.dictConfig = _configure_at_debug
