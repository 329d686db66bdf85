"""The tab of a training, the list of all, the links to them, and who may see what, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page

from dev.airflow_api import AirflowApi
from dev.stack import Stack
from tests.browser.conftest import Run, frame_of, violations

Opens = Callable[..., Page]
Takes = Callable[[Page, str], None]

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [1280, 400])
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 29, 45)"}


def test_the_tab_shows_a_training_that_goes_on_and_by_itself_what_came_of_it(new_run: Run, open_page: Opens) -> None:
    new_run.wait_until_deferred()
    frame = frame_of(open_page("vera", new_run.tab))
    text = frame.inner_text("main")
    assert "Akkio trains since" in text
    assert "YTV32jCdVf5DbcMxzvX5" in text
    assert "Positive Lead" in text
    assert frame.locator("progress").get_attribute("max") == "10.0"
    assert " of about 10 s" in text
    assert frame.inner_text("#task-id") == new_run.api.xcoms("akkio_train", new_run.run_id, "train")["akkio_task_id"]
    assert violations(frame) == []

    frame.locator("#model-id").wait_for()
    assert frame.inner_text("[role=status]").startswith("Done")
    assert frame.locator("main[data-refresh]").count() == 0


@SCHEMES
@WIDTHS
def test_the_tab_shows_a_model(finished_run: Run, open_page: Opens, picture: Takes, scheme: str, width: int) -> None:
    # In a window of 400 px, Airflow's own page leaves no room for a tab; the page of the tab can be opened by itself.
    path = finished_run.tab if width > 400 else finished_run.page()
    page = open_page("vera", path, dark=scheme == "dark", width=width)
    frame = frame_of(page)
    xcoms = finished_run.api.xcoms("akkio_train", finished_run.run_id, "train")
    text = frame.inner_text("main")
    assert frame.inner_text("#model-id") == xcoms["model_id"]
    for classes in xcoms["stats"][0]:
        row = (f"{classes['count']}", f"{classes['f1']:.3g}", f"{classes['precision']:.3g}")
        assert all(cell in text for cell in row)
    assert "as before" in text
    assert frame.locator(".sparkline").get_attribute("aria-label") is not None
    assert "What goes with each outcome" in text
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(frame) == []
    picture(page, f"tab-{scheme}-{width}")


def test_the_page_follows_airflows_own_colour_switch(finished_run: Run, open_page: Opens) -> None:
    page = open_page("vera", finished_run.tab)
    frame = frame_of(page)
    page.evaluate("document.documentElement.classList.replace('light', 'dark')")
    frame.wait_for_function(f"getComputedStyle(document.body).backgroundColor === '{GROUNDS['dark']}'")


def test_the_button_copies_the_models_id(finished_run: Run, open_page: Opens) -> None:
    page = open_page("vera", finished_run.page())
    page.locator("[data-copies=model-id]").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#model-id")


@SCHEMES
def test_the_list_shows_all_trainings_the_newest_first(
    finished_run: Run, open_page: Opens, picture: Takes, scheme: str
) -> None:
    page = open_page("vera", "plugin/akkio_models", dark=scheme == "dark")
    frame = frame_of(page)
    runs = [cell for cell in frame.locator("tbody tr td:nth-child(2)").all_inner_texts() if cell]
    assert finished_run.run_id in runs
    assert runs == sorted(runs, reverse=True)
    assert violations(frame) == []
    picture(page, f"models-{scheme}")
    frame.locator(f"tr:has-text('{finished_run.run_id}') a").click()
    frame.locator("#model-id").wait_for()


def test_a_task_of_another_kind_says_so_politely(finished_run: Run, open_page: Opens) -> None:
    frame = frame_of(open_page("vera", finished_run.tab.replace("/tasks/train/", "/tasks/report/")))
    assert "This task neither trains a model at Akkio nor waits for one." in frame.inner_text("main")


def test_each_mapped_task_has_its_own_page(stack: Stack, open_page: Opens) -> None:
    run_id = stack.api.trigger("akkio_train_many")
    assert stack.api.follow("akkio_train_many", run_id) == "success"
    for index in (0, 1):
        tab = f"dags/akkio_train_many/runs/{run_id}/tasks/train/mapped/{index}/plugin/akkio"
        frame = frame_of(open_page("vera", tab))
        model_id = stack.api.xcoms("akkio_train_many", run_id, "train", index)["model_id"]
        assert frame.inner_text("#model-id") == model_id


def test_the_links_lead_to_the_tab_and_to_akkio(finished_run: Run, open_page: Opens) -> None:
    links = finished_run.api.links("akkio_train", finished_run.run_id, "train")
    assert links["Akkio"] == "https://app.akkio.com/"
    frame = frame_of(open_page("vera", links["Akkio training"]))
    assert frame.locator("#model-id").count() == 1
    assert finished_run.api.links("akkio_train", finished_run.run_id, "report") == {}


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
    assert "You may not read the XComs of this DAG." in refused.text
    assert finished_run.run_id in vera.page("akkio/models").text
    seen = otto.page("akkio/models")
    assert seen.status_code == 200
    assert "No training yet" in seen.text
    assert "akkio_train" not in seen.text


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
