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

from airflow_provider_akkio.sandbox import Sandbox
from dev.airflow_api import AirflowApi
from dev.processes import wait_until
from dev.programs import find_browser
from dev.stack import EXAMPLES, PROJECT, SANDBOX_KEY, Stack, running_stack
from tests.browser.gate import Gate

USERS = {"ada": "admin", "vera": "viewer", "otto": "viewer"}
MAX_SCREENSHOT_BYTES = 200 * 1024
TIMEOUT_SECONDS = 300.0
"""Limit of every wait. A machine that runs the matrix at the same time may need minutes for a task."""

_HERE = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if find_browser() is None:
        terminalreporter.section("NO CHROMIUM: THE BROWSER TESTS WERE SKIPPED", red=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it, the tests are skipped, or fail if ``CI`` is set."""
    path = find_browser()
    if path is None:
        message = "NO CHROMIUM: install Debian's package chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    expect.set_options(timeout=1000 * TIMEOUT_SECONDS)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="package")
def import_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File to which each Airflow process writes the modules of the provider that it imports."""
    return tmp_path_factory.mktemp("imports") / "modules"


@pytest.fixture(scope="package")
def gate(browser: Browser) -> Iterator[Gate]:
    """The gate between Airflow and a sandbox."""
    with Sandbox(key=SANDBOX_KEY) as sandbox, Gate(sandbox.url) as gate:
        yield gate


@pytest.fixture(scope="package")
def stack(browser: Browser, gate: Gate, import_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Airflow with the example DAGs and those of this folder, three users, and the gate as Akkio."""
    dags = tmp_path_factory.mktemp("dags")
    for folder in (EXAMPLES, _HERE / "dags"):
        shutil.copytree(folder, dags, dirs_exist_ok=True)
    settings = {
        "AIRFLOW__CORE__AUTH_MANAGER": "limited_access.LimitedAccess",
        "AKKIO_TESTS_IMPORT_LOG": str(import_log),
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{_HERE / 'within_airflow'}",
    }
    with running_stack(dags=dags, akkio=gate.url, users=USERS, settings=settings) as running:
        yield running


@dataclass
class Run:
    """A run of a DAG with a training."""

    api: AirflowApi
    dag_id: str
    run_id: str

    @classmethod
    def start(cls, api: AirflowApi, dag_id: str = "akkio_train", **params: Any) -> Self:
        """Start a run."""
        return cls(api, dag_id, api.trigger(dag_id, conf=params))

    def wait(self, expected: str = "success") -> None:
        """Wait until the run has ended."""
        assert self.api.follow(self.dag_id, self.run_id, seconds=TIMEOUT_SECONDS) == expected

    def tab(self, task_id: str = "train") -> str:
        """Return the path of a task's tab in Airflow's UI."""
        return f"dags/{self.dag_id}/runs/{self.run_id}/tasks/{task_id}/plugin/akkio"

    def page(self, task_id: str = "train") -> str:
        """Return the path of the page in a task's tab."""
        return f"akkio/dags/{self.dag_id}/runs/{self.run_id}/tasks/{task_id}?map_index={{MAP_INDEX}}"

    def xcoms(self, task_id: str = "train") -> dict[str, Any]:
        """Return the XComs of a task."""
        return self.api.xcoms(self.dag_id, self.run_id, task_id)

    def wait_for_status(self, status: str, task_id: str = "train") -> None:
        """Wait until a task is deferred and has pushed this status of its training; the gate must hold the training."""

        def is_reached() -> bool:
            states = {task.task_id: task.state for task in self.api.tasks(self.dag_id, self.run_id)}
            assert states.get(task_id) not in ("success", "failed"), "the task ended"
            if states.get(task_id) != "deferred":
                return False
            update = self.api.xcom(self.dag_id, self.run_id, task_id, "akkio_status")
            return update is not None and update["status"] == status

        wait_until(is_reached, f"a deferred task with status {status}", TIMEOUT_SECONDS)


@pytest.fixture(scope="package")
def finished_run(stack: Stack) -> Run:
    """A run that succeeded, after two runs with worse models because they ignored more fields."""
    ignored_fields = (["Webinars Attended", "Whitepapers Downloaded"], ["Webinars Attended"], [])
    runs = [Run.start(stack.api, "retrain_leads", ignore=ignored) for ignored in ignored_fields]
    for run in runs:
        run.wait()
    return runs[-1]


@pytest.fixture(scope="package")
def failed_run(stack: Stack) -> Run:
    """A run whose training failed at Akkio."""
    run = Run.start(stack.api, "retrain_leads", predict="no such field")
    run.wait("failed")
    return run


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[Callable[..., Page]]:
    """Return a function that logs a user in and opens a page of Airflow."""
    contexts = []
    errors: list[str] = []
    foreign_requests: list[str] = []

    def record_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} ({message.location['url']})")

    def record_request(request: Request) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            foreign_requests.append(request.url)

    def open_for(
        user: str, path: str, *, dark: bool = False, width: int = 1280, height: int = 900, root: str = stack.api.url
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        # Airflow stores its color mode under this key.
        context.add_init_script(f"localStorage.setItem('theme', '{'dark' if dark else 'light'}')")
        page = context.new_page()
        page.set_default_timeout(1000 * TIMEOUT_SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", record_error)
        page.on("request", record_request)
        page.goto(f"{root}/auth/login")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{root}/{path}")
        return page

    yield open_for
    for context in contexts:
        context.close()
    assert errors == []
    assert foreign_requests == []


@pytest.fixture
def screenshot(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Return a function that takes a screenshot; one that exists in the folder ``--screenshots`` is replaced."""
    folder = request.config.getoption("--screenshots")

    def take(page: Page, name: str) -> None:
        page.mouse.move(0, 0)
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < MAX_SCREENSHOT_BYTES
        if folder is not None and (published := folder / path.name).exists():
            shutil.copyfile(path, published)

    return take


def frame_of(page: Page) -> Frame:
    """Return the frame with our page, once its content and its stylesheet are loaded."""
    if "/akkio/dags/" in page.url and "/plugin/" not in page.url:
        frame = page.main_frame
    else:
        page.frame_locator("iframe").locator("h1").wait_for()
        [frame] = [frame for frame in page.frames[1:] if "/akkio/" in frame.url]
    frame.wait_for_load_state("load")
    return frame


def accessibility_violations(frame: Frame) -> list[str]:
    """Return what axe-core reports as serious or critical."""
    found = Axe().run(frame).response["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
