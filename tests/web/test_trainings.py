"""The list of all trainings."""

from __future__ import annotations

import html
import re

import pytest
from fastapi.testclient import TestClient

from airflow_provider_akkio.web.app import PAGE_SIZE
from tests.web.conftest import MAPPED, TRAIN, RunTask, StoredTask, recorded_queries, stats_with_f1, text_of

MISSING = "\N{EN DASH}"


def rows_of(page: str) -> list[list[str]]:
    """Return the text of the table's cells."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("<tr>")[1:])
    return [[" ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in rows]


def list_page(client: TestClient, number: int = 1) -> str:
    response = client.get(f"/akkio/trainings?page={number}")
    assert response.status_code == 200
    return str(response.text)


def test_newest_run_is_first_with_model_metric_and_trend(run_repeatedly: RunTask) -> None:
    last = run_repeatedly([stats_with_f1(0.5), stats_with_f1(0.75)])
    newest, before = rows_of(list_page(last.client))[:2]
    assert newest[:6] == [
        f"{last.dag_id} train",
        "Done",
        "f1 0.75",
        "f1, oldest first: 0.5, 0.75",
        "M1",
        last.run_id,
    ]
    assert before[:4] == [f"{last.dag_id} train", "Done", "f1 0.5", ""]
    assert before[5] < last.run_id


def test_row_links_to_training(run_task: RunTask) -> None:
    training = run_task()
    [path] = re.findall(f'<a href="(/akkio/dags/{training.dag_id}/[^"]+)">', list_page(training.client))
    assert "Model ID M1" in text_of(training.client.get(html.unescape(path)).text)


def test_training_without_model_is_listed_with_its_state(run_task: RunTask) -> None:
    training = run_task(TRAIN.replace("duration=60", "wait_for_completion=False"))
    assert rows_of(list_page(training.client))[0][1:5] == ["No model", MISSING, "", MISSING]
    labels = {
        "failed": "Failed",
        "skipped": "Skipped",
        "upstream_failed": "Not run",
        "deferred": "Training",
        None: "Not started",
    }
    for state, label in labels.items():
        training.update(state=state)
        assert rows_of(list_page(training.client))[0][1] == label


def test_model_without_statistics_has_no_metric(run_repeatedly: RunTask) -> None:
    last = run_repeatedly([stats_with_f1(0.5), stats_with_f1(0.75)])
    last.delete_xcoms("stats")
    assert rows_of(list_page(last.client))[0][2:5] == [MISSING, "", "M1"]


def test_sensor_is_listed_and_other_operators_are_not(run_task: RunTask) -> None:
    sensor = run_task(
        """
        wait = AkkioTrainSensor(task_id="wait", akkio_task_id="T1", poll_interval=0.05)
        task(task_id="other")(lambda model_id: model_id)(wait.output)
        """,
        "wait",
    )
    rows = [row for row in rows_of(list_page(sensor.client)) if row[5] == sensor.run_id]
    assert [row[0] for row in rows] == [f"{sensor.dag_id} wait"]


@pytest.mark.parametrize("dataset_id", ["D1", "{{ none }}"], ids=["accepted", "invalid"])
@pytest.mark.parametrize("operator", ["AkkioChatExploreOperator", "WeeklyQuestion"])
def test_chat_is_not_a_training(run_task: RunTask, operator: str, dataset_id: str) -> None:
    subclass = "class WeeklyQuestion(AkkioChatExploreOperator): pass\n"
    question = f"task_id='ask', dataset_id={dataset_id!r}, prompt='Why?', deferrable=False"
    chat = run_task(f"{subclass}{operator}({question})", "ask")
    assert "This task does not train a model at Akkio" in text_of(chat.page())
    assert chat.run_id not in {row[5] for row in rows_of(list_page(chat.client))}


@pytest.fixture
def mapped(run_task: RunTask) -> StoredTask:
    """A run with more trainings than a page of the list has rows."""
    return run_task(MAPPED.format([f"D{number}" for number in range(PAGE_SIZE + 5)]))


def test_list_has_pages_that_need_three_queries(mapped: StoredTask) -> None:
    list_page(mapped.client)
    with recorded_queries() as statements:
        first = list_page(mapped.client)
    assert 1 <= len(statements) <= 3, statements
    names = [f"{mapped.dag_id} train [{index}]" for index in range(PAGE_SIZE + 5)]
    assert [row[0] for row in rows_of(first)] == names[:PAGE_SIZE]
    assert 'rel="next" href="/akkio/trainings?page=2"' in first
    assert 'rel="prev"' not in first
    assert text_of(first).endswith("Page 1 Older")
    second = list_page(mapped.client, 2)
    assert [row[0] for row in rows_of(second)[:5]] == names[PAGE_SIZE:]
    assert 'rel="prev" href="/akkio/trainings?page=1"' in second
    assert "This page is empty. Show the newest trainings" in text_of(list_page(mapped.client, 9999))


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999"])
def test_invalid_page_number_is_rejected(client: TestClient, page: str) -> None:
    assert client.get(f"/akkio/trainings?page={page}").status_code == 422
