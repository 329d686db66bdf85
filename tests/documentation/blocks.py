"""The code blocks of the README and the other pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dev.stack import PROJECT

README = PROJECT / "README.md"
RELIABILITY = PROJECT / "docs" / "reliability.md"
PERFORMANCE = PROJECT / "docs" / "performance.md"
CONTRIBUTING = PROJECT / "CONTRIBUTING.md"
OPERATIONS = PROJECT / "docs" / "operations.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param language: what stands behind the fence.
    :param text: what stands in it.
    """

    language: str
    text: str


def blocks(path: Path = README) -> list[Block]:
    """Return the fenced blocks of a Markdown file, in order."""
    return [Block(*found.groups()) for found in _BLOCK.finditer(path.read_text(encoding="utf-8"))]


def block(beginning: str, path: Path = README) -> str:
    """Return the one block of a page that begins so."""
    [found] = [one.text for one in blocks(path) if one.text.startswith(beginning)]
    return found


def table_column(heading: str, column: int) -> list[str]:
    """Return a column of the first table of the README below a heading, without its backquotes.

    :param heading: the heading's text.
    :param column: which column, from 0.
    """
    below = README.read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    lines = below[below.index("\n|") + 1 :].splitlines()
    rows = [line.strip("|").split("|") for line in lines[: next(n for n, line in enumerate(lines) if line[:1] != "|")]]
    return [row[column].strip().strip("`") for row in rows[2:]]


def broken_links(path: Path) -> list[str]:
    """Return the links of a page to files and headings of this project that are not there."""
    targets = [part.partition(")")[0] for part in path.read_text(encoding="utf-8").split("](")[1:]]
    return [target for target in targets if "://" not in target and not _leads_somewhere(path, target)]


def _leads_somewhere(path: Path, target: str) -> bool:
    file, _, heading = target.partition("#")
    page = path.parent / file if file else path
    if not heading:
        return page.exists()
    lines = [line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    return heading in [line.lower().replace(" ", "-").replace("`", "").replace("'", "") for line in lines]
