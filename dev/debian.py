"""Install Debian packages: the few programs that are not on PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess


def install_packages(*packages: str) -> str | None:
    """Install Debian packages; return why that failed, or ``None``."""
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        return "apt-get and root are required"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
        done = subprocess.run([apt_get, *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"apt-get failed:\n{done.stdout}{done.stderr}"
    return None
