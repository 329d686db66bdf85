"""The tab of a training, the list of all, the links to them, and who may see what, in a real browser."""

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
from tests.browser.conftest import Run, frame_of, violations

Opens = Callable[..., Page]
Takes = Callable[[Page, str], None]

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [1280, 400])
PAGES = ("airflow_provider_akkio.web", "airflow_provider_akkio.web.templating")
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 29, 45)"}


def place(run: Run, width: int) -> str:
    """Return where to look at a training.

    In a window of 400 px, Airflow's own page leaves no room for a tab; the page of the tab can be opened by itself.
    """
    return run.tab() if width > 400 else run.page()


def assert_looks_right(frame: Frame, scheme: str) -> None:
    """Check what holds for each page: its colours, that nothing hangs out of it, and what axe-core says."""
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(frame) == []


@SCHEMES
def test_the_tab_shows_a_training_that_goes_on_and_by_itself_what_came_of_it(
    stack: Stack, open_page: Opens, picture: Takes, scheme: str
) -> None:
    pages = {width: open_page("vera", "akkio/models", dark=scheme == "dark", width=width) for width in (400, 1280)}
    run = Run.begin(stack.api)
    run.wait_until_told("IN_PROGRESS")
    for width, page in pages.items():
        page.goto(f"{stack.api.url}/{place(run, width)}")
        frame = frame_of(page)
        text = frame.inner_text("main")
        assert "Akkio has had the training since" in text
        for shown in ("YTV32jCdVf5DbcMxzvX5", "Positive Lead", "IN_PROGRESS, seen at", " s so far, of about "):
            assert shown in text
        assert frame.locator("progress").count() == 1
        assert frame.inner_text("#task-id") == run.xcoms()["akkio_task_id"]
        assert_looks_right(frame, scheme)
        picture(page, f"training-{scheme}-{width}")

    frame.locator("#model-id").wait_for()
    assert frame.inner_text("[role=status]").startswith("Done")
    # The task itself ends a moment after its model is there.
    expect(frame.locator("main[data-refresh]")).to_have_count(0)


@SCHEMES
@WIDTHS
def test_the_tab_shows_a_model(finished_run: Run, open_page: Opens, picture: Takes, scheme: str, width: int) -> None:
    page = open_page("vera", place(finished_run, width), dark=scheme == "dark", width=width)
    frame = frame_of(page)
    xcoms = finished_run.xcoms()
    text = frame.inner_text("main")
    assert frame.inner_text("#model-id") == xcoms["model_id"]
    for classes in xcoms["stats"][0]:
        row = (f"{classes['count']}", f"{classes['f1']:.3g}", f"{classes['precision']:.3g}")
        assert all(cell in text for cell in row)
    assert " before" in text
    assert (frame.locator(".sparkline").get_attribute("aria-label") or "").startswith("f1, oldest first: 0.")
    assert "What goes with each outcome" in text
    assert_looks_right(frame, scheme)
    picture(page, f"tab-{scheme}-{width}")


@SCHEMES
def test_the_tab_shows_why_akkio_made_no_model(failed_run: Run, open_page: Opens, picture: Takes, scheme: str) -> None:
    page = open_page("vera", failed_run.tab(), dark=scheme == "dark")
    frame = frame_of(page)
    text = frame.inner_text("main")
    assert failed_run.xcoms()["akkio_error"] in text
    assert "no such field" in text
    assert "clear the task to have it run again" in text
    assert_looks_right(frame, scheme)
    picture(page, f"failed-{scheme}")


def test_the_tab_of_a_training_that_no_worker_began_has_its_parameters(finished_run: Run, open_page: Opens) -> None:
    frame = frame_of(open_page("vera", finished_run.tab("without_a_worker")))
    text = frame.inner_text("main")
    assert frame.inner_text("#model-id") == finished_run.xcoms("without_a_worker")["model_id"]
    assert "YTV32jCdVf5DbcMxzvX5" in text
    assert "no record of the task's parameters" not in text


def test_the_page_follows_airflows_own_colour_switch(finished_run: Run, open_page: Opens) -> None:
    page = open_page("vera", finished_run.tab())
    frame = frame_of(page)
    page.evaluate("document.documentElement.classList.replace('light', 'dark')")
    frame.wait_for_function(f"getComputedStyle(document.body).backgroundColor === '{GROUNDS['dark']}'")


@pytest.mark.parametrize("in_tab", [True, False])
def test_the_button_copies_the_models_id(finished_run: Run, open_page: Opens, in_tab: bool) -> None:
    page = open_page("vera", finished_run.tab() if in_tab else finished_run.page())
    frame = frame_of(page)
    frame.locator("[data-copies=model-id]").focus()
    page.keyboard.press("Enter")
    frame.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == frame.inner_text("#model-id")


def test_a_page_that_keeps_itself_up_to_date_can_be_paused(stack: Stack, open_page: Opens) -> None:
    page = open_page("vera", "akkio/models")
    run = Run.begin(stack.api)
    run.wait_until_told("IN_PROGRESS")
    page.goto(f"{stack.api.url}/{run.page()}")
    pause = page.get_by_role("button", name="Sleep updates")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    run.end()
    shown = page.inner_text("main")
    page.wait_for_timeout(2 * REFRESH_SECONDS * 1000)
    assert page.inner_text("main") == shown
    pause.click()
    page.locator("#model-id").wait_for()
    expect(pause).to_be_hidden()


@SCHEMES
def test_the_list_shows_all_trainings_the_newest_first(
    finished_run: Run, failed_run: Run, open_page: Opens, picture: Takes, scheme: str
) -> None:
    page = open_page("vera", "plugin/akkio_models", dark=scheme == "dark", height=600)
    frame = frame_of(page)
    runs = [cell for cell in frame.locator("tbody tr td:nth-child(2)").all_inner_texts() if cell]
    assert {finished_run.run_id, failed_run.run_id} <= set(runs)
    assert runs == sorted(runs, reverse=True)
    assert_looks_right(frame, scheme)
    picture(page, f"models-{scheme}")
    frame.locator(f"tr:has-text('{finished_run.run_id}') a").first.click()
    frame.locator("#model-id").wait_for()


def test_a_task_of_another_kind_says_so_politely(finished_run: Run, open_page: Opens) -> None:
    frame = frame_of(open_page("vera", finished_run.tab("other")))
    assert "This task neither trains a model at Akkio nor waits for one." in frame.inner_text("main")
    assert finished_run.api.links(finished_run.dag_id, finished_run.run_id, "other") == {}


def test_each_mapped_task_has_its_own_page(stack: Stack, open_page: Opens) -> None:
    run = Run.begin(stack.api, "akkio_train_many")
    run.end()
    for index in (0, 1):
        tab = run.tab().replace("/plugin/", f"/mapped/{index}/plugin/")
        frame = frame_of(open_page("vera", tab))
        model_id = stack.api.xcoms(run.dag_id, run.run_id, "train", index)["model_id"]
        assert frame.inner_text("#model-id") == model_id


def test_the_links_lead_to_the_tab_and_to_akkio(finished_run: Run, open_page: Opens) -> None:
    page = open_page("vera", finished_run.tab().replace("/plugin/akkio", "/details"))
    expect(page.locator("a[href='https://app.akkio.com/']")).to_have_text("Akkio")
    page.get_by_role("link", name="Akkio training").click()
    page.wait_for_url(f"**/{finished_run.tab()}")
    frame = frame_of(page)
    assert frame.inner_text("#model-id") == finished_run.xcoms()["model_id"]


def test_where_airflow_has_a_path_of_its_own_all_is_found_below_it(
    stack: Stack, finished_run: Run, open_page: Opens
) -> None:
    site = stack.start_behind_path("/team/airflow")
    wait_until(lambda: is_up(f"{site}/api/v2/monitor/health"), "an API server behind a path", 90)
    frame = frame_of(open_page("vera", finished_run.tab(), site=site))
    assert frame.url.startswith(f"{site}/akkio/")
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS["light"]
    frame.get_by_role("link", name="All Akkio models").click()
    frame.get_by_role("heading", name="Akkio models").wait_for()
    frame.locator(f"tr:has-text('{finished_run.run_id}') a").first.click()
    frame.locator("#model-id").wait_for()
    assert frame.url.startswith(f"{site}/akkio/")


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("path", ["akkio/models", "akkio/static/akkio.css", ""])
def test_nobody_sees_anything_without_a_login(finished_run: Run, path: str) -> None:
    answer = requests.get(f"{finished_run.api.url}/{path or finished_run.page()}", timeout=30)
    assert answer.status_code == 401
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert finished_run.run_id not in answer.text


def test_who_may_not_read_a_dag_sees_nothing_of_its_trainings(stack: Stack, finished_run: Run) -> None:
    otto, vera = (AirflowApi(stack.api.port, (name, name)) for name in ("otto", "vera"))
    assert vera.page(finished_run.page()).status_code == 200
    refused = otto.page(finished_run.page())
    assert refused.status_code == 403
    assert "You may not read the XComs of this DAG" in refused.text
    assert finished_run.run_id in vera.page("akkio/models").text
    seen = otto.page("akkio/models")
    assert seen.status_code == 200
    assert "No training yet" in seen.text
    assert finished_run.dag_id not in seen.text


def test_no_route_changes_anything_and_unknown_ones_are_not_there(finished_run: Run) -> None:
    api = finished_run.api
    assert api.page("akkio/dags/akkio_train/runs/none/tasks/train").status_code == 404
    assert api.page("akkio/static/akkio.py").status_code == 404
    assert api.page("akkio/openapi.json").status_code == 404
    for path in ("akkio/models", finished_run.page()):
        assert requests.post(f"{api.url}/{path}", timeout=30).status_code == 405


def test_a_page_may_load_nothing_from_elsewhere_and_run_no_script_of_its_own(finished_run: Run) -> None:
    policy = finished_run.api.page(finished_run.page()).headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_only_the_api_server_loads_more_of_the_plugin_than_its_class(finished_run: Run, imports: Path) -> None:
    noted = [line.split() for line in imports.read_text().splitlines()]
    loaded = {component: {module for of, module in noted if of == component} for component in COMPONENTS}
    for component, modules in loaded.items():
        assert "airflow_provider_akkio.plugins.akkio" in modules, component
        pages = [name for name in modules if name.startswith(PAGES)]
        assert bool(pages) is (component == "api-server"), (component, pages)
