"""``make programs``: install the Debian programs that some tests require: Chromium, and Node with npm."""

from __future__ import annotations

import shutil

from dev.debian import install_packages

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")
_NODE_PACKAGES = ("nodejs", "npm")


def find_browser() -> str | None:
    """Return the path of Chromium if it is installed."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def has_node() -> bool:
    """Return whether Node and npm are installed."""
    return all(map(shutil.which, ("node", "npm")))


def main() -> None:
    """Install missing programs; a failure is not an error, because the tests that require them are then skipped."""
    missing = (*(() if find_browser() else _BROWSER_PACKAGES), *(() if has_node() else _NODE_PACKAGES))
    if not missing:
        return
    print(f"installing {', '.join(missing)} for the tests", flush=True)
    if reason := install_packages(*missing):
        print(f"PROGRAMS ARE MISSING: some tests will be skipped. Install {', '.join(missing)}. {reason}", flush=True)


if __name__ == "__main__":
    main()
