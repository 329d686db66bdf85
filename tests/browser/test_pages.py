"""The tab, the list of trainings, the links and the access control, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Frame, Page, expect

from airflow_provider_akkio.web.app import REFRESH_SECONDS
from dev.airflow_api import AirflowApi
from dev.processes import wait_until
from dev.stack import COMPONENTS, Stack
from tests.browser.conftest import TIMEOUT_SECONDS, Run, accessibility_violations, frame_of
from tests.browser.gate import Gate

OpenPage = Callable[..., Page]
Screenshot = Callable[[Page, str], None]

THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 29, 45)"}


def path_for_width(run: Run, width: int) -> str:
    """Return the tab; in a window of 400 px, in which Airflow's UI has no room for it, the page itself."""
    return run.tab() if width > 400 else run.page()


def wait_for_background(frame: Frame, theme: str) -> None:
    frame.wait_for_function(f"getComputedStyle(document.body).backgroundColor === '{BACKGROUNDS[theme]}'")


def assert_layout(frame: Frame, theme: str) -> None:
    wait_for_background(frame, theme)
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert accessibility_violations(frame) == []


@THEMES
def test_tab_shows_running_training_and_then_its_model(
    stack: Stack, gate: Gate, open_page: OpenPage, screenshot: Screenshot, theme: str
) -> None:
    pages = {width: open_page("vera", "akkio/trainings", dark=theme == "dark", width=width) for width in (400, 1280)}
    with gate.holding():
        run = Run.start(stack.api)
        run.wait_for_status("IN_PROGRESS")
        for width, page in pages.items():
            page.goto(f"{stack.api.url}/{path_for_width(run, width)}")
            frame = frame_of(page)
            text = frame.inner_text("main")
            assert "Akkio accepted the training at" in text
            for shown in (
                "YTV32jCdVf5DbcMxzvX5",
                "Positive Lead",
                "IN_PROGRESS, since",
                " elapsed of about 40 seconds",
            ):
                assert shown in text
            assert frame.locator("progress").count() == 1
            assert frame.inner_text("#task-id") == run.xcoms()["akkio_task_id"]
            assert_layout(frame, theme)
            screenshot(page, f"training-{theme}-{width}")
    run.wait()
    frame.locator("#model-id").wait_for()
    assert frame.inner_text("[role=status]").startswith("Done")
    # The task pushes the model shortly before it ends.
    expect(frame.locator("main[data-refresh]")).to_have_count(0)


@THEMES
@pytest.mark.parametrize("width", [1280, 400])
def test_tab_shows_model(
    finished_run: Run, open_page: OpenPage, screenshot: Screenshot, theme: str, width: int
) -> None:
    page = open_page("vera", path_for_width(finished_run, width), dark=theme == "dark", width=width)
    frame = frame_of(page)
    xcoms = finished_run.xcoms()
    text = frame.inner_text("main")
    assert frame.inner_text("#model-id") == xcoms["model_id"]
    for classes in xcoms["stats"][0]:
        row = (f"{classes['count']}", f"{classes['f1']:.3g}", f"{classes['precision']:.3g}")
        assert all(cell in text for cell in row)
    assert "previous run" in text
    assert (frame.locator(".sparkline").get_attribute("aria-label") or "").startswith("f1, oldest first: 0.")
    assert "Data story" in text
    assert_layout(frame, theme)
    screenshot(page, f"tab-{theme}-{width}")


@THEMES
def test_tab_shows_error_of_failed_training(
    failed_run: Run, open_page: OpenPage, screenshot: Screenshot, theme: str
) -> None:
    page = open_page("vera", failed_run.tab(), dark=theme == "dark")
    frame = frame_of(page)
    text = frame.inner_text("main")
    assert failed_run.xcoms()["akkio_error"] in text
    assert "no such field" in text
    assert "clear the task to run it again" in text
    assert_layout(frame, theme)
    screenshot(page, f"failed-{theme}")


def test_page_follows_airflows_color_mode(finished_run: Run, open_page: OpenPage) -> None:
    page = open_page("vera", finished_run.tab())
    frame = frame_of(page)
    wait_for_background(frame, "light")
    page.evaluate("document.documentElement.classList.replace('light', 'dark')")
    wait_for_background(frame, "dark")


@pytest.mark.parametrize("in_tab", [True, False])
def test_button_copies_model_id(finished_run: Run, open_page: OpenPage, in_tab: bool) -> None:
    page = open_page("vera", finished_run.tab() if in_tab else finished_run.page())
    frame = frame_of(page)
    button = frame.locator("[data-copies=model-id]")
    button.focus()
    stop_clock(page)
    page.keyboard.press("Enter")
    expect(button).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == frame.inner_text("#model-id")
    page.clock.run_for(2000)
    expect(button).to_contain_text("Copy ")


def stop_clock(page: Page) -> None:
    """Stop the timers of a page and its frames, so that nothing ends before a slow machine sees it."""
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") + 30_000)


def test_paused_page_does_not_update(stack: Stack, gate: Gate, open_page: OpenPage) -> None:
    page = open_page("vera", "akkio/trainings")
    with gate.holding():
        run = Run.start(stack.api)
        run.wait_for_status("IN_PROGRESS")
        page.clock.install()
        page.goto(f"{stack.api.url}/{run.page()}")
        pause = page.get_by_role("button", name="Pause updates")
        pause.click()
        expect(pause).to_have_attribute("aria-pressed", "true")
    run.wait()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.clock.run_for(10_000 * REFRESH_SECONDS)
    assert requested == []
    assert "IN_PROGRESS" in page.inner_text("main")
    pause.click()
    page.clock.run_for(1000 * REFRESH_SECONDS)
    page.locator("#model-id").wait_for()
    expect(pause).to_be_hidden()


@THEMES
def test_list_shows_all_trainings_newest_first(
    finished_run: Run, failed_run: Run, open_page: OpenPage, screenshot: Screenshot, theme: str
) -> None:
    page = open_page("vera", "plugin/akkio_trainings", dark=theme == "dark", height=600)
    frame = frame_of(page)
    run_ids = frame.locator("tbody tr td.run").all_inner_texts()
    assert {finished_run.run_id, failed_run.run_id} <= set(run_ids)
    assert run_ids == sorted(run_ids, reverse=True)
    assert_layout(frame, theme)
    screenshot(page, f"trainings-{theme}")
    frame.locator(f"tr:has-text('{finished_run.run_id}') a").first.click()
    frame.locator("#model-id").wait_for()


def test_mapped_tasks_have_their_own_tabs(stack: Stack, open_page: OpenPage) -> None:
    run = Run.start(stack.api, "akkio_train_many")
    run.wait()
    for index in (0, 1):
        tab = run.tab().replace("/plugin/", f"/mapped/{index}/plugin/")
        frame = frame_of(open_page("vera", tab))
        model_id = stack.api.xcoms(run.dag_id, run.run_id, "train", index)["model_id"]
        assert frame.inner_text("#model-id") == model_id


@pytest.mark.parametrize("task_id", ["train", "subclass"])
def test_links_lead_to_tab_and_to_akkio(finished_run: Run, open_page: OpenPage, task_id: str) -> None:
    page = open_page("vera", finished_run.tab(task_id).replace("/plugin/akkio", "/details"))
    expect(page.locator("a[href='https://app.akkio.com/']")).to_have_text("Akkio")
    page.get_by_role("link", name="Akkio training").click()
    page.wait_for_url(f"**/{finished_run.tab(task_id)}")
    frame = frame_of(page)
    assert frame.inner_text("#model-id") == finished_run.xcoms(task_id)["model_id"]


def test_pages_work_if_base_url_has_a_path(stack: Stack, finished_run: Run, open_page: OpenPage) -> None:
    root = stack.start_behind_path("/team/airflow")
    wait_until(
        lambda: is_up(f"{root}/api/v2/monitor/health"), "an API server with a path in its base URL", TIMEOUT_SECONDS
    )
    frame = frame_of(open_page("vera", finished_run.tab(), root=root))
    assert frame.url.startswith(f"{root}/akkio/")
    wait_for_background(frame, "light")
    frame.get_by_role("link", name="All Akkio trainings").click()
    frame.get_by_role("heading", name="Akkio trainings").wait_for()
    frame.locator(f"tr:has-text('{finished_run.run_id}') a").first.click()
    frame.locator("#model-id").wait_for()
    assert frame.url.startswith(f"{root}/akkio/")


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=30).ok
    except requests.RequestException:
        return False


def test_user_without_access_to_dag_sees_nothing_of_its_trainings(stack: Stack, finished_run: Run) -> None:
    otto, vera = (AirflowApi(stack.api.port, (name, name)) for name in ("otto", "vera"))
    assert vera.page(finished_run.page()).status_code == 200
    denied = otto.page(finished_run.page())
    assert denied.status_code == 403
    assert "Access denied" in denied.text
    assert finished_run.run_id in vera.page("akkio/trainings").text
    trainings = otto.page("akkio/trainings")
    assert trainings.status_code == 200
    assert "No trainings yet" in trainings.text
    assert finished_run.dag_id not in trainings.text


def test_only_api_server_imports_the_pages(finished_run: Run, import_log: Path) -> None:
    lines = [line.split() for line in import_log.read_text().splitlines()]
    imported = {component: {module for owner, module in lines if owner == component} for component in COMPONENTS}
    for component, modules in imported.items():
        assert "airflow_provider_akkio.plugins.akkio" in modules, component
        assert ("airflow_provider_akkio.web.app" in modules) is (component == "api-server"), component
