"""Set every logger to DEBUG. Python imports this module at startup if its folder is in ``PYTHONPATH``.

``[logging] logging_level`` does this for most loggers. Airflow sets fixed levels for httpx and SQLAlchemy's engine.
"""

import logging.config
from typing import Any

_configure = logging.config.dictConfig


def _configure_at_debug(config: dict[str, Any]) -> None:
    for logger in config.get("loggers", {}).values():
        logger["level"] = "DEBUG"
    _configure(config)


logging.config.dictConfig = _configure_at_debug
