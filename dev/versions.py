"""Supported versions of Airflow and Python, and the parts of Airflow that older versions lack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version

from packaging.version import parse

AIRFLOW = parse(parse(version("apache-airflow")).base_version)
"""The installed version of Airflow."""


@dataclass(frozen=True)
class Version:
    """Versions of Airflow and Python to test together.

    :param released: a day soon after Airflow's release: newer versions of the other packages are not used.
    :param lowest: whether to use the lower bounds in ``pyproject.toml``.
    """

    airflow: str
    python: str
    released: str | None = None
    lowest: bool = False

    @property
    def name(self) -> str:
        """The name on the command line."""
        return f"{self.airflow}/{self.python}"


SUPPORTED = (
    Version("2.11.0", "3.11", "2025-11-30", lowest=True),
    Version("2.11.2", "3.11", "2026-03-28"),
    Version("3.0.6", "3.11", "2025-09-12"),
    Version("3.1.8", "3.11", "2026-03-25"),
    Version("3.2.2", "3.11", "2026-06-12"),
    Version("3.3.2", "3.11"),
    Version("3.3.2", "3.12"),
    Version("3.3.2", "3.13"),
    Version("3.3.2", "3.14"),
)
DEFAULT = tuple(supported for supported in SUPPORTED if supported.python != "3.14")
"""What ``make matrix`` tests by default: Python 3.14 is not installed on every machine."""


class Part(Enum):
    """A part of Airflow that this package uses if it is available: the first version and what it provides."""

    EXECUTION_TIMEOUT = ("3.0", "the error of an execution_timeout during a deferral names the training")
    STATUS = ("3.1", "the triggerer can push the XCom akkio_status")
    PAGES = ("3.1.1", "the tab and the list of trainings in Airflow's UI")
    FORM_OF_PROVIDER = ("3.2", "the connection form comes from the provider info")
    TASK_STATE_STORE = ("3.3", "a task retry resumes the training or upload of the previous attempt")

    @property
    def is_here(self) -> bool:
        """Whether the installed Airflow has it."""
        return parse(self.value[0]) <= AIRFLOW
