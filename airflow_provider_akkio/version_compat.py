"""Flags for the Airflow version that is installed.

Airflow asks each provider to keep its own copy of this module instead of importing another provider's.
"""

from __future__ import annotations

from airflow import __version__
from packaging.version import Version

_AIRFLOW = Version(Version(__version__).base_version)

AIRFLOW_V_3_0_PLUS = Version("3.0.0") <= _AIRFLOW
AIRFLOW_V_3_1_PLUS = Version("3.1.0") <= _AIRFLOW
AIRFLOW_V_3_1_1_PLUS = Version("3.1.1") <= _AIRFLOW
