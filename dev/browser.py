"""``make browser``: Debian's Chromium, for the tests that look at Airflow's page."""

from __future__ import annotations

import os
import shutil
import subprocess

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")


def find_browser() -> str | None:
    """Return the path of a Chromium, ``None`` if there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def main() -> None:
    """Install Chromium where it is missing and can be had; else say so, which is no error: its tests are skipped."""
    if find_browser():
        return
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        print(
            "NO CHROMIUM: the browser tests will be skipped. Install Debian's package chromium to run them.", flush=True
        )
        return
    print(f"installing {', '.join(_PACKAGES)} for the browser tests", flush=True)
    install = (apt_get, "install", "--yes", "--no-install-recommends", *_PACKAGES)
    for command in ((apt_get, "update"), install):
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(
                f"NO CHROMIUM: the browser tests will be skipped; apt-get says:\n{done.stdout}{done.stderr}", flush=True
            )
            return


if __name__ == "__main__":
    main()
