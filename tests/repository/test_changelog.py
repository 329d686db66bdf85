"""``CHANGELOG.md`` has the form of Keep a Changelog, and what has not is refused with its line."""

from __future__ import annotations

import pytest
from packaging.version import Version

from airflow_provider_akkio import __version__
from dev.changelog import CHANGELOG, read_changelog

UNRELEASED = "# Changelog\n\n## [Unreleased]\n"
ADDED = "\n### Added\n\n- A thing.\n"


def test_the_changelog_has_the_form() -> None:
    unreleased, *releases = read_changelog(CHANGELOG.read_text(encoding="utf-8"))
    assert unreleased.version is None
    assert [one for one in releases if one.version and one.version > Version(__version__)] == []


def test_a_release_has_its_version_its_day_and_its_changes() -> None:
    text = f"{UNRELEASED}\n## [1.10.0] - 2026-12-31\n{ADDED}\n## [1.9.0] - 2026-12-31\n{ADDED}  More.\n- Another.\n"
    _, newer, older = read_changelog(text)
    assert (str(newer.version), str(newer.day)) == ("1.10.0", "2026-12-31")
    assert older.changes == {"Added": ["A thing.", "Another."]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Changelog\n", r"has no section \[Unreleased\]"),
        (f"## [1.0.0] - 2026-12-31\n{ADDED}", r"line 1: \[Unreleased\] stands once, above all"),
        (f"{UNRELEASED}\n## [1.0.0] - 2026-12-31\n{ADDED}\n{UNRELEASED}", r"line 13: \[Unreleased\] stands once"),
        (f"{UNRELEASED}\n## 1.0.0 - 2026-12-31\n{ADDED}", "line 5: '## 1.0.0 - 2026-12-31' is neither"),
        (f"{UNRELEASED}\n## [1.0.0]\n{ADDED}", "line 5: .* is neither"),
        (f"{UNRELEASED}\n## [1.0.0] - 2026-02-30\n{ADDED}", "line 5: day "),
        (f"{UNRELEASED}\n## [1.0.0] - 2026-12-31\n", "tells no change of 1.0.0"),
        (f"{UNRELEASED}\n### Added\n", "tells no change of Unreleased Added"),
        (f"{UNRELEASED}\n### Improved\n", "line 5: 'Improved' is none of Added, Changed, "),
        (f"{UNRELEASED}{ADDED}{ADDED}", "line 9: 'Added' stands once"),
        ("### Added\n", "line 1: 'Added' stands once below each version"),
        (f"{UNRELEASED}\n- A thing.\n", "line 5: an entry stands below one of"),
        (
            f"{UNRELEASED}\n## [1.9.0] - 2026-12-31\n{ADDED}\n## [1.10.0] - 2026-12-30\n{ADDED}",
            "1.10.0 is not older than 1.9.0",
        ),
        (
            f"{UNRELEASED}\n## [1.1.0] - 2026-12-30\n{ADDED}\n## [1.0.0] - 2026-12-31\n{ADDED}",
            "1.0.0 is not older than 1.1.0",
        ),
    ],
)
def test_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_changelog(text)
