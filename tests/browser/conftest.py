"""A real Airflow with logins, and a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Frame, Page, Request, expect, sync_playwright

from dev.airflow_api import AirflowApi
from dev.browser import find_browser
from dev.processes import wait_until
from dev.stack import EXAMPLES, PROJECT, Stack, running_stack

USERS = {"ada": "admin", "vera": "viewer", "otto": "viewer"}
LARGEST_PICTURE = 200 * 1024
PATIENCE = 60_000
# What Airflow 3.3.2 itself does wrong: it refuses to test a connection without a port.
AIRFLOWS_OWN_ERRORS = ("/api/v2/connections/test",)
_HERE = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if find_browser() is None:
        terminalreporter.section("NO CHROMIUM: THE BROWSER TESTS WERE SKIPPED", red=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without one, tests are skipped, but never where ``CI`` is set."""
    path = find_browser()
    if path is None:
        message = "NO CHROMIUM: install Debian's package chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="package")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each process of Airflow notes which modules of the provider it imports."""
    return tmp_path_factory.mktemp("imports") / "noted"


@pytest.fixture(scope="package")
def stack(browser: Browser, imports: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Airflow with the example DAGs and those of this folder, three users, and trainings of a third of a minute."""
    dags = tmp_path_factory.mktemp("dags")
    for folder in (EXAMPLES, _HERE / "dags"):
        shutil.copytree(folder, dags, dirs_exist_ok=True)
    settings = {
        "AIRFLOW__CORE__AUTH_MANAGER": "limited_access.LimitedAccess",
        "AKKIO_TESTS_IMPORTS": str(imports),
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{_HERE / 'within_airflow'}",
    }
    with running_stack(dags=dags, pace=20.0, users=USERS, settings=settings) as running:
        yield running


@dataclass
class Run:
    """A run of a DAG that trains.

    :param api: Airflow, as its administrator sees it.
    :param dag_id: the DAG's id.
    :param run_id: the run's id.
    """

    api: AirflowApi
    dag_id: str
    run_id: str

    @classmethod
    def begin(cls, api: AirflowApi, dag_id: str = "akkio_train", **params: Any) -> Self:
        """Start a run."""
        return cls(api, dag_id, api.trigger(dag_id, conf=params))

    def end(self, expected: str = "success") -> None:
        """Wait until it has ended."""
        assert self.api.follow(self.dag_id, self.run_id) == expected

    def tab(self, task_id: str = "train") -> str:
        """Return where the tab of a task is, from Airflow's root on."""
        return f"dags/{self.dag_id}/runs/{self.run_id}/tasks/{task_id}/plugin/akkio"

    def page(self, task_id: str = "train") -> str:
        """Return where the page in the tab of a task is."""
        return f"akkio/dags/{self.dag_id}/runs/{self.run_id}/tasks/{task_id}?map_index={{MAP_INDEX}}"

    def xcoms(self, task_id: str = "train") -> dict[str, Any]:
        """Return what a task has left."""
        return self.api.xcoms(self.dag_id, self.run_id, task_id)

    def wait_until_told(self, status: str, task_id: str = "train") -> None:
        """Wait until a task that waits in the triggerer has told a status of its training."""

        def is_told() -> bool:
            states = {task.task_id: task.state for task in self.api.tasks(self.dag_id, self.run_id)}
            told = self.xcoms(task_id).get("akkio_status", {}) if states.get(task_id) == "deferred" else {}
            return bool(told.get("status") == status)

        wait_until(is_told, f"a deferred task of which Akkio says {status}", 60)


@pytest.fixture(scope="package")
def finished_run(stack: Stack) -> Run:
    """A run that has ended well, after two others that could look at less, and so are worse."""
    can_look_at_less = (["Webinars Attended", "Whitepapers Downloaded"], ["Webinars Attended"], [])
    runs = [Run.begin(stack.api, "retrain_leads", ignore=ignored) for ignored in can_look_at_less]
    for run in runs:
        run.end()
    return runs[-1]


@pytest.fixture(scope="package")
def failed_run(stack: Stack) -> Run:
    """A run that Akkio has failed."""
    run = Run.begin(stack.api, "retrain_leads", predict="no such field")
    run.end("failed")
    return run


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of Airflow for a user who has logged in by the form."""
    contexts = []
    errors: list[str] = []
    elsewhere: list[str] = []

    def note(message: ConsoleMessage) -> None:
        url = message.location["url"]
        if message.type == "error" and not url.endswith(AIRFLOWS_OWN_ERRORS):
            errors.append(f"{message.text} ({url})")

    def watch(request: Request) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            elsewhere.append(request.url)

    def open_for(
        user: str, path: str, *, dark: bool = False, width: int = 1280, height: int = 900, site: str = stack.api.url
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        # Airflow's colour switch keeps its choice under this name.
        context.add_init_script(f"localStorage.setItem('theme', '{'dark' if dark else 'light'}')")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", note)
        page.on("request", watch)
        page.goto(f"{site}/auth/login")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{site}/{path}")
        return page

    yield open_for
    for context in contexts:
        context.close()
    assert errors == []
    assert elsewhere == []


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Return a function that takes a picture, in place of the one of that name where ``--screenshots`` says."""
    folder = request.config.getoption("--screenshots")

    def take(page: Page, name: str) -> None:
        page.mouse.move(0, 0)
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < LARGEST_PICTURE
        if folder is not None and (kept := folder / path.name).exists():
            shutil.copyfile(path, kept)

    return take


def frame_of(page: Page) -> Frame:
    """Return the frame of our page within Airflow's, once it is there, or the page itself, if it is ours."""
    if "/akkio/dags/" in page.url and "/plugin/" not in page.url:
        return page.main_frame
    page.frame_locator("iframe").locator("h1").wait_for()
    [frame] = [frame for frame in page.frames[1:] if "/akkio/" in frame.url]
    return frame


def violations(frame: Frame) -> list[str]:
    """Return what axe-core finds serious or critical."""
    found = Axe().run(frame).response["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
