"""What ``CONTRIBUTING.md`` says is so: its commands, its picture, and the code that it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import grimp
import pytest

import airflow_provider_akkio
from airflow_provider_akkio import __version__
from dev.release import UPLOAD
from dev.stack import PROJECT
from tests.documentation.blocks import CONTRIBUTING, OPERATIONS, block, blocks, broken_links

TEXT = CONTRIBUTING.read_text(encoding="utf-8")
CLONE, DELETING, RELEASE = "git clone", ".venv/bin/python -m pytest -k delete", "make release"
SNIPPETS = re.findall(r"\]\(([\w/]+\.py)\)(?:(?!\]\().)*?^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PACKAGE = airflow_provider_akkio.__name__


def collected(command: str) -> list[str]:
    """Return the tests that a command of the page would run."""
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/python"
    line = [sys.executable, *arguments, "--collect-only", "--quiet"]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [name for name in done.stdout.splitlines() if "::" in name]


def targets() -> dict[str, str]:
    make = shutil.which("make")
    assert make
    shown = subprocess.run([make, "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^(make \S+) +(.+)$", shown, re.MULTILINE))


def test_every_block_is_looked_at_here() -> None:
    code = blocks(CONTRIBUTING)
    commands = [one.text for one in code if one.language == "bash"]
    assert [text.startswith(start) for text, start in zip(commands, (CLONE, DELETING, RELEASE), strict=True)] == [
        True,
        True,
        True,
    ]
    assert [one.text for one in code if one.language == "python"] == [text for _, text in SNIPPETS]
    assert {one.language for one in code} == {"bash", "python", "mermaid"}


def test_three_commands_lead_from_a_clone_to_passing_tests() -> None:
    clone, install, tests = block(CLONE, CONTRIBUTING).splitlines()
    assert re.fullmatch(r'git clone "\$REPOSITORY" (\w+) && cd \1', clone)
    assert install in targets()
    assert len(collected(tests)) > 100


def test_the_table_of_commands_is_what_make_shows() -> None:
    described = re.findall(r"^\| `(make \S+)` \| (.+) \| .+ \|$", TEXT, re.MULTILINE)
    assert dict(described) == targets()
    assert len(described) == len(targets())


def test_make_stack_takes_as_long_as_its_phases() -> None:
    phases = OPERATIONS.read_text(encoding="utf-8").partition("| phase ")[2].partition("\n\n")[0]
    seconds = [int(one) for one in re.findall(r"\| (\d+) s +\|$", phases, re.MULTILINE)]
    assert len(seconds) == 4
    minutes, rest = divmod(sum(seconds), 60)
    assert re.search(rf"^\| `make stack` \| .* \| {minutes} min {rest} s \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("path", "snippet"), SNIPPETS, ids=[path for path, _ in SNIPPETS])
def test_each_snippet_stands_in_the_code(path: str, snippet: str) -> None:
    source = (PROJECT / path).read_text(encoding="utf-8")
    assert any(f"\n{indent(snippet, ' ' * level)}" in source for level in (0, 4, 8)), (
        f"{path} no longer has:\n{snippet}"
    )


def test_the_tests_of_the_example_are_in_all_its_parts() -> None:
    names = collected(block(DELETING, CONTRIBUTING))
    assert {name.partition("::")[0] for name in names} >= {
        "tests/api/test_models.py",
        "tests/hooks/test_akkio.py",
        "tests/sandbox/test_legacy.py",
        "tests/operators/test_delete.py",
    }


def test_a_release_is_made_by_programs_that_are_there() -> None:
    trial, tag, release, upload, push = block(RELEASE, CONTRIBUTING).rstrip().split(" &&\n")
    found = re.fullmatch(r'git tag "v\$\(\.venv/bin/(\w+) (\w+)\)"', tag)
    assert found is not None
    line = [sys.executable, "-m", *found.groups()]
    said = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.strip() == __version__
    assert trial == release
    assert release in targets()
    assert upload == UPLOAD
    assert push == "git push origin HEAD --tags"


def test_the_files_that_it_links_are_there() -> None:
    assert broken_links(CONTRIBUTING) == []


@dataclass(frozen=True)
class Picture:
    """The picture of the parts.

    :param boxes: the modules of each box, by the box's name.
    :param imports: the arrows from box to box.
    """

    boxes: dict[str, frozenset[str]]
    imports: list[tuple[str, str]]

    @classmethod
    def read(cls, text: str) -> Picture:
        boxes = {
            name: frozenset(label.split("<br>"))
            for name, label in re.findall(r'^ +(\w+)\["(.+)"\]$', text, re.MULTILINE)
        }
        return cls(boxes, re.findall(r"^ +(\w+) --> (\w+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.read(block("flowchart", CONTRIBUTING))


@pytest.fixture(scope="module")
def layers() -> list[frozenset[str]]:
    """The layers that ``make check`` enforces, the topmost first."""
    configured: Any = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [one for one in configured["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return [frozenset(re.findall(rf"{PACKAGE}\.(\w+)", layer)) for layer in contract["layers"]]


def test_each_box_of_the_picture_is_a_layer_or_the_sandbox(picture: Picture, layers: list[frozenset[str]]) -> None:
    assert set(picture.boxes.values()) == {*layers, frozenset({"sandbox"})}
    assert [name for name, modules in picture.boxes.items() if name not in modules] == []


def test_each_arrow_of_the_picture_is_an_import(picture: Picture) -> None:
    graph = grimp.build_graph(PACKAGE)

    def modules(box: str) -> set[str]:
        parts = {f"{PACKAGE}.{name}" for name in picture.boxes[box]}
        return parts.union(*(graph.find_descendants(part) for part in parts))

    def imports(upper: str, lower: str) -> bool:
        return any(modules(lower) & graph.find_modules_directly_imported_by(module) for module in modules(upper))

    assert [arrow for arrow in picture.imports if not imports(*arrow)] == []


def test_each_box_has_an_arrow_and_all_point_downwards(picture: Picture, layers: list[frozenset[str]]) -> None:
    assert {name for arrow in picture.imports for name in arrow} == set(picture.boxes)
    height = {modules: -number for number, modules in enumerate(layers)} | {frozenset({"sandbox"}): 0}
    pairs = [(picture.boxes[upper], picture.boxes[lower]) for upper, lower in picture.imports]
    assert [pair for pair in pairs if height[pair[0]] <= height[pair[1]]] == []


def test_every_dotted_arrow_has_two_ends() -> None:
    text = block("flowchart", CONTRIBUTING)
    drawn = set(re.findall(r"^ +(\w+)[\[(]", text, re.MULTILINE))
    assert {name for arrow in re.findall(r"^ +(\w+) -\.-> (\w+)$", text, re.MULTILINE) for name in arrow} <= drawn
