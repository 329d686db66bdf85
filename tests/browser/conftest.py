"""A real Airflow with logins, and a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Frame, Page, expect, sync_playwright

from dev.airflow_api import AirflowApi
from dev.browser import find_browser
from dev.processes import wait_until
from dev.stack import PROJECT, Stack, running_stack

USERS = {"ada": "admin", "vera": "viewer", "otto": "viewer"}
LARGEST_PICTURE = 200 * 1024
PATIENCE = 60_000
# What Airflow 3.3.2 itself does wrong: it refuses to test a connection without a port.
AIRFLOWS_OWN_ERRORS = ("/api/v2/connections/test",)
_ACCESS = Path(__file__).parent / "access"


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
def stack(browser: Browser) -> Iterator[Stack]:
    """Airflow with the example DAGs, three users, and a sandbox whose trainings take a quarter of a minute."""
    settings = {
        "AIRFLOW__CORE__AUTH_MANAGER": "limited_access.LimitedAccess",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{_ACCESS}",
    }
    with running_stack(pace=15.0, users=USERS, settings=settings) as running:
        yield running


@dataclass
class Run:
    """A run of the example DAG that trains one model.

    :param api: Airflow, as its administrator sees it.
    :param run_id: the run's id.
    """

    api: AirflowApi
    run_id: str

    @property
    def tab(self) -> str:
        """Where its tab is, from Airflow's root on."""
        return f"dags/akkio_train/runs/{self.run_id}/tasks/train/plugin/akkio"

    def page(self, task_id: str = "train") -> str:
        """Return where the page in the tab of a task is."""
        return f"akkio/dags/akkio_train/runs/{self.run_id}/tasks/{task_id}?map_index={{MAP_INDEX}}"

    def wait_until_deferred(self) -> None:
        """Wait until the training goes on at Akkio."""

        def is_deferred() -> bool:
            return any(task.state == "deferred" for task in self.api.tasks("akkio_train", self.run_id))

        wait_until(is_deferred, "a deferred task", 60)


@pytest.fixture
def new_run(stack: Stack) -> Run:
    """A run that has just begun."""
    return Run(stack.api, stack.api.trigger("akkio_train"))


@pytest.fixture(scope="package")
def finished_run(stack: Stack) -> Run:
    """A run that has ended, after another one."""
    for _ in range(2):
        run = Run(stack.api, stack.api.trigger("akkio_train"))
        assert stack.api.follow("akkio_train", run.run_id) == "success"
    return run


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of Airflow for a user who has logged in by the form."""
    contexts = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        url = message.location["url"]
        if message.type == "error" and not url.endswith(AIRFLOWS_OWN_ERRORS):
            errors.append(f"{message.text} ({url})")

    def open_for(user: str, path: str, *, dark: bool = False, width: int = 1280, height: int = 900) -> Page:
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
        page.goto(f"{stack.api.url}/auth/login")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{stack.api.url}/{path}")
        return page

    yield open_for
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Return a function that takes a picture, and keeps it where ``--screenshots`` says."""
    folder = request.config.getoption("--screenshots") or tmp_path

    def take(page: Page, name: str) -> None:
        page.mouse.move(0, 0)
        path = folder / f"{name}.png"
        page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < LARGEST_PICTURE

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
