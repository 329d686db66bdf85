"""``make browser``: Debian's Chromium, for the tests that look at Airflow's page."""

from __future__ import annotations

import shutil

from dev import debian

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")


def find_browser() -> str | None:
    """Return the path of a Chromium, ``None`` if there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def main() -> None:
    """Install Chromium where it is missing and can be had; else say so, which is no error: its tests are skipped."""
    if find_browser():
        return
    print(f"installing {', '.join(_PACKAGES)} for the browser tests", flush=True)
    if reason := debian.install(*_PACKAGES):
        print(
            f"NO CHROMIUM: the browser tests will be skipped. Install Debian's package chromium to run them; {reason}",
            flush=True,
        )


if __name__ == "__main__":
    main()
