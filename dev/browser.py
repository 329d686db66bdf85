"""``make browser``: install Chromium for the browser tests."""

from __future__ import annotations

import shutil

from dev.debian import install_packages

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")


def find_browser() -> str | None:
    """Return the path of Chromium if it is installed."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def main() -> None:
    """Install Chromium if it is missing; a failure is not an error, because the browser tests are then skipped."""
    if find_browser():
        return
    print(f"installing {', '.join(_PACKAGES)} for the browser tests", flush=True)
    if reason := install_packages(*_PACKAGES):
        print(
            f"CHROMIUM IS MISSING: the browser tests will be skipped. Install Debian's chromium. {reason}", flush=True
        )


if __name__ == "__main__":
    main()
