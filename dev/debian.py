"""Debian's packages, for the few programs that PyPI does not have."""

from __future__ import annotations

import os
import shutil
import subprocess


def install(*packages: str) -> str | None:
    """Install packages, and return why they cannot be had, ``None`` if they were installed.

    :param packages: their names.
    """
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        return "apt-get and root are needed for that"
    for command in ((apt_get, "update"), (apt_get, "install", "--yes", "--no-install-recommends", *packages)):
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            return f"apt-get says:\n{done.stdout}{done.stderr}"
    return None
