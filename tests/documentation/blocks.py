"""Read code blocks and links from the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dev.stack import PROJECT

PAGES = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    page: Path
    language: str
    text: str

    @property
    def name(self) -> str:
        """The page and the beginning of the block, for the ID of a test."""
        dag = re.search(r'DAG\(\s*"(\w+)"', self.text)
        return f"{self.page.stem} {dag[1] if dag else self.text.splitlines()[0][:40]}"


def code_blocks(language: str, beginning: str = "") -> list[Block]:
    """Return the code blocks of all pages in a language that start with a text."""
    found = [Block(page, *match.groups()) for page in PAGES for match in _BLOCK.finditer(page.read_text("utf-8"))]
    return [block for block in found if block.language == language and block.text.startswith(beginning)]


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page whose file or heading does not exist."""
    links = [link for link in _LINK.findall(page.read_text("utf-8")) if "://" not in link]
    return [link for link in links if not _exists(page, *link.partition("#")[::2])]


def _exists(page: Path, file: str, heading: str) -> bool:
    target = page.parent / file if file else page
    if not heading:
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
    return heading in [re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings]
