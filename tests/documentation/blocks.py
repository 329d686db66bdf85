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


def missing_files(path: Path) -> list[str]:
    """Return the files that a page links and that are not there."""
    links = [part.partition(")")[0] for part in path.read_text(encoding="utf-8").split("](")[1:]]
    files = [link.partition("#")[0] for link in links if "://" not in link]
    return [file for file in files if not (path.parent / file).exists()]


def table_column(heading: str, column: int) -> list[str]:
    """Return a column of the first table of the README below a heading, without its backquotes.

    :param heading: the heading's text.
    :param column: which column, from 0.
    """
    below = README.read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    lines = below[below.index("\n|") + 1 :].splitlines()
    rows = [line.strip("|").split("|") for line in lines[: next(n for n, line in enumerate(lines) if line[:1] != "|")]]
    return [row[column].strip().strip("`") for row in rows[2:]]
