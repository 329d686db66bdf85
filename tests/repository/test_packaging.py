"""What is built of this project, without the network; ``make release`` does more, and installs it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_akkio import __version__
from dev.distributions import MOST_WHEEL_BYTES, PACKAGE, sdist_faults, version_of, wheel_faults
from dev.stack import PROJECT
from tests.documentation.blocks import CONTRIBUTING, block

ABOUT = f"{PACKAGE}-{__version__}.dist-info"


@dataclass(frozen=True)
class Built:
    """What was built, and of what."""

    sdist: Path
    wheel: Path
    sources: frozenset[str]


def build(tree: Path, folder: Path, *kinds: str) -> None:
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", *kinds, "--outdir", folder, tree]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist and a wheel of the project as it is."""
    folder = tmp_path_factory.mktemp("built")
    build(PROJECT, folder, "--sdist", "--wheel")
    files = [path for path in (PROJECT / PACKAGE).rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel, frozenset(str(path.relative_to(PROJECT)) for path in files))


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Path:
    """A copy of the wheel, to be spoiled."""
    path = tmp_path / built.wheel.name
    path.write_bytes(built.wheel.read_bytes())
    return path


def add(wheel: Path, name: str, content: bytes = b"") -> None:
    with zipfile.ZipFile(wheel, "a") as opened:
        opened.writestr(name, content)


def without(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as opened:
        kept = {one: opened.read(one) for one in opened.namelist() if one != name}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as opened:
        for one, content in kept.items():
            opened.writestr(one, content)


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    assert wheel_faults(built.wheel, built.sources) == []
    assert version_of(built.wheel).public == __version__


@pytest.mark.parametrize(
    "name", ["tests/test_x.py", "dev/demo.py", "benchmarks/x.py", f"{PACKAGE}/__pycache__/x.cpython-311.pyc"]
)
def test_a_wheel_that_holds_anything_else_is_refused(built: Built, copy: Path, name: str) -> None:
    add(copy, name)
    assert f"The wheel holds {name}, which is not part of the project." in wheel_faults(copy, built.sources)


@pytest.mark.parametrize("name", ["tests/x.py", "test_x.py", "x_test.py", "conftest.py"])
def test_a_test_is_refused_inside_the_package_too(built: Built, copy: Path, name: str) -> None:
    path = f"{PACKAGE}/{name}"
    add(copy, path)
    assert wheel_faults(copy, [*built.sources, path]) == [f"The wheel holds a test: {path}."]


@pytest.mark.parametrize("name", [f"{PACKAGE}/report/static/akkio.css", f"{PACKAGE}/report/templates/base.html"])
def test_a_wheel_that_lacks_a_file_of_the_package_is_refused(built: Built, copy: Path, name: str) -> None:
    without(copy, name)
    assert wheel_faults(copy, built.sources) == [f"The wheel lacks {name}."]


@pytest.mark.parametrize("name", [f"{PACKAGE}/py.typed", f"{ABOUT}/licenses/LICENSE", f"{ABOUT}/entry_points.txt"])
def test_a_wheel_that_lacks_what_others_look_for_is_refused(built: Built, copy: Path, name: str) -> None:
    without(copy, name)
    assert wheel_faults(copy, built.sources - {name}) == [f"The wheel lacks {name}."]


def test_a_description_that_links_a_file_is_refused(built: Built, copy: Path) -> None:
    without(copy, f"{ABOUT}/METADATA")
    add(copy, f"{ABOUT}/METADATA", b"Name: x\n\n[a](https://x.example) [b](#there) [c](docs/x.md)")
    assert wheel_faults(copy, built.sources) == ["The wheel's description has a link to a file: ](docs/x.md)."]


def test_a_wheel_that_is_too_large_is_refused(built: Built, copy: Path) -> None:
    path = f"{PACKAGE}/rows.bin"
    add(copy, path, bytes(MOST_WHEEL_BYTES))
    [fault] = wheel_faults(copy, [*built.sources, path])
    assert re.fullmatch(rf"The wheel has [\d,]+ bytes, more than {MOST_WHEEL_BYTES:,}\.", fault)


def test_the_size_of_the_wheel_is_the_one_that_is_stated(built: Built) -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    stated = re.search(r"at most ([\d.]+) MB \(it has about ([\d.]+) MB", text)
    assert stated is not None
    assert stated.groups() == tuple(f"{size / 1e6:.1f}" for size in (MOST_WHEEL_BYTES, built.wheel.stat().st_size))


def test_the_sdist_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()
    build(tree, tmp_path / "again", "--wheel")
    assert (tmp_path / "again" / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def test_the_sdist_holds_what_the_tests_need(built: Built) -> None:
    needed = {"CONTRIBUTING.md", "Makefile", "requirements-dev.txt", "tests/conftest.py", "dev/stack.py", "docs/images"}
    with tarfile.open(built.sdist) as opened:
        held = "\n".join(opened.getnames())
    assert [name for name in needed if f"/{name}" not in held] == []


def test_an_sdist_that_holds_more_or_less_than_the_project_is_refused(built: Built) -> None:
    with tarfile.open(built.sdist) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()} - {"PKG-INFO"}
    assert sdist_faults(built.sdist, held) == []
    assert sdist_faults(built.sdist, held - {"README.md"} | {"NOTES.md"}) == [
        "The sdist holds README.md, which is not part of the project.",
        "The sdist lacks NOTES.md.",
    ]


def test_the_version_stands_in_one_place() -> None:
    version = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?![\d.])")
    folders = [PACKAGE, "benchmarks", "example_dags", "dev", "docs", "tests"]
    paths = [path for folder in folders for path in (PROJECT / folder).rglob("*.*")]
    paths += [path for path in PROJECT.iterdir() if path.name not in ("CHANGELOG.md", "requirements-dev.txt")]
    texts = [path for path in paths if path.suffix in (".css", ".html", ".md", ".py", ".toml", ".yaml", "")]
    found = [path for path in texts if path.is_file() and version.search(path.read_text(encoding="utf-8"))]
    assert found == [PROJECT / PACKAGE / "__init__.py"]


@pytest.mark.parametrize(
    "beginning", ["pip install airflow-provider-akkio", "pip install 'airflow-provider-akkio[sandbox]'"]
)
def test_what_is_installed_is_found_by_airflow(beginning: str, tmp_path: Path) -> None:
    [pip, install, requirement] = shlex.split(block(beginning))
    assert (pip, install) == ("pip", "install")
    checkout = requirement.replace("airflow-provider-akkio", str(PROJECT))
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", tmp_path, checkout],
        check=True,
        timeout=120,
    )
    [metadata] = tmp_path.glob("airflow_provider_akkio-*.dist-info")
    assert "airflow_provider_akkio:get_provider_info" in (metadata / "entry_points.txt").read_text()
    assert "Provides-Extra: sandbox" in (metadata / "METADATA").read_text()
    assert (tmp_path / "airflow_provider_akkio" / "py.typed").exists()
