"""Contents and metadata of the wheel and the sdist, built without network access."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_provider_akkio import __version__
from dev.release import PACKAGE, sdist_differences, wheel_differences
from dev.stack import PROJECT

ABOUT = f"{PACKAGE}-{__version__}.dist-info"
MAX_WHEEL_BYTES = 300_000
PROVIDED_BY_WEB_SERVER = {"fastapi", "starlette", "flask-appbuilder", "flask-babel", "wtforms"}
"""Not declared; pyproject.toml says why."""

PROVIDED_BY_DATABASE_CONNECTIONS = {"psycopg", "psycopg2-binary"}
"""Not declared: imported only for a connection that uses the same driver."""


@dataclass(frozen=True)
class Built:
    """The distributions and the files of the package."""

    sdist: Path
    wheel: Path
    sources: frozenset[str]


def build(tree: Path, folder: Path, *kinds: str) -> None:
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", *kinds, "--outdir", folder, tree]
    subprocess.run(command, check=True, capture_output=True, timeout=1800)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    build(PROJECT, folder, "--sdist", "--wheel")
    files = [path for path in (PROJECT / PACKAGE).rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel, frozenset(str(path.relative_to(PROJECT)) for path in files))


def test_wheel_contains_exactly_the_package(built: Built) -> None:
    assert wheel_differences(built.wheel, built.sources) == []
    assert built.wheel.stat().st_size <= MAX_WHEEL_BYTES
    with zipfile.ZipFile(built.wheel) as opened:
        names = set(opened.namelist())
        metadata = message_from_bytes(opened.read(f"{ABOUT}/METADATA"))
        assert f"{PACKAGE}:get_provider_info" in opened.read(f"{ABOUT}/entry_points.txt").decode()
    assert {f"{PACKAGE}/py.typed", f"{ABOUT}/licenses/LICENSE"} <= names
    assert [name for name in names if re.search(r"(^|/)(tests?|test_[^/]*|conftest\.py)(/|$)", name)] == []
    assert metadata["Version"] == __version__
    assert re.findall(r"\]\((?!https?:|#)[^()\s]+\)", str(metadata.get_payload())) == []


def test_wheel_differences_are_reported(built: Built, tmp_path: Path) -> None:
    wheel = tmp_path / built.wheel.name
    wheel.write_bytes(built.wheel.read_bytes())
    with zipfile.ZipFile(wheel, "a") as opened:
        opened.writestr("dev/demo.py", b"")
    missing = f"{PACKAGE}/missing.py"
    assert wheel_differences(wheel, [*built.sources, missing]) == [
        f"{wheel.name} contains dev/demo.py, which is not expected",
        f"{wheel.name} does not contain {missing}",
    ]


def test_sdist_contains_the_tests_and_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
        opened.extractall(tmp_path, filter="data")
    assert {"Makefile", "requirements-dev.txt", "tests/conftest.py", "dev/stack.py"} <= names
    assert sdist_differences(built.sdist, names - {"PKG-INFO"}) == []
    [tree] = tmp_path.iterdir()
    build(tree, tmp_path / "again", "--wheel")
    assert (tmp_path / "again" / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def test_every_imported_distribution_is_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    declared = {canonicalize_name(Requirement(name).name) for name in [*project["dependencies"], *extras]}
    distributions = packages_distributions()
    undeclared = {}
    for path in (PROJECT / PACKAGE).rglob("*.py"):
        for module in imported_modules(path) - {PACKAGE, "airflow", *sys.stdlib_module_names}:
            names = {canonicalize_name(name) for name in distributions.get(module, [module])}
            if not names & (declared | PROVIDED_BY_WEB_SERVER | PROVIDED_BY_DATABASE_CONNECTIONS):
                undeclared[module] = str(path.relative_to(PROJECT))
    assert undeclared == {}


def imported_modules(path: Path) -> set[str]:
    """Return the top-level modules that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.partition(".")[0])
    return modules - {"_typeshed"}
